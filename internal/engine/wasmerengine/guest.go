//go:build engine_wasmer

package wasmerengine

/*
#cgo noescape guest_call
#include "shim.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/cgo"
	"runtime/debug"
	"unsafe"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/prepare"
)

// instance is a hostcalls.Guest.
var _ hostcalls.Guest = (*instance)(nil)

// tickIndex stands for tick among the functions that guests call.
const tickIndex = math.MaxUint32

// terraneHostFunction calls a function for the guest that runs on this thread. If it fails, the
// guest traps when it returns (prepare.Options.Guard): a trap of libwasmer's own has no backtrace.
//
//export terraneHostFunction
func terraneHostFunction(handle C.uintptr_t, index C.uint32_t, stack *C.uint64_t) {
	in, _ := cgo.Handle(handle).Value().(*instance)
	if in.failed = in.host(uint32(index), unsafe.Slice((*uint64)(stack), maxParams)); in.failed != nil {
		C.global_set(in.stack, -1)
	}
}

func (in *instance) host(index uint32, stack []uint64) (err error) {
	defer func() {
		if r := recover(); r != nil { // it must not unwind libwasmer's frames
			err = &bug{r, debug.Stack()}
		}
	}()
	if index == tickIndex {
		return in.tick()
	}
	in.module.engine.gate.Leave(&in.seat) // it may wait
	in.view = nil
	if err := in.count(); err != nil {
		return err
	}
	return in.module.engine.funcs[index].Call(in.ctx, in.x, in, stack)
}

// bug is a panic of a host function.
type bug struct {
	value any
	stack []byte
}

// Error tells where it was.
func (b *bug) Error() string { return fmt.Sprintf("panic: %v\n%s", b.value, b.stack) }

// size is that of the memory, in bytes.
func (in *instance) size() int {
	if in.memory == nil {
		return 0
	}
	return int(C.wasm_memory_data_size(in.memory))
}

// Memory implements hostcalls.Guest.
func (in *instance) Memory() []byte {
	if in.view == nil && in.memory != nil {
		in.view = unsafe.Slice((*byte)(in.base), in.size())
	}
	return in.view
}

// Grow implements hostcalls.Guest.
func (in *instance) Grow(pages uint32) (uint32, bool) {
	if in.memory == nil {
		return 0, false
	}
	previous := in.size() / engine.PageSize
	ok := previous+int(pages) <= int(in.module.prepared.MemoryPages) && in.take(int64(pages)*engine.PageSize) == nil && bool(C.wasm_memory_grow(in.memory, C.uint32_t(pages)))
	in.view = nil
	in.refused = in.refused || !ok
	return uint32(previous), ok
}

// CallTable implements hostcalls.Guest.
func (in *instance) CallTable(_ context.Context, index, arg uint32, result bool) (uint32, error) {
	caller := prepare.CallVoid
	if result {
		caller = prepare.CallValue
	}
	e := in.export(caller)
	if e == nil {
		return 0, hostcalls.ErrNoFunction
	}
	return in.call(C.wasm_extern_as_func(e), result, index, arg)
}

// CallExport implements hostcalls.Guest.
func (in *instance) CallExport(_ context.Context, name string, arg uint32, result bool) (uint32, error) {
	e, ok := in.module.exports[name]
	if !ok || e.result != result || !e.own {
		return 0, hostcalls.ErrNoFunction
	}
	return in.call(C.wasm_extern_as_func(in.export(name)), result, arg)
}

// maxNested bounds host functions that call the guest that calls them: each level
// takes of the thread's stack.
const maxNested = 8

var errNested = errors.New("stack overflow: the allocator calls the host, which calls it")

// call calls a function of the guest.
func (in *instance) call(fn *C.wasm_func_t, result bool, args ...uint32) (uint32, error) {
	if in.nested > maxNested {
		return 0, errNested
	}
	reserve := 0
	if in.nested == 0 {
		reserve = stackReserve
	}
	for i, v := range args {
		in.args[i] = C.int32_t(v)
	}
	in.nested++
	C.guest_call(fn, C.uintptr_t(in.handle), &in.args[0], C.size_t(len(args)), C.bool(result), C.size_t(reserve), &in.ending)
	in.nested--
	in.view = nil
	if in.ending.failed {
		return 0, in.fault()
	}
	return uint32(in.args[0]), nil
}
