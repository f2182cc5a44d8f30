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

// take takes memory for a guest that runs.
func (in *instance) take(bytes int64) bool {
	if in.x == nil { // it is not in flight
		return true
	}
	if !in.module.engine.memory.Grow(in.x.Tenant(), in.taken, bytes) {
		in.crowded = true
		return false
	}
	in.taken += bytes
	return true
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

// guestFunction tells a function that the host calls: of an exported name, or else of
// an index in table 0.
type guestFunction struct {
	name   string
	index  uint32
	result bool
}

// allocator is such a function, looked up. The guest's allocator is called often and
// looking it up makes a stack; what an instance that is recycled exports, and has in its
// table, does not change.
type allocator struct {
	api.Function
	guestFunction
	busy  bool
	stack reflect.Value
}

// CallTable implements hostcalls.Guest.
func (in *instance) CallTable(_ context.Context, index, arg uint32, result bool) (uint32, error) {
	return in.callBack(guestFunction{index: index, result: result}, arg) //nolint:contextcheck // in is the context
}

// CallExport implements hostcalls.Guest.
func (in *instance) CallExport(_ context.Context, name string, arg uint32, result bool) (uint32, error) {
	return in.callBack(guestFunction{name: name, result: result}, arg) //nolint:contextcheck // in is the context
}

func (in *instance) callBack(f guestFunction, arg uint32) (uint32, error) {
	a := &in.allocator
	once := a.busy || in.module.Fresh != ""
	if once || a.Function == nil || a.guestFunction != f {
		fn, err := in.lookup(f)
		if err != nil {
			return 0, err
		}
		if once {
			return in.call(fn, arg)
		}
		*a = allocator{Function: fn, guestFunction: f, stack: stackOf(fn)}
	}
	a.busy = true
	v, err := in.call(a.Function, arg)
	a.busy = false
	return v, err
}

// lookup finds a function; wazero panics when the table has none.
func (in *instance) lookup(f guestFunction) (fn api.Function, err error) {
	if f.name != "" {
		fn = in.mod.ExportedFunction(f.name)
		if fn == nil || !callable(fn.Definition(), f.result) {
			return nil, hostcalls.ErrNoFunction
		}
		return fn, nil
	}
	defer func() {
		if recover() != nil {
			err = hostcalls.ErrNoFunction
		}
	}()
	i32 := []api.ValueType{api.ValueTypeI32}
	if f.result {
		return table.LookupFunction(in.mod, 0, f.index, i32, i32), nil
	}
	return table.LookupFunction(in.mod, 0, f.index, i32, nil), nil
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
