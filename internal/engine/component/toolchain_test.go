package component_test

import (
	"testing"

	"github.com/terrane/terrane/internal/engine/component"
	"github.com/terrane/terrane/internal/engine/component/toolchain"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// TestFuseJavaScript fuses a component of 12 MB that has a main module, an adapter, a shim and
// fix-ups, and imports interfaces of several patch versions.
func TestFuseJavaScript(t *testing.T) {
	f := fuse(t, toolchain.JavaScript(t, toolchain.Hello))
	m, err := wasmbin.Decode(f.Module)
	if err != nil {
		t.Fatal(err)
	}
	faces := map[string]bool{}
	for _, im := range m.Imports {
		if im.Kind != wasmbin.KindFunc {
			t.Errorf("the %s %s.%s is imported", im.Kind, im.Module, im.Name)
		}
		faces[im.Module] = true
	}
	for _, want := range []string{"wasi:http/types@0.2.10", "wasi:io/streams@0.2.12", "wasi:cli/stderr@0.2.12", "terrane:abi"} {
		if !faces[want] {
			t.Errorf("nothing is imported of %s", want)
		}
	}
	if f.Entry != component.EntryHTTP || len(m.Memories) != 1 || len(m.Tables) != 1 {
		t.Errorf("entry %d, %d memories, %d tables; want HTTP, 1, 1", f.Entry, len(m.Memories), len(m.Tables))
	}
}

// BenchmarkFuse fuses a JavaScript component of 12 MB, which is to take 300 ms at most.
func BenchmarkFuse(b *testing.B) {
	wasm := toolchain.JavaScript(b, toolchain.Hello)
	b.SetBytes(int64(len(wasm)))
	b.ReportAllocs()
	for b.Loop() {
		fuse(b, wasm)
	}
}
