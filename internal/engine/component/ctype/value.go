package ctype

import (
	"strings"

	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// Kind is the constructor of a value type.
type Kind uint8

// The kinds of value types.
const (
	Bool Kind = iota
	S8
	U8
	S16
	U16
	S32
	U32
	S64
	U64
	F32
	F64
	Char
	String
	Record
	Variant
	List
	Tuple
	Flags
	Enum
	Option
	Result
	Own
	Borrow
	Stream
	Future
)

// String is the kind's name in WIT.
func (k Kind) String() string {
	return [...]string{"bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string",
		"record", "variant", "list", "tuple", "flags", "enum", "option", "result", "own", "borrow", "stream", "future"}[k]
}

// Value is a value type.
type Value struct {
	Kind Kind
	// Fields are a record's fields, a variant's cases, the names of flags and of an enum, and a
	// tuple's elements, which have no names.
	Fields []Field
	// Elem is what a list, option, stream or future has, or a result's ok. It can be nil for the last three.
	Elem     *Value
	Other    *Value    // a result's error, can be nil
	Resource *Resource // of Own and Borrow

	facts
}

// Field is a part of a record, variant, flags, enum or tuple.
type Field struct {
	Name string
	Type *Value // nil for a case without a payload, a flag and an enum's case
}

// facts are computed when a type is made.
type facts struct {
	nodes   int // types in it, itself included, with repetitions
	depth   int // of nesting
	flat    int // core values it is flattened to, at most tooFlat
	size    uint32
	align   uint32
	handles bool // has an Own or Borrow in it, of a resource or of a stream's element
	borrows bool
	lists   bool // needs memory and an allocator
	strings bool
	async   bool // has a stream or future in it
}

// The bounds of a value type. They are those of the reference implementation.
const (
	maxNodes = 1_000_000
	maxDepth = 100
	maxBytes = 1 << 28
	tooFlat  = 17 // more than MaxParams; the number no longer matters
)

// Primitive makes a type of a kind up to String.
func Primitive(k Kind) *Value {
	v := &Value{Kind: k}
	_ = v.finish() // primitives exceed no bound
	return v
}

// MaxFlags bounds the flags of one type.
const MaxFlags = 32

// NewValue completes a type that is not primitive. The error says which bound it exceeds.
func NewValue(v Value) (*Value, error) {
	if err := v.finish(); err != nil {
		return nil, err
	}
	return &v, nil
}

func (v *Value) finish() error {
	v.facts = facts{nodes: 1, depth: 1, align: 1}
	v.parts(func(p *Value) {
		v.nodes += p.nodes
		v.depth = max(v.depth, p.depth+1)
		v.handles = v.handles || p.handles
		v.borrows = v.borrows || p.borrows
		v.lists = v.lists || p.lists
		v.strings = v.strings || p.strings
		v.async = v.async || p.async
	})
	if v.nodes > maxNodes || v.depth > maxDepth {
		return errDeep
	}
	switch v.Kind {
	case Own, Borrow:
		v.handles, v.borrows = true, v.Kind == Borrow
		v.flat, v.size, v.align = 1, 4, 4
	case Stream, Future:
		v.async, v.flat, v.size, v.align = true, 1, 4, 4
		v.lists, v.strings = false, false
	case List:
		v.lists, v.flat, v.size, v.align = true, 2, 8, 4
	case String:
		v.lists, v.strings, v.flat, v.size, v.align = true, true, 2, 8, 4
	case Record, Tuple:
		return v.product()
	case Variant, Enum, Option, Result:
		return v.sum()
	case Flags:
		v.flat = 1
		switch n := len(v.Fields); {
		case n <= 8:
			v.size, v.align = 1, 1
		case n <= 16:
			v.size, v.align = 2, 2
		default:
			v.size, v.align = 4, 4
		}
	default:
		v.flat, v.size, v.align = 1, v.Kind.size(), v.Kind.size()
	}
	return nil
}

func (v *Value) primitive() bool { return v.Kind <= String }

// size is the size of a primitive type in memory, which is its alignment too.
func (k Kind) size() uint32 {
	switch k {
	case Bool, S8, U8:
		return 1
	case S16, U16:
		return 2
	case S64, U64, F64:
		return 8
	}
	return 4
}

// parts calls f for each type that v is made of, repetitions included.
func (v *Value) parts(f func(*Value)) {
	for i := range v.Fields {
		if v.Fields[i].Type != nil {
			f(v.Fields[i].Type)
		}
	}
	if v.Elem != nil {
		f(v.Elem)
	}
	if v.Other != nil {
		f(v.Other)
	}
}

func (v *Value) product() error {
	size := uint64(0)
	for i := range v.Fields {
		p := v.Fields[i].Type
		v.align = max(v.align, p.align)
		size = alignUp(size, p.align) + uint64(p.size)
		v.flat = min(v.flat+p.flat, tooFlat)
	}
	return v.setSize(alignUp(size, v.align))
}

func (v *Value) sum() error {
	var cases []*Value
	switch v.Kind {
	case Option:
		cases = []*Value{nil, v.Elem}
	case Result:
		cases = []*Value{v.Elem, v.Other}
	default:
		for i := range v.Fields {
			cases = append(cases, v.Fields[i].Type)
		}
	}
	tag := uint32(4)
	switch {
	case len(cases) <= 1<<8:
		tag = 1
	case len(cases) <= 1<<16:
		tag = 2
	}
	v.align = tag
	size, flat := uint64(0), 0
	for _, p := range cases {
		if p != nil {
			v.align = max(v.align, p.align)
			size = max(size, uint64(p.size))
			flat = max(flat, p.flat)
		}
	}
	v.flat = min(flat+1, tooFlat)
	return v.setSize(alignUp(alignUp(uint64(tag), v.align)+size, v.align))
}

func (v *Value) setSize(size uint64) error {
	if size > maxBytes {
		return errLarge
	}
	v.size = uint32(size)
	return nil
}

func alignUp(n uint64, align uint32) uint64 {
	return (n + uint64(align) - 1) / uint64(align) * uint64(align)
}

// Size and Align are those of the type in memory.
func (v *Value) Size() uint32 { return v.size }

// Align is the type's alignment in memory.
func (v *Value) Align() uint32 { return v.align }

// HasBorrow reports whether there is a borrow in the type.
func (v *Value) HasBorrow() bool { return v.borrows }

// HasAsync reports whether there is a stream or future in the type.
func (v *Value) HasAsync() bool { return v.async }

// flatten appends the core values that v is passed as. The caller has checked v.flat.
func (v *Value) flatten(to []wasmbin.ValType) []wasmbin.ValType {
	switch v.Kind {
	case S64, U64:
		return append(to, wasmbin.I64)
	case F32:
		return append(to, wasmbin.F32)
	case F64:
		return append(to, wasmbin.F64)
	case String, List:
		return append(to, wasmbin.I32, wasmbin.I32)
	case Record, Tuple:
		for i := range v.Fields {
			to = v.Fields[i].Type.flatten(to)
		}
		return to
	case Variant, Enum, Option, Result:
		at := len(to) + 1
		to = append(to, wasmbin.I32)
		v.parts(func(p *Value) {
			for i, t := range p.flatten(nil) {
				if at+i == len(to) {
					to = append(to, t)
				} else {
					to[at+i] = join(to[at+i], t)
				}
			}
		})
		return to
	default:
		return append(to, wasmbin.I32)
	}
}

// join is the core type that holds either of two.
func join(a, b wasmbin.ValType) wasmbin.ValType {
	switch {
	case a == b:
		return a
	case a == wasmbin.I32 && b == wasmbin.F32, a == wasmbin.F32 && b == wasmbin.I32:
		return wasmbin.I32
	}
	return wasmbin.I64
}

// String is the type in the text of WIT. Names of types are not known; what is nested deep is left out.
func (v *Value) String() string {
	var b strings.Builder
	v.write(&b, 0)
	return b.String()
}

const writtenDepth = 4

func (v *Value) write(b *strings.Builder, depth int) {
	if v == nil {
		b.WriteByte('_')
		return
	}
	b.WriteString(v.Kind.String())
	if depth == writtenDepth && v.Kind > String || v.Kind <= String {
		return
	}
	switch v.Kind {
	case Own, Borrow:
		b.WriteString("<" + v.Resource.ID.String() + ">")
	case Record, Variant, Flags, Enum, Tuple:
		b.WriteByte('<')
		for i, f := range v.Fields {
			if i > 0 {
				b.WriteString(", ")
			}
			if b.WriteString(f.Name); f.Type != nil {
				if f.Name != "" {
					b.WriteString(": ")
				}
				f.Type.write(b, depth+1)
			}
		}
		b.WriteByte('>')
	default:
		if v.Elem == nil && v.Other == nil {
			return
		}
		b.WriteByte('<')
		v.Elem.write(b, depth+1)
		if v.Other != nil {
			b.WriteString(", ")
			v.Other.write(b, depth+1)
		}
		b.WriteByte('>')
	}
}
