package prepare

import (
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

type writer struct{ out []byte }

func newWriter() *writer { return &writer{[]byte("\x00asm\x01\x00\x00\x00")} }

// section writes a section, unless its payload is nil.
func (w *writer) section(id byte, payload []byte) {
	if payload == nil {
		return
	}
	w.out = append(w.out, id)
	w.out = wasmbin.AppendBytes(w.out, payload)
}

func (w *writer) custom(name string, payload []byte) {
	w.section(wasmbin.SecCustom, append(wasmbin.AppendBytes(nil, name), payload...))
}

// copy takes a section over as it is.
func (w *writer) copy(m *wasmbin.Module, id byte) {
	if s, ok := m.Section(id); ok {
		w.section(id, s.Payload)
	}
}

func appendTypes(b []byte, types []wasmbin.ValType) []byte {
	b = wasmbin.AppendU32(b, uint32(len(types)))
	for _, t := range types {
		b = append(b, byte(t))
	}
	return b
}

// names writes the name section with the functions' new indices. A name section that
// cannot be read has no meaning, and is dropped.
func (w *writer) names(p *preparation) {
	for _, s := range p.m.Sections {
		if s.ID != wasmbin.SecCustom || s.Name != "name" {
			continue
		}
		if out := p.renumber(s); out != nil {
			w.custom("name", out)
		}
		return
	}
}

// The parts of the name section that are kept.
const (
	namesModule = iota
	namesFunctions
	namesLocals
)

func (p *preparation) renumber(s wasmbin.Section) []byte {
	var out []byte
	r := wasmbin.NewReader(s.Payload, s.Offset)
	for r.Len() > 0 {
		id := r.Byte()
		part := r.Bytes(r.U32())
		in := wasmbin.NewReader(part, 0)
		switch id {
		case namesModule:
			part = wasmbin.AppendBytes(nil, in.Name())
		case namesFunctions:
			part = p.nameMap(in, func(b []byte) []byte { return wasmbin.AppendBytes(b, in.Name()) })
		case namesLocals:
			part = p.nameMap(in, func(b []byte) []byte {
				start := in.Pos()
				for range in.Count() {
					in.U32()
					in.Name()
				}
				return append(b, in.Since(start)...)
			})
		default:
			continue
		}
		if in.Err() != nil {
			return nil
		}
		out = wasmbin.AppendBytes(append(out, id), part)
	}
	if r.Err() != nil {
		return nil
	}
	return out
}

// nameMap copies a map from function indices to what value copies.
func (p *preparation) nameMap(in *wasmbin.Reader, value func([]byte) []byte) []byte {
	n := in.Count()
	out := wasmbin.AppendU32(nil, uint32(n))
	for range n {
		out = value(wasmbin.AppendU32(out, p.moved(in.U32())))
		if in.Err() != nil {
			break
		}
	}
	return out
}
