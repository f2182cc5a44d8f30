package wazeroengine_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental/table"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/enginetest"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

// naive is wazero as its documentation shows it: the module as it came, with wazero's own
// interruption, instantiated for each request.
type naive struct{ wazero.Runtime }

func newNaive(t testing.TB, funcs []hostcalls.Func) engine.Engine {
	e := naive{wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfig().WithCloseOnContextDone(true))}
	builders := map[string]wazero.HostModuleBuilder{}
	for _, f := range funcs {
		if builders[f.Module] == nil {
			builders[f.Module] = e.NewHostModuleBuilder(f.Module)
		}
		types := func(in []hostcalls.ValueType) (out []api.ValueType) {
			for _, v := range in {
				out = append(out, api.ValueType(v))
			}
			return out
		}
		builders[f.Module].NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			x, _ := ctx.Value(naive{}).(*hostcalls.Exchange)
			if err := f.Call(ctx, x, naiveGuest{m}, stack); err != nil {
				panic(err)
			}
		}), types(f.Params), types(f.Results)).Export(f.Name)
	}
	for _, b := range builders {
		if _, err := b.Instantiate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func (naive) Name() string { return "naive" }

func (e naive) Compile(ctx context.Context, wasm []byte, _ engine.Limits) (engine.Module, error) {
	info, err := engine.Describe(wasm)
	if err != nil {
		return nil, err
	}
	m, err := e.CompileModule(ctx, wasm)
	return naiveModule{e, m, info.Entry}, err
}

type naiveModule struct {
	naive
	wazero.CompiledModule
	entry string
}

func (m naiveModule) Close(ctx context.Context) error { return m.CompiledModule.Close(ctx) }

func (m naiveModule) Run(ctx context.Context, x *hostcalls.Exchange) error {
	ctx = context.WithValue(ctx, naive{}, x)
	in, err := m.InstantiateModule(ctx, m.CompiledModule, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return err
	}
	defer func() { _ = in.Close(ctx) }()
	x.Enter(m.entry)
	_, err = in.ExportedFunction(m.entry).Call(ctx)
	if exit, ok := errors.AsType[*hostcalls.Exit](err); ok && exit.Code == 0 {
		return nil
	}
	return err
}

type naiveGuest struct{ api.Module }

func (g naiveGuest) Memory() []byte {
	b, _ := g.Module.Memory().Read(0, g.Module.Memory().Size())
	return b
}

func (g naiveGuest) Grow(pages uint32) (uint32, bool) { return g.Module.Memory().Grow(pages) }

func (g naiveGuest) CallTable(ctx context.Context, index, arg uint32, result bool) (uint32, error) {
	i32, results := []api.ValueType{api.ValueTypeI32}, []api.ValueType(nil)
	if result {
		results = i32
	}
	return call(ctx, table.LookupFunction(g.Module, 0, index, i32, results), arg)
}

func (g naiveGuest) CallExport(ctx context.Context, name string, arg uint32, _ bool) (uint32, error) {
	fn := g.ExportedFunction(name)
	if fn == nil {
		return 0, hostcalls.ErrNoFunction
	}
	return call(ctx, fn, arg)
}

func call(ctx context.Context, fn api.Function, arg uint32) (uint32, error) {
	v, err := fn.Call(ctx, uint64(arg))
	if len(v) == 0 {
		return 0, err
	}
	return uint32(v[0]), err
}

// BenchmarkBesideNaive is what preparation and recycling gain over wazero as it comes.
func BenchmarkBesideNaive(b *testing.B) {
	enginetest.Compare(b, "../../../examples", enginetest.Contender{Name: "wazero", New: func(t testing.TB, funcs []hostcalls.Func) engine.Engine {
		return newEngine(t, wazeroengine.Options{Funcs: funcs})
	}}, enginetest.Contender{Name: "naive", New: newNaive})
}
