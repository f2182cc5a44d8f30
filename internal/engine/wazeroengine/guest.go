package wazeroengine

import (
	"context"
	"errors"
	"reflect"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental/table"

	"github.com/terrane/terrane/hostcalls"
)

// instance is a hostcalls.Guest.
var _ hostcalls.Guest = (*instance)(nil)

// hostFunction adapts f. A panic with an error is how a wazero host function traps
// its guest.
func hostFunction(f *hostcalls.Func) api.GoModuleFunc {
	return func(ctx context.Context, _ api.Module, stack []uint64) {
		in, _ := ctx.(*instance)
		in.module.engine.gate.Leave(&in.seat)                       // it may wait
		if err := f.Call(in.Context, in.x, in, stack); err != nil { //nolint:contextcheck // the request's own, which in carries
			panic(err)
		}
	}
}

// Memory implements hostcalls.Guest.
func (in *instance) Memory() []byte {
	if in.memory == nil {
		return nil
	}
	return in.memory.Bytes()
}

// Grow implements hostcalls.Guest.
func (in *instance) Grow(pages uint32) (uint32, bool) {
	if in.memory == nil {
		return 0, false
	}
	previous, ok := in.mod.Memory().Grow(pages)
	in.refused = in.refused || !ok
	return previous, ok
}

// tableFunction is a function of the table, looked up. The guest's allocator is called
// often and looking it up makes a stack; the table of an instance that is recycled
// does not change.
type tableFunction struct {
	api.Function
	index  uint32
	result bool
	busy   bool
	stack  reflect.Value
}

// CallTable implements hostcalls.Guest.
func (in *instance) CallTable(_ context.Context, index, arg uint32, result bool) (uint32, error) {
	a := &in.allocator
	if a.busy || in.module.Fresh != "" {
		fn, err := in.lookup(index, result)
		if err != nil {
			return 0, err
		}
		return in.call(fn, arg) //nolint:contextcheck // in is the context
	}
	if a.Function == nil || a.index != index || a.result != result {
		fn, err := in.lookup(index, result)
		if err != nil {
			return 0, err
		}
		*a = tableFunction{Function: fn, index: index, result: result, stack: stackOf(fn)}
	}
	a.busy = true
	v, err := in.call(a.Function, arg) //nolint:contextcheck // in is the context
	a.busy = false
	return v, err
}

// lookup finds a function in table 0; wazero panics when there is none.
func (in *instance) lookup(index uint32, result bool) (fn api.Function, err error) {
	defer func() {
		if recover() != nil {
			err = hostcalls.ErrNoFunction
		}
	}()
	i32 := []api.ValueType{api.ValueTypeI32}
	if result {
		return table.LookupFunction(in.mod, 0, index, i32, i32), nil
	}
	return table.LookupFunction(in.mod, 0, index, i32, nil), nil
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

// maxNested bounds host functions that call the guest that calls them: each level
// has a stack of its own.
const maxNested = 8

var errNested = errors.New("stack overflow: the allocator calls the host, which calls it")

func (in *instance) call(fn api.Function, arg uint32) (uint32, error) {
	if in.nested == maxNested {
		return 0, errNested
	}
	in.nested++
	in.arg[0] = uint64(arg)
	err := fn.CallWithStack(in, in.arg[:])
	in.nested--
	return uint32(in.arg[0]), err
}
