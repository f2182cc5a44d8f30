package prepare_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/terrane/terrane/internal/engine/prepare"
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
		before, after := valid(t, wasm), valid(t, res.Wasm)
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
