package component_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// hostcall is what a function of the test's host does. It returns the function's results.
type hostcall func(m api.Memory, args []uint64) []uint64

// machine runs fused modules with functions of the test.
type machine struct {
	*testing.T
	calls map[string]hostcall // by module and name
	log   []string            // what was called
	// blocks are the sizes that terrane:abi.block asks for next; given are the pointers.
	blocks []uint64
	given  []uint32
	after  func(api.Memory) // once the entry has returned
}

// run instantiates a fused module, calls its entry and returns the error of either.
func (h *machine) run(wasm []byte) error {
	h.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	defer func() { _ = r.Close(ctx) }()
	c, err := r.CompileModule(ctx, wasm)
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	builders := map[string]wazero.HostModuleBuilder{}
	for _, f := range c.ImportedFunctions() {
		module, name, _ := f.Import()
		if builders[module] == nil {
			builders[module] = r.NewHostModuleBuilder(module)
		}
		builders[module].NewFunctionBuilder().WithGoModuleFunction(h.function(module, name), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	for _, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return err
		}
	}
	m, err := r.InstantiateModule(ctx, c, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		return fmt.Errorf("instantiate: %w", err)
	}
	_, err = m.ExportedFunction("run").Call(ctx)
	if h.after != nil {
		h.after(m.Memory())
	}
	return err
}

func (h *machine) function(module, name string) api.GoModuleFunc {
	return func(_ context.Context, m api.Module, stack []uint64) {
		if module == "terrane:abi" && name == "block" {
			if p := uint32(stack[0]); p != 0 {
				h.given = append(h.given, p)
			}
			stack[0] = 0
			if len(h.blocks) > 0 {
				stack[0], h.blocks = h.blocks[0], h.blocks[1:]
			}
			return
		}
		h.log = append(h.log, name)
		call := h.calls[module+" "+name]
		if call == nil {
			panic(fmt.Sprintf("no function %s %s", module, name))
		}
		copy(stack, call(m.Memory(), stack))
	}
}

func text(m api.Memory, ptr, n uint64) string {
	b, _ := m.Read(uint32(ptr), uint32(n))
	return string(b)
}

// sees fails the test unless the calls were those.
func (h *machine) sees(want string) {
	h.Helper()
	if got := strings.Join(h.log, " "); got != want {
		h.Errorf("called\n%s\nwant\n%s", got, want)
	}
}
