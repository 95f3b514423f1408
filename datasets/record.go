package datasets

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
)

// Message is one turn of a conversation. Raw text that is not a conversation is a single Message with an empty Role.
type Message struct {
	Role       string
	Content    string
	Name       string
	ToolCallID string
	ToolCalls  string // the calls as a JSON array, as OpenAI writes them; empty when there are none
}

// Provenance says where a record was first read.
type Provenance struct {
	File string // name of the file, without the folders that only this machine has
	Row  int64  // from 1: the line of a JSONL file, the element of a JSON array, the row of a table
	Hash string // ContentHash of the record as it was read, before anything edited it
}

// Record is one example of any kind; Kind tells which.
type Record struct {
	ID            string
	Tools         string // tool definitions as a JSON array; empty when there are none
	Prompt        []Message
	Chosen        []Message
	Rejected      []Message
	Margin        *float64
	ChosenScore   *float64
	RejectedScore *float64
	Label         *bool // KTO: whether Chosen is a desirable answer
	Split         string
	Source        Provenance
	Copies        int // how many equal records this one stands for; 0 counts as 1
	Meta          map[string]string
}

// Kind is what a record can be used for.
type Kind uint8

// The kinds of records. AnyKind is no kind of its own: in options it means "all of them".
const (
	AnyKind     Kind = iota
	Preference       // Chosen and Rejected
	Instruction      // Chosen only: a demonstration, or a text when Prompt is empty too
	Unpaired         // Chosen and a Label
	PromptOnly       // Prompt only
	Empty            // nothing: no reader yields it
)

// String gives the name that is used in options and reports.
func (k Kind) String() string {
	switch k {
	case AnyKind:
		return "any"
	case Preference:
		return "preference"
	case Instruction:
		return "instruction"
	case Unpaired:
		return "unpaired"
	case PromptOnly:
		return "prompt"
	}
	return "empty"
}

// Kind tells what the record holds.
func (r *Record) Kind() Kind {
	switch {
	case len(r.Chosen) > 0 && len(r.Rejected) > 0:
		return Preference
	case len(r.Chosen) > 0 && r.Label != nil:
		return Unpaired
	case len(r.Chosen) > 0:
		return Instruction
	case len(r.Prompt) > 0 && len(r.Rejected) == 0:
		return PromptOnly
	}
	return Empty
}

// Chat reports whether the record is a conversation (its messages have roles) and not raw text.
func (r *Record) Chat() bool {
	for _, side := range [3][]Message{r.Prompt, r.Chosen, r.Rejected} {
		for i := range side {
			if side[i].Role != "" {
				return true
			}
		}
	}
	return false
}

// Text makes the messages of a raw text: one without a role, or none for an empty text.
func Text(s string) []Message {
	if s == "" {
		return nil
	}
	return []Message{{Content: s}}
}

// ContentHash is the SHA-256, in hex, of what the record says: tools, prompt, chosen, rejected and label. Every string goes in behind
// its length and every list behind its count, so that no two contents share an encoding. Ids, scores, provenance and metadata stay out:
// two records with equal hashes are exact duplicates.
func (r *Record) ContentHash() string {
	b := appendString(nil, "plumb record 1")
	b = appendString(b, r.Tools)
	b = appendMessages(b, r.Prompt)
	b = appendMessages(b, r.Chosen)
	b = appendMessages(b, r.Rejected)
	switch {
	case r.Label == nil:
		b = appendInt(b, 0)
	case *r.Label:
		b = appendInt(b, 2)
	default:
		b = appendInt(b, 1)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// HashMessages is the SHA-256, in hex, of a list of messages: the key of a prompt or of an answer.
func HashMessages(msgs []Message) string {
	sum := sha256.Sum256(appendMessages(nil, msgs))
	return hex.EncodeToString(sum[:])
}

func appendMessages(b []byte, msgs []Message) []byte {
	b = appendInt(b, len(msgs))
	for i := range msgs {
		m := &msgs[i]
		b = appendString(b, m.Role)
		b = appendString(b, m.Content)
		b = appendString(b, m.Name)
		b = appendString(b, m.ToolCallID)
		b = appendString(b, m.ToolCalls)
	}
	return b
}

func appendInt(b []byte, n int) []byte { return binary.LittleEndian.AppendUint64(b, uint64(n)) }

func appendString(b []byte, s string) []byte { return append(appendInt(b, len(s)), s...) }

// EqualMessages reports whether two lists say the same.
func EqualMessages(a, b []Message) bool { return slices.Equal(a, b) }
