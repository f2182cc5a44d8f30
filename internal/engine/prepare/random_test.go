package prepare_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/terrane/terrane/internal/engine/prepare"
	"github.com/terrane/terrane/internal/engine/wasmgen"
)

// randomBytes are what a random module is made of.
func randomBytes(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, 200+r.IntN(2000))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// rounds is how many random modules a test tries.
func rounds() uint64 {
	if testing.Short() {
		return 50
	}
	return 80
}

// TestRandomModules runs random modules as they are and prepared.
func TestRandomModules(t *testing.T) {
	ends := map[string]int{}
	for seed := range rounds() {
		ends[differ(t, randomBytes(seed))]++
		if t.Failed() {
			t.Fatalf("the module of seed %d", seed)
		}
	}
	t.Logf("how they ended: %v", ends)
	if len(ends) < 3 || ends[""] < int(rounds()/10) {
		t.Errorf("the modules are not varied: %v", ends)
	}
}

// FuzzRandomModules is the same on modules that the fuzzer makes.
func FuzzRandomModules(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(randomBytes(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) { differ(t, data) })
}

// differ wants of a module and of what is prepared of it the same end, functions on the
// stack, host calls, memory and globals, and a second run like the first. It returns
// how the module ended.
func differ(t *testing.T, data []byte) (end string) {
	t.Helper()
	wasm := wasmgen.Module(data, wasmgen.Options{})
	res, err := prepare.Prepare(wasm, prepare.Options{Entry: wasmgen.Run, MemoryPages: 1 << 16, TableSize: 1 << 20, Stack: 1 << 30, Guard: len(data)%2 == 0})
	if err != nil {
		t.Fatal(err)
	}
	plain := runRandom(t, wasm, 1)
	runs := 1
	if res.Fresh == "" && plain.end == "" {
		runs = 2
	}
	prepared := runRandom(t, res.Wasm, runs)
	prepared.globals = prepared.globals[:min(len(plain.globals), len(prepared.globals))]
	if plain.end != prepared.end {
		t.Errorf("as it is, it ends with %q; prepared, with %q", plain.end, prepared.end)
	}
	if plain.calls != prepared.calls {
		t.Errorf("%d host calls, prepared %d", plain.calls, prepared.calls)
	}
	if plain.memory == nil {
		return "in the start function"
	}
	if !bytes.Equal(plain.memory, prepared.memory) {
		t.Error("memories differ")
	}
	if !slices.Equal(plain.globals, prepared.globals) {
		t.Errorf("globals are %v, prepared %v", plain.globals, prepared.globals)
	}
	reason, _, _ := strings.Cut(plain.end, "\n")
	return reason
}

// outcome is what is left of a random module.
type outcome struct {
	end     string // empty, or the trap and the functions on the stack
	calls   int    // of the host
	memory  []byte
	globals []uint64
}

// runRandom runs a module; the second time, its memory is put back before.
func runRandom(t *testing.T, wasm []byte, runs int) (o outcome) {
	t.Helper()
	h := newHost(t, true)
	ctx := t.Context()
	defer func() { _ = h.Close(context.WithoutCancel(ctx)) }()
	_, err := h.NewHostModuleBuilder(wasmgen.HostModule).NewFunctionBuilder().WithFunc(func() { o.calls++ }).
		Export(wasmgen.HostName).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := h.CompileModule(ctx, wasm)
	if err != nil {
		t.Fatal("the module is not valid: ", err)
	}
	m, err := h.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil { // in the start function: nothing but the error is left
		_, text, _ := strings.Cut(err.Error(), " failed: ")
		o.end = withoutAdded(text)
		return o
	}
	enter := m.ExportedFunction(prepare.Enter)
	if enter == nil {
		enter = m.ExportedFunction(wasmgen.Run)
	}
	view := func() []byte { b, _ := m.Memory().Read(0, m.Memory().Size()); return b }
	first := bytes.Clone(view())
	for i := range runs {
		if i > 0 {
			if len(view()) > len(first) {
				break // it cannot be put back here
			}
			copy(view(), first)
			o.calls = 0
		}
		_, err = enter.Call(ctx)
	}
	o.memory, o.globals = view(), globals(m)
	if err != nil {
		o.end = withoutAdded(err.Error())
	}
	return o
}

// withoutAdded is a trap's text without the function that preparation has added, which
// alone has no name, and which may be one frame too many to show.
func withoutAdded(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, ".$") && !strings.Contains(line, "omitted frames") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

// TestNothingEscapesTheTick runs random modules that would mostly go on for ever, and
// ends each at one of its first ticks.
func TestNothingEscapesTheTick(t *testing.T) {
	errEnough := errors.New("enough")
	ended := 0
	for seed := range rounds() {
		wasm := wasmgen.Module(randomBytes(seed), wasmgen.Options{Endless: true})
		res, err := prepare.Prepare(wasm, prepare.Options{Entry: wasmgen.Run, MemoryPages: 16, TableSize: 16})
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2))
		ticks := 0
		_, tickErr := r.NewHostModuleBuilder(prepare.Module).NewFunctionBuilder().WithGoModuleFunction(
			api.GoModuleFunc(func(_ context.Context, m api.Module, _ []uint64) {
				ticks++
				if ticks > 3 || int32(m.ExportedGlobal(prepare.Stack).Get()) < 0 {
					panic(errEnough)
				}
				fuel, _ := m.ExportedGlobal(prepare.Fuel).(api.MutableGlobal)
				fuel.Set(prepare.FullFuel)
			}), nil, nil).Export(prepare.Tick).Instantiate(ctx)
		_, hostErr := r.NewHostModuleBuilder(wasmgen.HostModule).NewFunctionBuilder().WithFunc(func() {}).
			Export(wasmgen.HostName).Instantiate(ctx)
		m, err := r.InstantiateWithConfig(ctx, res.Wasm, wazero.NewModuleConfig().WithStartFunctions())
		if err := errors.Join(tickErr, hostErr, err); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if _, err = m.ExportedFunction(prepare.Enter).Call(ctx); errors.Is(err, errEnough) {
			ended++
		}
		if err := r.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d were ended", ended)
	if ended == 0 {
		t.Error("none has ticked")
	}
}

// TestPreparedSize: what is written of a module is bounded by what was read.
func TestPreparedSize(t *testing.T) {
	for seed := range rounds() {
		wasm := wasmgen.Module(randomBytes(seed), wasmgen.Options{Endless: true})
		res, err := prepare.Prepare(wasm, prepare.Options{Entry: wasmgen.Run, MemoryPages: 16, TableSize: 16})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Wasm) > 1000+8*len(wasm) {
			t.Errorf("seed %d: %d bytes were prepared of %d", seed, len(res.Wasm), len(wasm))
		}
	}
}
