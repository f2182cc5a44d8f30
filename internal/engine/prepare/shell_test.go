package prepare_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/terrane/terrane/internal/engine/prepare"
	"github.com/terrane/terrane/internal/engine/wasmgen"
)

// TestVersion keeps what an earlier version has prepared from being taken for what this one
// prepares.
func TestVersion(t *testing.T) {
	h := sha256.New()
	for _, wasm := range corpus(t) {
		for _, o := range []prepare.Options{
			{MemoryPages: 100, TableSize: 10, SparePage: true, Mark: 1, Init: "_initialize"},
			{MemoryPages: 100, TableSize: 10, Reach: true, Guard: true, Entry: "run"},
		} {
			r, err := prepare.Prepare(wasm, o)
			if err != nil {
				h.Write([]byte(err.Error()))
				continue
			}
			shell, err := prepare.Shell(r.Wasm, []byte("key"))
			if err != nil {
				t.Fatal(err)
			}
			h.Write(r.Wasm)
			h.Write([]byte(r.Fresh))
			h.Write(shell)
		}
	}
	if sum := hex.EncodeToString(h.Sum(nil)[:8]); sum != prepare.Version {
		t.Errorf("modules are prepared otherwise than before: set Version to %q", sum)
	}
}

// corpus is modules of all kinds. It does not change when other tests need a new one.
func corpus(t testing.TB) [][]byte {
	t.Helper()
	var all [][]byte
	for _, name := range []string{"testdata/compute.wasm", "testdata/spectest.wasm", "../wazeroengine/testdata/hello80.wasm"} {
		wasm, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, wasm)
	}
	for seed := range uint64(50) {
		all = append(all, wasmgen.Module(randomBytes(seed), wasmgen.Options{}))
	}
	return all
}

// TestShells wants of each module's shell that an engine takes it, with the exports and
// imports of the module, and that it does nothing but trap.
func TestShells(t *testing.T) {
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	defer func() { _ = r.Close(t.Context()) }()
	compile := func(wasm []byte) wazero.CompiledModule {
		m, err := r.CompileModule(t.Context(), wasm)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for i, wasm := range corpus(t) {
		p, err := prepare.Prepare(wasm, prepare.Options{MemoryPages: 100, TableSize: 10, Mark: 1<<63 + uint64(i)})
		if err != nil {
			t.Fatal(err)
		}
		wasm, err := prepare.Shell(p.Wasm, []byte("key"))
		if err != nil {
			t.Fatal(err)
		}
		whole, shell := compile(p.Wasm), compile(wasm)
		if got, want := surface(shell), surface(whole); got != want {
			t.Errorf("module %d: the shell has\n%s; want\n%s", i, got, want)
		}
		other, err := prepare.Shell(p.Wasm, []byte("other"))
		if err != nil || bytes.Equal(wasm, other) {
			t.Errorf("module %d: two keys, one shell (%v)", i, err)
		}
	}
	if _, err := prepare.Shell([]byte("\x00asm"), nil); err == nil {
		t.Error("what is no module has a shell")
	}
}

// surface is what is seen of a module from outside.
func surface(m wazero.CompiledModule) string {
	functions := func(all []api.FunctionDefinition) (out []string) {
		for _, f := range all {
			out = append(out, fmt.Sprintf("%s %x %x %q", f.DebugName(), f.ParamTypes(), f.ResultTypes(), f.ExportNames()))
		}
		slices.Sort(out)
		return out
	}
	return fmt.Sprint(m.Name(), functions(m.ImportedFunctions()), functions(slices.Collect(maps.Values(m.ExportedFunctions()))))
}

// TestMark wants the number, and in the shell a trap.
func TestMark(t *testing.T) {
	h := newHost(t, true)
	defer func() { _ = h.Close(t.Context()) }()
	compute := corpus(t)[0]
	for _, mark := range []uint64{1, 1 << 31, 1<<63 + 5, math.MaxUint64} {
		p, err := prepare.Prepare(compute, prepare.Options{MemoryPages: 100, TableSize: 10, Mark: mark})
		if err != nil {
			t.Fatal(err)
		}
		shell, err := prepare.Shell(p.Wasm, []byte("key"))
		if err != nil {
			t.Fatal(err)
		}
		for i, wasm := range [][]byte{p.Wasm, shell} {
			m, err := h.InstantiateWithConfig(t.Context(), wasm, wazero.NewModuleConfig().WithName(""))
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.ExportedFunction(prepare.Mark).Call(t.Context())
			if i == 0 && (err != nil || got[0] != mark) || i == 1 && (err == nil || !strings.Contains(err.Error(), "unreachable")) {
				t.Errorf("mark %d: %d, %v", mark, got, err)
			}
		}
	}
}
