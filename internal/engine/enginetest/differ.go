package enginetest

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wasmgen"
)

// Differ runs random guests on two engines, and wants the same memory each time they call
// the host, and that they trap on both or on none. Engines word traps differently, and
// may give their guests less stack or more.
func Differ(t *testing.T, first, second New, modules int) {
	a, b := start(t, first), start(t, second)
	compared := 0
	for seed := range uint64(modules) {
		r := rand.New(rand.NewPCG(seed, 3))
		data := make([]byte, 200+r.IntN(2000))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		wasm := wasmgen.Module(data, wasmgen.Options{})
		var bodies [2]string
		var ends [2]string
		for i, s := range []*suite{a, b} {
			m, err := s.e.Compile(t.Context(), wasm, engine.Limits{Memory: mib})
			if err != nil {
				t.Fatalf("seed %d, %s: %v", seed, s.e.Name(), err)
			}
			var end error
			bodies[i], end = request(t.Context(), m)
			ends[i] = reason(end)
			if err := m.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if strings.HasPrefix(ends[0], "stack overflow") || strings.HasPrefix(ends[1], "stack overflow") {
			continue
		}
		if bodies[0] != "" {
			compared++
		}
		if bodies[0] != bodies[1] || (ends[0] == "") != (ends[1] == "") {
			t.Errorf("seed %d: %s ends with %q and %x, %s with %q and %x", seed, a.e.Name(), ends[0], bodies[0], b.e.Name(), ends[1], bodies[1])
		}
	}
	if compared < modules/10 {
		t.Errorf("only %d of %d guests have called the host", compared, modules)
	}
}
