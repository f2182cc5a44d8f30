package prepare_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/terrane/terrane/internal/engine/prepare"
)

// TestGuard ends guests from a function of the host, called directly and through a table, and
// from Tick; and lets them return if it does not end them.
func TestGuard(t *testing.T) {
	for _, guest := range []string{"refuse", "refusetable", "hello"} {
		wasm, err := os.ReadFile("../enginetest/testdata/" + guest + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		p, err := prepare.Prepare(wasm, prepare.Options{Entry: "run", MemoryPages: 1, Guard: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, end := range []bool{false, true} {
			r := wazero.NewRuntime(t.Context())
			calls := 0
			host := func(_ context.Context, m api.Module, stack []uint64) {
				if calls++; end {
					m.ExportedGlobal(prepare.Stack).(api.MutableGlobal).Set(1 << 31)
				}
				if len(stack) > 0 {
					stack[0] = 0
				}
			}
			i32 := api.ValueTypeI32
			for module, b := range map[string]wazero.HostModuleBuilder{
				"test": r.NewHostModuleBuilder("test").NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(host), nil, nil).Export("fail"),
				"env": r.NewHostModuleBuilder("env").NewFunctionBuilder().
					WithGoModuleFunction(api.GoModuleFunc(host), []api.ValueType{i32, i32, i32}, []api.ValueType{i32}).Export("hostcall_resp_set_body"),
				prepare.Module: r.NewHostModuleBuilder(prepare.Module).NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(host), nil, nil).Export(prepare.Tick),
			} {
				if _, err := b.Instantiate(t.Context()); err != nil {
					t.Fatal(module, err)
				}
			}
			m, err := r.Instantiate(t.Context(), p.Wasm)
			if err != nil {
				t.Fatal(err)
			}
			_, err = m.ExportedFunction(prepare.Enter).Call(t.Context())
			if calls != 1 || (err != nil) != end || err != nil && !strings.Contains(err.Error(), "unreachable") {
				t.Errorf("%s, ended: %v: %d calls, %v", guest, end, calls, err)
			}
			if err := r.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}
