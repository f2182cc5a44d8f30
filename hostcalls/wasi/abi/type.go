package abi

import (
	"fmt"
	"strings"

	"github.com/terrane/terrane/hostcalls"
)

// kind is the kind of a component-level type.
type kind uint8

const (
	kindBool kind = iota
	kindInt       // of size bytes, signed or not
	kindChar
	kindString
	kindList
	kindRecord // tuples too
	kindVariant
	kindFlags
	kindOwn
	kindBorrow
)

// Type is a component-level type with its layout in memory. Enums, options and results are
// variants, tuples are records.
type Type struct {
	kind        kind
	name        string // of a number or a resource
	size, align uint32
	elem        *Type  // of a list
	parts       []part // fields, cases or flags
	disc        uint32 // size of a variant's discriminant
	payload     uint32 // offset of a variant's payload
	flat        []core // the core values that it flattens to
}

// core is a core value's type.
type core = hostcalls.ValueType

// part is a field of a record, a case of a variant or a flag.
type part struct {
	name   string
	typ    *Type // nil for a case without a payload, and for a flag
	offset uint32
}

// The layout follows the Canonical ABI: alignment, elem_size and flatten_type.

func number(name string, size uint32, c core) *Type {
	return &Type{kind: kindInt, name: name, size: size, align: size, flat: []core{c}}
}

func primitive(name string) *Type {
	switch name {
	case "bool":
		return &Type{kind: kindBool, name: name, size: 1, align: 1, flat: []core{hostcalls.I32}}
	case "u8", "s8":
		return number(name, 1, hostcalls.I32)
	case "u16", "s16":
		return number(name, 2, hostcalls.I32)
	case "u32", "s32":
		return number(name, 4, hostcalls.I32)
	case "u64", "s64":
		return number(name, 8, hostcalls.I64)
	case "char":
		return &Type{kind: kindChar, name: name, size: 4, align: 4, flat: []core{hostcalls.I32}}
	case "string":
		return &Type{kind: kindString, name: name, size: 8, align: 4, flat: []core{hostcalls.I32, hostcalls.I32}}
	}
	return nil
}

func list(elem *Type) *Type {
	return &Type{kind: kindList, elem: elem, size: 8, align: 4, flat: []core{hostcalls.I32, hostcalls.I32}}
}

func handle(k kind, resource string) *Type {
	return &Type{kind: k, name: resource, size: 4, align: 4, flat: []core{hostcalls.I32}}
}

func record(parts []part) *Type {
	t := &Type{kind: kindRecord, align: 1, parts: parts}
	for i := range parts {
		p := &parts[i]
		p.offset = alignTo(t.size, p.typ.align)
		t.size = p.offset + p.typ.size
		t.align = max(t.align, p.typ.align)
		t.flat = append(t.flat, p.typ.flat...)
	}
	t.size = alignTo(t.size, t.align)
	return t
}

func variant(cases []part) *Type {
	t := &Type{kind: kindVariant, parts: cases, disc: 1}
	if len(cases) > 1<<8 {
		t.disc = 2
	}
	t.align = t.disc
	most := uint32(0)
	t.flat = []core{hostcalls.I32}
	for _, c := range cases {
		if c.typ == nil {
			continue
		}
		t.align = max(t.align, c.typ.align)
		most = max(most, c.typ.size)
		for i, f := range c.typ.flat {
			if i+1 == len(t.flat) {
				t.flat = append(t.flat, f)
			} else if t.flat[i+1] != f {
				t.flat[i+1] = hostcalls.I64 // no interface has floating point numbers
			}
		}
	}
	payloadAlign := uint32(1)
	for _, c := range cases {
		if c.typ != nil {
			payloadAlign = max(payloadAlign, c.typ.align)
		}
	}
	t.payload = alignTo(t.disc, payloadAlign)
	t.size = alignTo(t.payload+most, t.align)
	return t
}

func flagsOf(labels []part) *Type {
	t := &Type{kind: kindFlags, parts: labels, size: 4, align: 4, flat: []core{hostcalls.I32}}
	switch {
	case len(labels) <= 8:
		t.size, t.align = 1, 1
	case len(labels) <= 16:
		t.size, t.align = 2, 2
	}
	return t
}

func alignTo(n, align uint32) uint32 { return (n + align - 1) &^ (align - 1) }

// String is the type in the syntax of WIT, names of types resolved.
func (t *Type) String() string {
	if t == nil {
		return "_"
	}
	switch t.kind {
	case kindList:
		return "list<" + t.elem.String() + ">"
	case kindOwn:
		return "own<" + t.name + ">"
	case kindBorrow:
		return "borrow<" + t.name + ">"
	case kindRecord:
		return "record" + partsText(t.parts, true)
	case kindVariant:
		return "variant" + partsText(t.parts, false)
	case kindFlags:
		return "flags" + partsText(t.parts, false)
	default:
		return t.name
	}
}

func partsText(parts []part, fields bool) string {
	var out []string
	for _, p := range parts {
		switch {
		case p.typ == nil:
			out = append(out, p.name)
		case fields:
			out = append(out, p.name+": "+p.typ.String())
		default:
			out = append(out, p.name+"("+p.typ.String()+")")
		}
	}
	return "{" + strings.Join(out, ", ") + "}"
}

// signature is the type of a function.
type signature struct {
	params []part // with offsets in the flattened parameters
	result *Type  // nil: none
	flat   []core
	ret    int // index of the parameter that says where the result goes; -1: it is returned
}

// maxFlat is the number of core parameters that a function may have before its arguments go
// through memory. No function offered has more.
const maxFlat = 16

func (s *signature) complete() error {
	for i := range s.params {
		s.params[i].offset = uint32(len(s.flat))
		s.flat = append(s.flat, s.params[i].typ.flat...)
	}
	if len(s.flat) > maxFlat {
		return fmt.Errorf("%d core parameters, more than %d", len(s.flat), maxFlat)
	}
	s.ret = -1
	if s.result != nil && len(s.result.flat) > 1 {
		s.ret = len(s.flat)
		s.flat = append(s.flat, hostcalls.I32)
	}
	return nil
}

// results are the core results.
func (s *signature) results() []core {
	if s.result == nil || s.ret >= 0 {
		return nil
	}
	return s.result.flat
}

// String is the type in the syntax of WIT.
func (s *signature) String() string {
	params := partsText(s.params, true)
	out := "func(" + params[1:len(params)-1] + ")"
	if s.result != nil {
		out += " -> " + s.result.String()
	}
	return out
}
