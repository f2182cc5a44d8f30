package prepare

import "github.com/terrane/terrane/internal/engine/wasmbin"

// Version names what Prepare and Shell make of modules. Whoever keeps what they made
// keeps it under this name; TestVersion finds out that it must change.
const Version = "c9e0cdfa39b68094"

// Shell returns the prepared module with a body for each of its functions that only traps, which
// is valid for every type. It bears the key, in a custom section, so that modules that
// differ in their code alone have different shells.
func Shell(prepared, key []byte) ([]byte, error) {
	m, err := wasmbin.Decode(prepared)
	if err != nil {
		return nil, err
	}
	w := newWriter()
	for _, s := range m.Sections {
		switch s.ID {
		case wasmbin.SecCode:
			code := wasmbin.AppendU32(nil, uint32(len(m.Bodies)))
			for range m.Bodies {
				code = wasmbin.AppendBytes(code, []byte{0, wasmbin.OpUnreachable, wasmbin.OpEnd})
			}
			w.section(s.ID, code)
		case wasmbin.SecCustom:
			w.custom(s.Name, s.Payload)
		default:
			w.section(s.ID, s.Payload)
		}
	}
	w.custom(Module, key)
	return w.out, nil
}
