package wazeroengine

import (
	"context"
	"math"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental/table"

	"github.com/terrane/terrane/hostcalls"
)

// instance is one sandbox. While a request is in it, it is the context that wazero
// passes to host functions, so that they find it without a search.
type instance struct {
	context.Context // of the request

	mod    api.Module
	memory bool // it has one; wazero would return an interface around nil
	x      *hostcalls.Exchange
}

type instanceKey struct{}

// hostFunction adapts f. A panic with an error is how a wazero host function traps
// its guest.
func hostFunction(f *hostcalls.Func) api.GoModuleFunc {
	return func(ctx context.Context, mod api.Module, stack []uint64) {
		in, ok := ctx.(*instance)
		if !ok {
			in, _ = ctx.Value(instanceKey{}).(*instance)
			in.mod = mod
		}
		if err := f.Call(in.Context, in.x, in, stack); err != nil { //nolint:contextcheck // the request's own context, which in carries
			panic(err)
		}
	}
}

// Memory implements hostcalls.Guest.
func (in *instance) Memory() []byte {
	if !in.memory {
		return nil
	}
	mem := in.mod.Memory()
	all, _ := mem.Read(0, uint32(min(uint64(mem.Size()), math.MaxUint32)))
	return all
}

// Grow implements hostcalls.Guest.
func (in *instance) Grow(pages uint32) (uint32, bool) {
	if !in.memory {
		return 0, false
	}
	return in.mod.Memory().Grow(pages)
}

// CallTable implements hostcalls.Guest.
func (in *instance) CallTable(_ context.Context, index, arg uint32, result bool) (uint32, error) {
	fn, err := in.tableFunction(index, result)
	if err != nil {
		return 0, err
	}
	return in.call(fn, arg) //nolint:contextcheck // in is the context
}

// tableFunction looks up a function; wazero panics when there is none.
func (in *instance) tableFunction(index uint32, result bool) (fn api.Function, err error) {
	defer func() {
		if recover() != nil {
			err = hostcalls.ErrNoFunction
		}
	}()
	return table.LookupFunction(in.mod, 0, index, i32, i32[:results(result)]), nil
}

var i32 = []api.ValueType{api.ValueTypeI32} //nolint:gochecknoglobals // a constant that Go cannot express

func results(result bool) int {
	if result {
		return 1
	}
	return 0
}

// CallExport implements hostcalls.Guest.
func (in *instance) CallExport(_ context.Context, name string, arg uint32, result bool) (uint32, error) {
	fn := in.mod.ExportedFunction(name)
	if fn == nil || !callable(fn.Definition(), result) {
		return 0, hostcalls.ErrNoFunction
	}
	return in.call(fn, arg) //nolint:contextcheck // in is the context
}

func callable(d api.FunctionDefinition, result bool) bool {
	isI32 := func(t []api.ValueType) bool { return len(t) == 1 && t[0] == api.ValueTypeI32 }
	return isI32(d.ParamTypes()) && (result && isI32(d.ResultTypes()) || !result && len(d.ResultTypes()) == 0)
}

func (in *instance) call(fn api.Function, arg uint32) (uint32, error) {
	stack := [1]uint64{uint64(arg)}
	err := fn.CallWithStack(in, stack[:])
	return uint32(stack[0]), err
}
