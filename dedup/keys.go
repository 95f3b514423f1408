package dedup

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash"
	"io"
	"slices"
	"strings"

	"plumb/datasets"
)

// fieldCount is the number of texts of a record: prompt, chosen, rejected, in this order.
const fieldCount = 3

// fieldNames names them in reports.
var fieldNames = [fieldCount]string{"prompt", "chosen", "rejected"}

// texts are the prompt, chosen and rejected text of a record.
type texts [fieldCount]string

// MessageText is the text of messages as it is compared: one line a message, its role in front when it has one.
func MessageText(msgs []datasets.Message) string {
	if len(msgs) == 1 && msgs[0].Role == "" && msgs[0].ToolCalls == "" {
		return msgs[0].Content
	}
	var b strings.Builder
	for i, m := range msgs {
		if i > 0 {
			b.WriteByte('\n')
		}
		if m.Role != "" {
			b.WriteString(m.Role)
			b.WriteString(": ")
		}
		b.WriteString(m.Content)
		b.WriteString(m.ToolCalls)
	}
	return b.String()
}

func recordTexts(r *datasets.Record) texts {
	return texts{MessageText(r.Prompt), MessageText(r.Chosen), MessageText(r.Rejected)}
}

// uses tells which of a record's texts the key compares.
func (k Key) uses() [fieldCount]bool {
	switch k {
	case KeyPrompt:
		return [fieldCount]bool{true, false, false}
	case KeyChosen:
		return [fieldCount]bool{false, true, false}
	case KeyRejected:
		return [fieldCount]bool{false, false, true}
	}
	return [fieldCount]bool{true, true, true}
}

// digest identifies a text; 128 bits, so that no two texts of any data set share one.
type digest [16]byte

func (d digest) id() uint64 { return binary.LittleEndian.Uint64(d[:]) }

// exactDigest is the identity of what the key compares, byte by byte: messages with their roles, names and calls, the
// label and, with the prompt, the tools.
func exactDigest(r *datasets.Record, k Key) digest {
	h := sha256.New()
	use := k.uses()
	for i, msgs := range [fieldCount][]datasets.Message{r.Prompt, r.Chosen, r.Rejected} {
		if !use[i] {
			continue
		}
		writeInt(h, len(msgs))
		for _, m := range msgs {
			for _, s := range [...]string{m.Role, m.Content, m.Name, m.ToolCallID, m.ToolCalls} {
				writeString(h, s)
			}
		}
	}
	if use[0] {
		writeString(h, r.Tools)
	}
	h.Write([]byte{labelOf(r, k)})
	return sum(h)
}

// labelOf is the part of a record that makes equal texts differ: the label of unpaired feedback.
func labelOf(r *datasets.Record, k Key) byte {
	if k != KeyPair || r.Label == nil {
		return 0
	}
	if *r.Label {
		return 2
	}
	return 1
}

// settingOf stands for what is no text and has to be equal in copies: the label of unpaired feedback and, with the prompt, the tools.
func settingOf(r *datasets.Record, k Key, tools bool) uint64 {
	label := uint64(labelOf(r, k))
	if r.Tools == "" || !tools || !k.uses()[0] {
		return label
	}
	return sumOf(canonicalTools(r.Tools), label).id()
}

// canonicalTools is one text for the same tools in another order, with keys in another order or other spacing; what is no JSON is its own.
func canonicalTools(tools string) string {
	d := json.NewDecoder(strings.NewReader(tools))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return tools
	}
	if _, err := d.Token(); err != io.EOF {
		return tools
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := make([]string, len(list))
	for i, tool := range list {
		b, err := json.Marshal(tool) // sorts the keys
		if err != nil {
			return tools
		}
		out[i] = string(b)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// normalDigest is the identity of normalised texts in a setting. A text of which nothing remains ("???") keeps its own form.
func normalDigest(t *texts, k Key, setting uint64, scratch []byte) (digest, []byte) {
	h := sha256.New()
	use := k.uses()
	for i := range t {
		if !use[i] {
			continue
		}
		scratch = appendNormal(scratch[:0], t[i])
		if len(scratch) == 0 {
			scratch = append(scratch, strings.TrimSpace(t[i])...)
		}
		writeInt(h, len(scratch))
		h.Write(scratch)
	}
	h.Write(binary.AppendUvarint(nil, setting))
	return sum(h), scratch
}

func writeInt(h hash.Hash, n int) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}

func writeString(h hash.Hash, s string) {
	writeInt(h, len(s))
	h.Write([]byte(s))
}

func sum(h hash.Hash) (d digest) {
	var b [sha256.Size]byte
	copy(d[:], h.Sum(b[:0]))
	return d
}

func sumOf(what string, n uint64) digest {
	h := sha256.New()
	writeString(h, what)
	writeInt(h, int(n))
	return sum(h)
}
