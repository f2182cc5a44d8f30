package wasmbin

import (
	"slices"
	"strings"
	"testing"
)

func TestDecodeTellsWhatAFileIs(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", "empty"},
		{"cut header", "\x00asm\x01", "ends after 5 bytes"},
		{"cut header of another version", "\x00asm\x02", "ends after 5 bytes"},
		{"component", "\x00asm\x0d\x00\x01\x00", "a component where a core module"},
		{"version 2", "\x00asm\x02\x00\x00\x00", "version 02 00 00 00"},
		{"text", " \n(module)", "wat2wasm"},
		{"text that begins with a comment", ";; hello\n(module)", "wat2wasm"},
		{"component text", "(component)", "text of a component"},
		{"lfs", "version https://git-lfs.github.com/spec/v1\n", "Git LFS"},
		{"elf", "\x7fELF\x02\x01\x01", "ELF"},
		{"html", "<!doctype html>", "text file"},
		{"noise", "\xff\xfe\xfd\x00\x01\x02\x03\x04", "not WebAssembly"},
		{"cut section", header + "\x01\x05\x01", "ends too early"},
		{"huge count", header + "\x01\x05\xff\xff\xff\xff\x0f", "ends too early"},
		{"long number", header + "\x01\x06\xff\xff\xff\xff\xff\x01", "longer than 5 bytes"},
		{"section twice", header + "\x01\x01\x00\x01\x01\x00", "twice"},
		{"tag section", header + "\x0d\x01\x00", "section 13"},
		{"function without body", header + "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00", "1 functions are declared and 0"},
		{"two memories", header + "\x05\x05\x02\x00\x01\x00\x01", "more than one memory"},
		{"shared memory", header + "\x05\x04\x01\x03\x01\x01", "shared"},
		{"export of nothing", header + "\x07\x05\x01\x01a\x00\x07", `"a" names function 7 of 0`},
	} {
		_, err := Decode(slices.Clip([]byte(tt.in)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	if _, err := Decode([]byte(header)); err != nil {
		t.Errorf("the empty module: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(header))
	f.Add([]byte(header + "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x0a\x04\x01\x02\x00\x0b"))
	f.Add([]byte(header + "\x06\x06\x01\x7f\x01\x41\x00\x0b"))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := Decode(wasm)
		if err != nil {
			return
		}
		for i := range m.Funcs {
			if _, ok := m.TypeOf(uint32(m.Imported(KindFunc) + i)); !ok {
				t.Errorf("function %d has no type", i)
			}
		}
	})
}
