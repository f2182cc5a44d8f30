package component_test

import (
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/terrane/terrane/internal/engine/component"
	. "github.com/terrane/terrane/internal/engine/component/comptest"
)

// flat is a core module of a bindings generator that no component was made of. Its run asks for a path
// and passes on its result; _initialize and the post-return store a number.
func flat(change func(*Core)) []byte {
	const name = "wasi:cli/run@0.2.6#run"
	c := Core{
		Types:    [][]byte{CoreType("ii:"), CoreType("i:"), CoreType(":i"), CoreType("iiii:i"), CoreType(":")},
		Imports:  [][]byte{CoreImport("t:t/host@0.2.6", "path", 0, 0), CoreImport("t:t/host@0.2.6", "[resource-drop]r", 0, 1)},
		Funcs:    []int{2, 3, 1, 4},
		Memories: [][]byte{{0, 1}},
		Exports: [][]byte{
			CoreExport(name, CoreFunc, 2), CoreExport("cabi_realloc", CoreFunc, 3), CoreExport("cabi_post_"+name, CoreFunc, 4),
			CoreExport("_initialize", CoreFunc, 5), CoreExport("memory", CoreMemory, 0),
		},
		Code: [][]byte{
			Body(0x41, 5, 0x41, 16, 0x10, 0, 0x41, 5, 0x10, 1, 0x41, 1), // path(5, 16); drop(5); 1
			Body(0x41, 0x80, 8),                 // 1024
			Body(0x41, 24, 0x20, 0, 0x36, 2, 0), // store the result at 24
			Body(0x41, 28, 0x41, 7, 0x36, 2, 0), // store 7 at 28
		},
	}
	change(&c)
	return c.Bytes()
}

func TestFuseFlat(t *testing.T) {
	wasm := flat(func(*Core) {})
	if !component.Is(wasm) {
		t.Fatal("not recognised")
	}
	f := fuse(t, wasm)
	if f.Entry != component.EntryRun || len(f.Imports) != 1 || f.Imports[0].Name != "t:t/host@0.2.6" || len(f.Exports) != 1 || f.Exports[0].Name != "wasi:cli/run@0.2.6" {
		t.Errorf("entry %d, %+v", f.Entry, f.World)
	}
	h := &machine{T: t, blocks: []uint64{1<<32 | 9}}
	word := func(m api.Memory, at uint32) uint32 { v, _ := m.ReadUint32Le(at); return v }
	h.calls = map[string]hostcall{
		"t:t/host@0.2.6 path": func(m api.Memory, a []uint64) []uint64 {
			if word(m, 28) != 7 || a[0] != 5 {
				t.Errorf("path(%d) before _initialize", a[0])
			}
			return nil
		},
		"t:t/host@0.2.6 [resource-drop]r": func(api.Memory, []uint64) []uint64 { return nil },
		"terrane:abi program":             func(api.Memory, []uint64) []uint64 { return nil },
		"terrane:abi ran": func(m api.Memory, a []uint64) []uint64 {
			if a[0] != 1 || word(m, 24) != 0 {
				t.Errorf("ran(%d), and post-return has stored %d", a[0], word(m, 24))
			}
			return nil
		},
	}
	if err := h.run(f.Module); err != nil {
		t.Fatal(err)
	}
	h.sees("program path [resource-drop]r ran")
	if len(h.given) != 1 || h.given[0] != 1024 {
		t.Errorf("blocks at %v, want 1024", h.given)
	}
}

func TestFuseFlatRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Core)
		want   string
	}{
		"realloc":     {func(c *Core) { c.Exports[1] = CoreExport("cabi_realloc", CoreFunc, 4) }, "exports cabi_realloc as (i32) -> nothing"},
		"handler":     {func(c *Core) { c.Exports[0] = CoreExport("wasi:cli/run@0.2.6#run", CoreFunc, 5) }, "run as () -> nothing; it must be () -> i32"},
		"post-return": {func(c *Core) { c.Exports[2] = CoreExport("cabi_post_wasi:cli/run@0.2.6#run", CoreFunc, 5) }, "it must be (i32) -> nothing"},
		"memory":      {func(c *Core) { c.Memories, c.Imports = nil, append(c.Imports, CoreImport("env", "memory", 2, 0, 1)) }, "imports the memory env.memory"},
	} {
		_, err := component.Fuse(flat(tt.change), component.Limits{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, tt.want)
		}
	}
	for name, change := range map[string]func(*Core){
		"another version":   func(c *Core) { c.Exports[0] = CoreExport("wasi:cli/run@0.3.0#run", CoreFunc, 2) },
		"another function":  func(c *Core) { c.Exports[0] = CoreExport("wasi:cli/run@0.2.6#walk", CoreFunc, 2) },
		"no such interface": func(c *Core) { c.Exports[0] = CoreExport("run", CoreFunc, 2) },
	} {
		if component.Is(flat(change)) {
			t.Errorf("%s: taken for a component", name)
		}
	}
}
