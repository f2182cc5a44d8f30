package wasmbin

import "iter"

// Names is the payload of a module's name section.
type Names []byte

// Names returns the module's name section, nil if there is none.
func (m *Module) Names() Names {
	for _, s := range m.Sections {
		if s.ID == SecCustom && s.Name == "name" {
			return s.Payload
		}
	}
	return nil
}

// Function returns the name of the function with the index, empty if it has none.
func (n Names) Function(index uint32) string {
	for fn, name := range n.Functions() {
		if fn == index {
			return name
		}
	}
	return ""
}

// Functions are the functions that have a name, as far as the section can be read.
func (n Names) Functions() iter.Seq2[uint32, string] {
	const functions = 1
	return func(yield func(uint32, string) bool) {
		r := NewReader(n, 0)
		for r.Len() > 0 && r.Err() == nil {
			id := r.Byte()
			part := r.Bytes(r.U32())
			if id != functions {
				continue
			}
			in := NewReader(part, 0)
			for range in.Count() {
				fn, name := in.U32(), in.Name()
				if in.Err() != nil || !yield(fn, name) {
					return
				}
			}
		}
	}
}
