package prepare_test

import (
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/terrane/terrane/internal/engine/prepare"
)

// TestFresh wants each instruction to be named that changes what cannot be put back, and no other.
func TestFresh(t *testing.T) {
	r := wazero.NewRuntime(t.Context())
	defer func() { _ = r.Close(t.Context()) }()
	zeros := "\x41\x00\x41\x00\x41\x00" // three arguments
	for code, want := range map[string]string{
		"\x41\x00\xd0\x70\x26\x00":             "table.set changes a table (function 0)",
		zeros + "\xfc\x0c\x00\x00":             "table.init changes a table (function 0)",
		"\xfc\x0d\x00":                         "elem.drop drops a segment (function 0)",
		zeros + "\xfc\x0e\x00\x00":             "table.copy changes a table (function 0)",
		"\xd0\x70\x41\x00\xfc\x0f\x00\x1a":     "table.grow changes a table (function 0)",
		"\x41\x00\xd0\x70\x41\x00\xfc\x11\x00": "table.fill changes a table (function 0)",
		"\xfc\x09\x00":                         "data.drop drops a segment (function 0)",
		zeros + "\xfc\x08\x00\x00":             "", // memory.init
		zeros + "\xfc\x0a\x00\x00":             "", // memory.copy
		zeros + "\xfc\x0b\x00":                 "", // memory.fill
		"\x41\x00\x25\x00\x1a":                 "", // table.get
		"\xfc\x10\x00\x1a":                     "", // table.size
		"\x41\x00\x40\x00\x1a":                 "", // memory.grow
		"\xfc\x0d\x00\xfc\x09\x00\xfc\x0d\x00": "elem.drop drops a segment (function 0); data.drop drops a segment (function 0)",
	} {
		body := "\x00" + code + "\x0b"
		wasm := slices.Concat([]byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x04\x04\x01\x70\x00\x01\x05\x03\x01\x00\x01"),
			[]byte("\x09\x05\x01\x01\x00\x01\x00\x0c\x01\x01"),
			[]byte{10, byte(len(body) + 2), 1, byte(len(body))}, []byte(body), []byte("\x0b\x04\x01\x01\x01x"))
		if _, err := r.CompileModule(t.Context(), wasm); err != nil {
			t.Fatalf("%x: %v", code, err)
		}
		p, err := prepare.Prepare(wasm, prepare.Options{MemoryPages: 10, TableSize: 10})
		if err != nil || p.Fresh != want {
			t.Errorf("%x: %q, %v; want %q", code, p.Fresh, err, want)
		}
	}
}
