package component_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/terrane/terrane/internal/engine/component"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fuse(t testing.TB, wasm []byte) *component.Fused {
	t.Helper()
	f, err := component.Fuse(wasm, component.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFuseC runs a component of clang and wit-component: imports with and without a memory, a
// string that the host allocates, handles of the request and of the response.
func TestFuseC(t *testing.T) {
	f := fuse(t, readFile(t, "testdata/http-c/hello.wasm"))
	if f.Entry != component.EntryHTTP {
		t.Errorf("entry %d, want HTTP", f.Entry)
	}
	const path = "/a?b=c"
	var body strings.Builder
	h := &machine{T: t}
	store := func(m api.Memory, at uint64, values ...uint32) {
		for i, v := range values {
			m.WriteUint32Le(uint32(at)+uint32(i)*4, v)
		}
	}
	handle := func(v uint32) hostcall {
		return func(m api.Memory, a []uint64) []uint64 { store(m, a[1], 0, v); return nil }
	}
	none := func(api.Memory, []uint64) []uint64 { return nil }
	const http, streams = "wasi:http/types@0.2.12 ", "wasi:io/streams@0.2.12 "
	var pathAt uint64
	h.calls = map[string]hostcall{
		"terrane:abi request":  func(api.Memory, []uint64) []uint64 { return []uint64{11} },
		"terrane:abi outparam": func(api.Memory, []uint64) []uint64 { return []uint64{12} },
		http + "[method]incoming-request.path-with-query": func(_ api.Memory, a []uint64) []uint64 {
			if a[0] != 11 {
				t.Errorf("the path of handle %d, want 11", a[0])
			}
			pathAt, h.blocks = a[1], []uint64{1<<32 | uint64(len(path))}
			return nil
		},
		http + "[constructor]fields": func(m api.Memory, _ []uint64) []uint64 {
			// The block is there now: what the host would have written before it said that there is no other.
			if len(h.given) != 1 {
				t.Fatalf("%d blocks, want 1", len(h.given))
			}
			m.WriteString(h.given[0], path)
			store(m, pathAt, 1, h.given[0], uint32(len(path)))
			return []uint64{13}
		},
		http + "[method]fields.append": func(m api.Memory, a []uint64) []uint64 {
			if got := text(m, a[1], a[2]) + ": " + text(m, a[3], a[4]); got != "content-type: text/plain" || a[0] != 13 {
				t.Errorf("appended %q to %d", got, a[0])
			}
			store(m, a[5], 0)
			return nil
		},
		http + "[constructor]outgoing-response":  func(_ api.Memory, a []uint64) []uint64 { return []uint64{a[0] + 1} },
		http + "[method]outgoing-response.body":  handle(15),
		http + "[method]outgoing-body.write":     handle(16),
		http + "[static]response-outparam.set":   none,
		http + "[static]outgoing-body.finish":    none,
		http + "[resource-drop]incoming-request": none,
		streams + "[resource-drop]output-stream": none,
		streams + "[method]output-stream.blocking-write-and-flush": func(m api.Memory, a []uint64) []uint64 {
			body.WriteString(text(m, a[1], a[2]))
			store(m, a[3], 0)
			return nil
		},
	}
	if err := h.run(f.Module); err != nil {
		t.Fatal(err)
	}
	if got, want := body.String(), "hello "+path+"\n"; got != want {
		t.Errorf("body %q, want %q", got, want)
	}
	const write = "[method]output-stream.blocking-write-and-flush "
	h.sees("request outparam [method]incoming-request.path-with-query [constructor]fields [method]fields.append [constructor]outgoing-response " +
		"[method]outgoing-response.body [static]response-outparam.set [method]outgoing-body.write " + write + write + write +
		"[resource-drop]output-stream [static]outgoing-body.finish [resource-drop]incoming-request")
}

func TestFuseIsDeterministic(t *testing.T) {
	wasm := readFile(t, "testdata/http-c/hello.wasm")
	first := fuse(t, wasm)
	for range 5 {
		if next := fuse(t, wasm); !bytes.Equal(next.Module, first.Module) {
			t.Fatal("two modules of one component differ")
		}
	}
}

// TestFuseLeavesNoTrampoline wants the imports of a fused module to be called without a table between.
func TestFuseLeavesNoTrampoline(t *testing.T) {
	f := fuse(t, readFile(t, "testdata/http-c/hello.wasm"))
	m, err := wasmbin.Decode(f.Module)
	if err != nil {
		t.Fatal(err)
	}
	// The two functions of the C program, two that allocate (for a path and for an error's text), run.
	if len(m.Tables) != 1 || len(m.Funcs) != 5 {
		t.Errorf("%d tables and %d functions, want 1 and 5", len(m.Tables), len(m.Funcs))
	}
	var names []string
	for i := range m.Funcs {
		names = append(names, m.Names().Function(uint32(m.Imported(wasmbin.KindFunc)+i)))
	}
	if got, want := strings.Join(names, " "), "cabi_realloc handle [method]incoming-request.path-with-query [static]outgoing-body.finish run"; got != want {
		t.Errorf("functions %q, want %q", got, want)
	}
}
