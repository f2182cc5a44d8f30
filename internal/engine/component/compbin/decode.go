package compbin

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/terrane/terrane/internal/engine/component/ctype"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

const (
	header  = "\x00asm\x0d\x00\x01\x00"
	preface = "\x00asm"
)

// Limits bound what Decode takes. A zero field is the default.
type Limits struct {
	Size   int // bytes of the component; 64 MiB
	Depth  int // of nested components and of types in types; 32
	Items  int // definitions of all components and types together; 50,000
	Effort int // types that are copied and compared; 4,000,000
}

func (l Limits) complete() Limits {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&l.Size, 64<<20)
	set(&l.Depth, 32)
	set(&l.Items, 50_000)
	set(&l.Effort, 4_000_000)
	return l
}

// Recognise reports whether the file is a component, of whatever version.
func Recognise(wasm []byte) bool {
	return len(wasm) >= len(header) && string(wasm[:4]) == preface && wasm[6] == 1 && wasm[7] == 0
}

// Decode reads and validates a component.
func Decode(wasm []byte, l Limits) (*Component, error) {
	l = l.complete()
	if len(wasm) > l.Size {
		return nil, fmt.Errorf("the component has %d bytes; the limit is %d", len(wasm), l.Size)
	}
	d := &decoder{limits: l, items: l.Items, effort: l.Effort}
	r := wasmbin.NewReader(wasm, 0)
	return d.component(r, nil)
}

// decoder is what the scopes of one file share.
type decoder struct {
	limits        Limits
	items, effort int // left
	primitives    [ctype.String + 1]*ctype.Value
}

// primitive is the one type of the kind.
func (d *decoder) primitive(k ctype.Kind) *ctype.Value {
	if d.primitives[k] == nil {
		d.primitives[k] = ctype.Primitive(k)
	}
	return d.primitives[k]
}

