package prepare_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/terrane/terrane/internal/engine/prepare"
)

// TestReach: a module that exports neither its memory nor its table can be reached with
// Reach, and what no host calls is no longer exported.
func TestReach(t *testing.T) {
	wasm, err := os.ReadFile("../enginetest/testdata/lend.wasm")
	if err != nil {
		t.Fatal(err)
	}
	r, err := prepare.Prepare(wasm, prepare.Options{Entry: "run", MemoryPages: 16, TableSize: 16, Reach: true})
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, true)
	defer func() { _ = h.Close(t.Context()) }()
	if _, err := h.NewHostModuleBuilder("test").NewFunctionBuilder().
		WithFunc(func() {}).Export("probe").Instantiate(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := h.Instantiate(t.Context(), r.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	if m.ExportedMemory(prepare.Memory) == nil || m.ExportedFunction("store") == nil || m.ExportedFunction("run") != nil {
		t.Error("want the memory and the function of one i32 exported, and the entry not")
	}
	if got, err := m.ExportedFunction(prepare.CallValue).Call(t.Context(), 0, 21); err != nil || got[0] != 42 {
		t.Errorf("function 0 of the table: %v, %v", got, err)
	}
	if _, err := m.ExportedFunction(prepare.CallVoid).Call(t.Context(), 0, 21); err == nil {
		t.Error("a function of another type was called")
	}
}

// TestReachKeepsModulesValid prepares every guest of the engines' suite.
func TestReachKeepsModulesValid(t *testing.T) {
	files, _ := filepath.Glob("../enginetest/testdata/*.wasm")
	h := newHost(t, true)
	defer func() { _ = h.Close(t.Context()) }()
	valid := 0
	for _, f := range files {
		wasm, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		r, err := prepare.Prepare(wasm, prepare.Options{MemoryPages: 16, TableSize: 16, Reach: true})
		if err != nil {
			continue
		}
		if _, err := h.CompileModule(t.Context(), wasm); err != nil {
			continue // a memory or table of bounds that no engine takes
		}
		valid++
		if _, err := h.CompileModule(t.Context(), r.Wasm); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	if valid < 25 {
		t.Errorf("only %d guests were valid", valid)
	}
}
