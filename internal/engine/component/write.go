package component

import (
	"fmt"
	"maps"
	"slices"

	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// write writes the merged module. run is the entry.
func (m *merger) write(memory *wasmbin.Limits, run uint32) ([]byte, error) {
	start := m.start()
	globals, err := m.globals()
	if err != nil {
		return nil, err
	}
	w := &writer{[]byte("\x00asm\x01\x00\x00\x00")}
	out := wasmbin.AppendU32(nil, uint32(len(m.types)))
	for _, t := range m.types {
		out = appendTypes(appendTypes(append(out, 0x60), t.Params), t.Results)
	}
	w.section(wasmbin.SecType, out)
	out = wasmbin.AppendU32(nil, uint32(len(m.imports)))
	for _, h := range m.imports {
		out = append(wasmbin.AppendBytes(wasmbin.AppendBytes(out, h.module), h.name), byte(wasmbin.KindFunc))
		out = wasmbin.AppendU32(out, m.typeIndex(h.typ))
	}
	w.section(wasmbin.SecImport, out)
	w.section(wasmbin.SecFunction, m.functionSection())
	w.section(wasmbin.SecTable, m.tableSection())
	if memory != nil {
		w.section(wasmbin.SecMemory, appendLimits([]byte{1}, *memory))
	}
	w.section(wasmbin.SecGlobal, globals)
	out = append(wasmbin.AppendBytes([]byte{1}, entryName), byte(wasmbin.KindFunc))
	w.section(wasmbin.SecExport, wasmbin.AppendU32(out, run))
	if start != gone {
		w.section(wasmbin.SecStart, wasmbin.AppendU32(nil, start))
	}
	m.declare()
	w.vector(wasmbin.SecElement, m.elems, m.elements)
	if m.segments > 0 {
		w.section(wasmbin.SecDataCount, wasmbin.AppendU32(nil, m.segments))
	}
	for _, a := range m.added {
		m.code = wasmbin.AppendBytes(m.code, a.body)
	}
	w.vector(wasmbin.SecCode, m.bodies+uint32(len(m.added)), m.code)
	w.vector(wasmbin.SecData, m.segments, m.data)
	names := m.functionNames()
	w.section(wasmbin.SecCustom, append(wasmbin.AppendBytes(nil, "name"), wasmbin.AppendBytes([]byte{1}, names)...))
	return w.out, nil
}

type writer struct{ out []byte }

func (w *writer) section(id byte, payload []byte) {
	w.out = wasmbin.AppendBytes(append(w.out, id), payload)
}

// vector writes a section of n elements that are written already, unless there are none.
func (w *writer) vector(id byte, n uint32, elements []byte) {
	if n == 0 {
		return
	}
	count := wasmbin.AppendU32(nil, n)
	w.out = slices.Grow(w.out, len(elements)+16)
	w.out = wasmbin.AppendU32(append(w.out, id), uint32(len(count)+len(elements)))
	w.out = append(append(w.out, count...), elements...)
}

func appendTypes(b []byte, types []wasmbin.ValType) []byte {
	b = wasmbin.AppendU32(b, uint32(len(types)))
	for _, t := range types {
		b = append(b, byte(t))
	}
	return b
}

func appendLimits(b []byte, l wasmbin.Limits) []byte {
	if !l.HasMax {
		return wasmbin.AppendU32(append(b, 0), l.Min)
	}
	return wasmbin.AppendU32(wasmbin.AppendU32(append(b, 1), l.Min), l.Max)
}

func (m *merger) functionSection() []byte {
	out := wasmbin.AppendU32(nil, m.bodies+uint32(len(m.added)))
	for _, u := range m.units {
		if u.emits {
			for _, t := range u.Funcs {
				out = wasmbin.AppendU32(out, u.typeTo[t])
			}
		}
	}
	for _, a := range m.added {
		out = wasmbin.AppendU32(out, a.typ)
	}
	return out
}

func (m *merger) tableSection() []byte {
	var out []byte
	n := uint32(0)
	for _, u := range m.units {
		for i, t := range u.Tables {
			if !m.trampolines.fixed[entity{u, uint32(i)}] {
				out = appendLimits(append(out, byte(t.Type)), t.Limits)
				n++
			}
		}
	}
	return append(wasmbin.AppendU32(nil, n), out...)
}

func (m *merger) globals() ([]byte, error) {
	var out []byte
	n := uint32(0)
	for _, u := range m.units {
		for i, g := range u.Globals {
			mutable := byte(0)
			if g.Mutable {
				mutable = 1
			}
			var err error
			if out, err = m.constant(append(out, byte(g.Type), mutable), u, g.Init); err != nil {
				return nil, fmt.Errorf("global %d: %w", i, err)
			}
			n++
		}
	}
	return append(wasmbin.AppendU32(nil, n), out...), nil
}

// start is the function that calls the units' start functions in their order; gone if there are none.
func (m *merger) start() uint32 {
	var all []uint32
	for _, u := range m.units {
		for _, fn := range u.starts {
			all = append(all, u.funcTo[fn])
		}
	}
	if len(all) < 2 {
		return append(all, gone)[0]
	}
	w := body{}
	w.locals()
	for _, fn := range all {
		w.op(wasmbin.OpCall, fn)
	}
	w.raw(wasmbin.OpEnd)
	return m.add("start", procedure(nil), w.out)
}

// declare adds a segment with the functions that code makes references of.
func (m *merger) declare() {
	if len(m.declared) == 0 {
		return
	}
	const declarative = segPassive | segExplicit
	out := append(wasmbin.AppendU32(m.elements, declarative), 0)
	out = wasmbin.AppendU32(out, uint32(len(m.declared)))
	for _, fn := range slices.Sorted(maps.Keys(m.declared)) {
		out = wasmbin.AppendU32(out, fn)
	}
	m.elements = out
	m.elems++
}

// functionNames is the functions' part of the name section.
func (m *merger) functionNames() []byte {
	var out []byte
	n := uint32(0)
	name := func(index uint32, s string) {
		out = wasmbin.AppendBytes(wasmbin.AppendU32(out, index), s)
		n++
	}
	for i, h := range m.imports {
		name(uint32(i), h.module+"."+h.name)
	}
	for _, u := range m.units {
		if !u.emits {
			continue
		}
		last := -1
		for index, s := range u.Names().Functions() {
			own := int(index) - len(u.funcs)
			if own > last && own < len(u.Funcs) {
				name(u.firstFunc+uint32(own), s)
				last = own
			}
		}
	}
	for i, a := range m.added {
		name(m.defined+uint32(i), a.name)
	}
	return append(wasmbin.AppendU32(nil, n), out...)
}
