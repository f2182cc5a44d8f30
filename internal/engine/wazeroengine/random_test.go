package wazeroengine

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wasmgen"
)

// TestRandomGuestsAreRecycled puts the instances of random guests back: their memory then
// equals a new one's, and a second run leaves the memory and the globals that the first
// run of a new one leaves.
func TestRandomGuestsAreRecycled(t *testing.T) {
	e, err := New(Options{CacheDir: quickDir(t), Funcs: append(hostcalls.Functions(), hostcalls.Func{Module: wasmgen.HostModule, Name: wasmgen.HostName,
		Call: func(context.Context, *hostcalls.Exchange, hostcalls.Guest, []uint64) error { return nil }})})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close(context.Background()) }()
	modules, recycled := uint64(100), 0
	if testing.Short() {
		modules = 20
	}
	for seed := range modules {
		r := rand.New(rand.NewPCG(seed, 1))
		data := make([]byte, 200+r.IntN(2000))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		compiled, err := e.Compile(t.Context(), wasmgen.Module(data, wasmgen.Options{}), engine.Limits{Memory: 1 << 20})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		m, _ := compiled.(*module)
		x := hostcalls.NewExchange(&hostcalls.Tenant{}, &hostcalls.Request{})
		for range 3 {
			if m.Run(t.Context(), x) != nil {
				break
			}
			old := e.pool.Take(&m.idle)
			if old == nil {
				break
			}
			recycled++
			compare(t, m, old, "a random guest")
			anew, err := m.instantiate(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if a, b := old.run(t.Context(), x), anew.run(t.Context(), x); a != nil || b != nil {
				t.Errorf("seed %d: %v in a recycled instance, %v in a new one", seed, a, b)
			}
			if !bytes.Equal(old.memory.Bytes(), anew.memory.Bytes()) || !slices.Equal(old.globals(), anew.globals()) {
				t.Errorf("seed %d: a recycled instance ends differently from a new one", seed)
			}
			anew.close(t.Context())
			m.release(t.Context(), old)
		}
		x.Close()
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if recycled < int(modules)/4 {
		t.Errorf("only %d instances were recycled", recycled)
	}
}

// globals are the values of all, those that preparation has added included.
func (in *instance) globals() (all []uint64) {
	mod, _ := in.mod.(experimental.InternalModule)
	for i := range mod.NumGlobal() {
		all = append(all, mod.Global(i).Get())
	}
	return all
}