func (d *decoder) component(r *wasmbin.Reader, outer *scope) (*Component, error) {
	if got := r.Bytes(uint32(min(len(header), r.Len()))); string(got) != header {
		return nil, versionError(got)
	}
	s, err := d.scope(outer, inComponent)
	if err != nil {
		return nil, err
	}
	for r.Len() > 0 {
		id := r.Byte()
		size := r.U32()
		at := r.Offset()
		body := wasmbin.NewReader(r.Bytes(size), at)
		if r.Err() != nil {
			return nil, r.Err()
		}
		if err := s.section(id, body, int(size)); err != nil {
			return nil, err
		}
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	t, err := s.componentType()
	if err != nil {
		return nil, err
	}
	return &Component{s.defs, t}, nil
}

func versionError(got []byte) error {
	switch {
	case len(got) < len(header):
		return fmt.Errorf("the component ends after %d bytes: it was not copied whole", len(got))
	case bytes.HasPrefix(got, []byte(preface)) && got[6] == 1 && got[7] == 0:
		return fmt.Errorf("this is a component of the binary format's version %d; this edge reads version 13: "+
			"build it with tools of WASI 0.2 or 0.3", uint(got[4])|uint(got[5])<<8)
	case bytes.HasPrefix(got, []byte(preface)):
		return errors.New("a core module where a component is expected")
	}
	return errors.New("a nested component does not begin with the header of a component")
}

// The sections.
const (
	secCustom = iota
	secCoreModule
	secCoreInstance
	secCoreType
	secComponent
	secInstance
	secAlias
	secType
	secCanon
	secStart
	secImport
	secExport
	secValue
)

func (s *scope) section(id byte, r *wasmbin.Reader, size int) error {
	var read func(*wasmbin.Reader) error
	switch id {
	case secCustom:
		r.Name()
		return r.Err()
	case secCoreModule:
		return s.coreModule(r, size)
	case secComponent:
		return s.nested(r)
	case secCoreInstance:
		read = s.coreInstance
	case secCoreType:
		read = s.coreType
	case secInstance:
		read = s.instance
	case secAlias:
		read = s.alias
	case secType:
		read = s.typeDef
	case secCanon:
		read = s.canon
	case secImport:
		read = s.importDef
	case secExport:
		read = s.exportDef
	case secStart, secValue:
		r.Fail("values and start functions of components are not supported")
		return r.Err()
	default:
		r.Fail("section %d is not part of a component", id)
		return r.Err()
	}
	n := r.Count()
	for range n {
		if err := s.read(r, read); err != nil {
			return err
		}
	}
	if r.Len() > 0 {
		r.Fail("section %d has %d bytes too many", id, r.Len())
	}
	return r.Err()
}

// read reads one definition. An error that is not the reader's is given its place.
func (s *scope) read(r *wasmbin.Reader, read func(*wasmbin.Reader) error) error {
	if r.Err() != nil {
		return r.Err()
	}
	if s.d.items--; s.d.items < 0 {
		r.Fail("the component has more than %d definitions", s.d.limits.Items)
		return r.Err()
	}
	at := r.Offset()
	err := read(r)
	if r.Err() != nil {
		return r.Err()
	}
	return place(err, at)
}

// placed is an error that says at which byte it is.
type placed struct{ error }

// Unwrap returns the fault.
func (p placed) Unwrap() error { return p.error }

func place(err error, at int) error {
	if p := (placed{}); err == nil || errors.As(err, &p) {
		return err
	}
	return placed{fmt.Errorf("byte %d: %w", at, err)}
}

func (s *scope) coreModule(r *wasmbin.Reader, size int) error {
	at := r.Offset()
	m, err := wasmbin.Decode(r.Bytes(uint32(size)))
	if err != nil {
		return fmt.Errorf("the core module at byte %d: %w", at, err)
	}
	s.d.items -= len(m.Imports) + len(m.Exports)
	if s.d.items < 0 {
		return fmt.Errorf("the component has more than %d definitions", s.d.limits.Items)
	}
	imports := make(map[[2]string]bool, len(m.Imports))
	for i := range m.Imports {
		key := [2]string{m.Imports[i].Module, m.Imports[i].Name}
		if imports[key] {
			return fmt.Errorf("the core module at byte %d imports %q %q twice", at, key[0], key[1])
		}
		imports[key] = true
	}
	s.coreModules = append(s.coreModules, moduleType(m))
	s.add(CoreModule{m, size})
	return nil
}

func moduleType(m *wasmbin.Module) *ctype.Module {
	t := &ctype.Module{Imports: m.Imports, Funcs: m.Types}
	spaces := newSpaces(m)
	for _, e := range m.Exports {
		out := ctype.CoreExport{Name: e.Name, Kind: e.Kind}
		switch e.Kind {
		case wasmbin.KindFunc:
			out.Func = m.Types[spaces.funcs[e.Index]]
		case wasmbin.KindTable:
			out.Table = spaces.tables[e.Index]
		case wasmbin.KindMemory:
			out.Memory = spaces.memories[e.Index]
		default:
			out.Global = spaces.globals[e.Index]
		}
		t.Exports = append(t.Exports, out)
	}
	return t
}

// spaces are a core module's index spaces.
type spaces struct {
	funcs    []uint32 // their types
	tables   []wasmbin.Table
	memories []wasmbin.Limits
	globals  []wasmbin.Global
}

func newSpaces(m *wasmbin.Module) (s spaces) {
	for i := range m.Imports {
		switch im := &m.Imports[i]; im.Kind {
		case wasmbin.KindFunc:
			s.funcs = append(s.funcs, im.Type)
		case wasmbin.KindTable:
			s.tables = append(s.tables, im.Table)
		case wasmbin.KindMemory:
			s.memories = append(s.memories, im.Memory)
		default:
			s.globals = append(s.globals, im.Global)
		}
	}
	s.funcs = append(s.funcs, m.Funcs...)
	s.tables = append(s.tables, m.Tables...)
	s.memories = append(s.memories, m.Memories...)
	s.globals = append(s.globals, m.Globals...)
	return s
}

func (s *scope) nested(r *wasmbin.Reader) error {
	c, err := s.d.component(r, s)
	if err != nil {
		return err
	}
	s.components = append(s.components, c.Type)
	s.add(Nested{c})
	return nil
}
