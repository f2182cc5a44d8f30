//go:build engine_wasmer

package wasmerengine

/*
#include "shim.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime/cgo"
	"strings"
	"time"
	"unsafe"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/gate"
	"github.com/terrane/terrane/internal/engine/linear"
	"github.com/terrane/terrane/internal/engine/pool"
	"github.com/terrane/terrane/internal/engine/prepare"
)

// instance is one sandbox.
type instance struct {
	module *module
	code   *code
	guest  C.guest
	handle cgo.Handle // of the instance, for host functions
	memory *C.wasm_memory_t
	base   unsafe.Pointer // of the memory: libwasmer reserves what there may be, and never moves it
	first  int            // bytes that the memory begins with
	mapped *linear.Memory // nil unless there is a memory, and the instance is to be kept

	recycles bool

	enter               *C.wasm_func_t
	fuel, stack, denied *C.wasm_global_t
	idle                pool.Item[*instance]

	ctx     context.Context
	x       *hostcalls.Exchange
	view    []byte       // the memory, nil if it may have grown
	nested  int          // calls of the guest by host functions, now
	args    [2]C.int32_t // of the innermost of them: read at its begin, written at its end
	ending  C.ending     // likewise
	failed  error        // of a host function, on its way through the guest
	frames  []string     // innermost first, of calls that have trapped
	refused bool         // Grow has failed
	taken   int64        // of Engine.memory, in bytes, beyond what the module begins with
	ticked  bool
	began   time.Duration // on the clock of the thread, at the first tick
	seat    gate.Seat
}

// instantiate makes a new instance. The error wraps ErrRefused unless the host lacks what it needs.
func (m *module) instantiate() (*instance, error) {
	in := &instance{module: m, code: m.take(), recycles: m.recycles()}
	in.idle.Instance = in
	C.guest_new(&in.guest, &in.code.c, &in.ending)
	if in.ending.failed {
		m.leave(in.code)
		reason := C.GoString(&in.ending.reason[0])
		if strings.Contains(reason, "Insufficient resources") {
			return nil, fmt.Errorf("instantiate: %s", reason)
		}
		return nil, engine.Refuse(fmt.Errorf("a data or element segment: %s", reason))
	}
	in.handle = cgo.NewHandle(in)
	in.enter = C.wasm_extern_as_func(in.export(prepare.Enter))
	in.fuel = C.wasm_extern_as_global(in.export(prepare.Fuel))
	in.stack = C.wasm_extern_as_global(in.export(prepare.Stack))
	in.denied = C.wasm_extern_as_global(in.export(prepare.Refused))
	if memory := in.export(prepare.Memory); memory != nil {
		in.memory = C.wasm_extern_as_memory(memory)
		in.base, in.first = unsafe.Pointer(C.memory_data(in.memory)), in.size()
	}
	if in.first > 0 && in.recycles {
		in.mapped = linear.Over(unsafe.Slice((*byte)(in.base), in.first))
		if err := m.image.Adopt(m.engine.restorer, in.mapped); err != nil {
			in.close()
			return nil, err
		}
	}
	m.engine.pool.Created()
	return in, nil
}

// export is the export of the name, nil if there is none.
func (in *instance) export(name string) *C.wasm_extern_t {
	e, ok := in.module.exports[name]
	if !ok {
		return nil
	}
	return C.guest_export(&in.guest, C.size_t(e.at))
}

// run calls the module's entry for a request. After an error the instance is void.
func (in *instance) run(ctx context.Context, x *hostcalls.Exchange) error {
	in.ctx, in.x = ctx, x
	x.Enter(in.module.entry)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_, err := in.call(in.enter, false)
	in.module.engine.gate.Leave(&in.seat)
	if exit, ok := errors.AsType[*hostcalls.Exit](err); ok && exit.Code == 0 {
		return nil
	}
	return err
}

// instanceCost is what libwasmer holds for an instance beside its memory, roughly.
const instanceCost = 24 << 10

// reset puts the instance back into the state of a new one. Globals are left to Enter.
func (in *instance) reset() error {
	in.ctx, in.x, in.ticked, in.refused, in.frames = nil, nil, false, false, nil
	in.idle.Cost = instanceCost
	if in.mapped == nil {
		return nil
	}
	resident, err := in.mapped.Reset()
	in.idle.Cost += resident + in.mapped.Image().Held()
	return err
}

// close frees the instance.
func (in *instance) close() {
	C.guest_delete(&in.guest) // which unmaps the memory
	in.handle.Delete()
	if in.mapped != nil {
		if err := in.module.image.Leave(); err != nil {
			in.module.engine.log.Error("image of a module not freed", "err", err)
		}
	}
	in.module.leave(in.code)
	*in = instance{}
}

func closeAll(all []*instance) {
	for _, in := range all {
		in.close()
	}
}
