package configs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

type kind uint8

const (
	null kind = iota
	scalar
	mapping
	sequence
)

// A Node is a part of a configuration that is not decoded yet. A struct field of this type takes its part as it stands, to be
// decoded once it is known into what (the stages of an experiment).
type Node struct {
	kind   kind
	text   string // of a scalar
	quoted bool
	keys   []string // of a mapping, in the order of the source
	elems  []*Node  // of a mapping (one a key) or a sequence
	file   string
	line   int
	path   string
}

// IsZero tells whether the configuration has no such part.
func (n Node) IsZero() bool { return n.file == "" }

// Keys lists the keys of a mapping in the order of the source; nil for anything else.
func (n *Node) Keys() []string { return n.keys }

// Get returns the part under a key, nil when there is none.
func (n *Node) Get(key string) *Node {
	for i, k := range n.keys {
		if k == key {
			return n.elems[i]
		}
	}
	return nil
}

// Text is the text of a scalar, "" for anything else.
func (n *Node) Text() string { return n.text }

// Fault says what is wrong with this part.
func (n *Node) Fault(format string, args ...any) Fault {
	return Fault{File: n.file, Line: n.line, Key: n.path, Msg: fmt.Sprintf(format, args...)}
}

// Decode fills into, a pointer to a struct with its defaults, as Load does; an empty part leaves them. Keys in skip are
// neither decoded nor unknown.
func (n *Node) Decode(into any, skip ...string) error {
	return n.decode(into, skip, &Faults{})
}

func (n *Node) describe() string {
	switch n.kind {
	case null:
		return "nothing"
	case scalar:
		if n.quoted {
			return strconv.Quote(n.text)
		}
		return n.text
	case mapping:
		return "a mapping"
	default:
		return "a list"
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// parse turns YAML into a Node, nil when the source cannot be read at all. The subset is the one without surprises: no anchors,
// merges or tags, one document; those and duplicate keys are faults that leave the rest readable.
func parse(name string, src []byte, faults *Faults) (root *Node) {
	root = &Node{kind: mapping, file: name}
	defer func() {
		if p := recover(); p != nil { // the library's parser must not end the process on any input
			faults.put(Fault{File: name, Msg: fmt.Sprintf("not readable as YAML: %v", p)})
			root = nil
		}
	}()
	file, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		f := Fault{File: name, Msg: err.Error()}
		var located yaml.Error
		if errors.As(err, &located) {
			f.Msg = located.GetMessage()
			if t := located.GetToken(); t != nil && t.Position != nil {
				f.Line = t.Position.Line
			}
		}
		faults.put(f)
		return nil
	}
	var docs []ast.Node
	for _, d := range file.Docs {
		if d.Body != nil && d.Body.Type() != ast.CommentType {
			docs = append(docs, d.Body)
		}
	}
	if len(docs) > 1 {
		faults.put(Fault{File: name, Line: docs[1].GetToken().Position.Line, Msg: "a second document: want one"})
		return nil
	}
	if len(docs) == 0 {
		return root
	}
	c := &converter{file: name, faults: faults}
	n := c.node(docs[0], "")
	if n.kind != mapping && n.kind != null {
		faults.put(Fault{File: name, Line: n.line, Msg: "found " + n.describe() + ", want keys with values"})
		return nil
	}
	n.kind = mapping
	return n
}

type converter struct {
	file   string
	faults *Faults
}

func (c *converter) node(a ast.Node, path string) *Node {
	n := &Node{file: c.file, path: path}
	if t := a.GetToken(); t != nil && t.Position != nil {
		n.line = t.Position.Line
	}
	switch a := a.(type) {
	case *ast.NullNode:
	case *ast.MappingNode:
		n.kind = mapping
		for _, v := range a.Values {
			c.entry(n, v)
		}
	case *ast.MappingValueNode:
		n.kind = mapping
		c.entry(n, a)
	case *ast.SequenceNode:
		n.kind = sequence
		for i, v := range a.Values {
			n.elems = append(n.elems, c.node(v, fmt.Sprintf("%s[%d]", path, i)))
		}
	case *ast.LiteralNode:
		n.kind, n.text, n.quoted = scalar, a.Value.Value, true
	case *ast.StringNode:
		t := a.GetToken().Type
		n.kind, n.text = scalar, a.Value
		n.quoted = t == token.SingleQuoteType || t == token.DoubleQuoteType
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		n.kind, n.text = scalar, a.GetToken().Value
	default:
		c.faults.put(n.Fault("%s is not supported here", strings.ToLower(a.Type().String())))
	}
	return n
}

func (c *converter) entry(n *Node, v *ast.MappingValueNode) {
	line := v.Key.GetToken().Position.Line
	if _, ok := v.Key.(*ast.MergeKeyNode); ok {
		c.faults.put(Fault{File: c.file, Line: line, Key: n.path, Msg: "merging with << is not supported here"})
		return
	}
	key := v.Key.GetToken().Value
	path := join(n.path, key)
	if first := n.Get(key); first != nil {
		c.faults.put(Fault{File: c.file, Line: line, Key: path, Msg: fmt.Sprintf("duplicate key, first on line %d", first.line)})
		return
	}
	child := c.node(v.Value, path)
	child.line = line // a fault of a value is shown where its key stands
	n.keys = append(n.keys, key)
	n.elems = append(n.elems, child)
}

// override applies one "a.b=value"; the value is YAML.
func override(root *Node, set string, faults *Faults) {
	origin := "--set " + set
	key, text, ok := strings.Cut(set, "=")
	key = strings.TrimSpace(key)
	if !ok || key == "" {
		faults.put(Fault{File: origin, Msg: "want key=value"})
		return
	}
	if strings.Contains(key, "[") {
		faults.put(Fault{File: origin, Msg: "a list is set as a whole: key=[a, b]"})
		return
	}
	var value *Node
	sub := &Faults{}
	if text == "" {
		value = &Node{kind: scalar, quoted: true} // --set key= is the empty text
	} else if wrapped := parse(origin, []byte("v: "+text), sub); len(sub.List) == 0 {
		value = wrapped.Get("v")
	}
	if value == nil {
		for _, f := range sub.List {
			faults.put(Fault{File: origin, Key: key, Msg: f.Msg})
		}
		return
	}
	at := root
	parts := strings.Split(key, ".")
	for i, part := range parts {
		if at.kind != mapping {
			*at = Node{kind: mapping, file: origin, path: at.path}
		}
		next := at.Get(part)
		if next == nil {
			next = &Node{file: origin, path: join(at.path, part)}
			at.keys, at.elems = append(at.keys, part), append(at.elems, next)
		}
		if i == len(parts)-1 {
			relabel(value, origin, next.path)
			*next = *value
		}
		at = next
	}
}

// relabel gives a tree that was parsed by itself its place in the whole.
func relabel(n *Node, origin, path string) {
	n.file, n.line, n.path = origin, 0, path
	for i, e := range n.elems {
		if n.kind == mapping {
			relabel(e, origin, join(path, n.keys[i]))
		} else {
			relabel(e, origin, fmt.Sprintf("%s[%d]", path, i))
		}
	}
}
