package prepare_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/terrane/terrane/internal/engine/prepare"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// FuzzPrepare wants of any input an error or a module that is as valid as it was.
func FuzzPrepare(f *testing.F) {
	for _, pattern := range []string{"testdata/*.wasm", "../enginetest/testdata/*.wasm"} {
		files, _ := filepath.Glob(pattern)
		for _, name := range files {
			wasm, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(wasm)
		}
	}
	// The interpreter's compilation is the validation, without machine code.
	r := wazero.NewRuntimeWithConfig(f.Context(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	valid := func(t *testing.T, wasm []byte) error {
		m, err := r.CompileModule(t.Context(), wasm)
		if err == nil {
			err = m.Close(t.Context())
		}
		return err
	}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		res, err := prepare.Prepare(wasm, prepare.Options{MemoryPages: 1 << 16, TableSize: 1 << 20})
		if err != nil {
			return // and wazero is not asked: it allocates whatever a count says
		}
		all, err := prepare.Prepare(wasm, prepare.Options{MemoryPages: 10, TableSize: 10, SparePage: true, Reach: true, Guard: true, Mark: 1})
		if err != nil {
			t.Fatalf("prepared with all options: %v", err)
		}
		if m, _ := wasmbin.Decode(wasm); m.Names() != nil {
			if p, _ := wasmbin.Decode(res.Wasm); p.Names() == nil {
				wasm = res.Wasm // the names were bad, for the same reason
			}
		}
		before, after := valid(t, wasm), valid(t, res.Wasm)
		if err := valid(t, all.Wasm); (after == nil) != (err == nil) {
			t.Errorf("prepared with all options: %v, without: %v", err, after)
		}
		if before == nil && after != nil {
			t.Errorf("prepared, a valid module is not: %v", after)
		}
		if shell, err := prepare.Shell(res.Wasm, []byte("key")); err != nil || after == nil && valid(t, shell) != nil {
			t.Errorf("its shell is not valid: %v, %v", err, valid(t, shell))
		}
		if before != nil && after == nil && !strings.Contains(before.Error(), "custom") && !strings.Contains(before.Error(), "name") {
			t.Errorf("prepared, a module becomes valid that had: %v", before)
		}
	})
}
