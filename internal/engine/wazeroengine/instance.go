package wazeroengine

import (
	"context"
	"crypto/rand"
	"errors"
	"reflect"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine/gate"
	"github.com/terrane/terrane/internal/engine/linear"
	"github.com/terrane/terrane/internal/engine/pool"
	"github.com/terrane/terrane/internal/engine/prepare"
)

// instance is one sandbox. While a request is in it, it is the context that wazero
// passes to host functions, so that they find it without a search.
type instance struct {
	context.Context // of the request; nil when idle

	module    *module
	mod       api.Module
	memory    *linear.Memory // nil if the module has none
	adopted   bool
	enter     api.Function
	fuel      api.MutableGlobal
	stack     api.Global
	denied    api.Global
	allocator allocator

	enterStack reflect.Value

	x       *hostcalls.Exchange
	nested  int           // calls of the guest by host functions, now
	arg     [1]uint64     // of the innermost of them: read at its begin, written at its end
	refused bool          // Grow has failed
	taken   int64         // of Engine.memory, in bytes
	crowded bool          // Engine.memory had no more
	since   time.Time     // start of the slice of processor time
	used    time.Duration // time on a processor up to since
	ticked  bool
	seat    gate.Seat
	idle    pool.Item[*instance]
}

// Value hides the request's values: wazero asks for its own at each call, and none of
// them is set.
func (*instance) Value(any) any { return nil }

func instanceConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(rand.Reader)
}

func (in *instance) bind(mod api.Module) {
	in.mod = mod
	in.renew()
	in.fuel, _ = mod.ExportedGlobal(prepare.Fuel).(api.MutableGlobal)
	in.stack = mod.ExportedGlobal(prepare.Stack)
	in.denied = mod.ExportedGlobal(prepare.Refused)
}

var errMark = errors.New("the code is of another module")

// checkMark asks the code which module it was compiled of.
func (in *instance) checkMark(ctx context.Context, want uint64) error {
	if want == 0 {
		return nil
	}
	fn := in.mod.ExportedFunction(prepare.Mark)
	if fn == nil {
		return errMark
	}
	if got, err := fn.Call(ctx); err != nil || got[0] != want {
		return errors.Join(errMark, err)
	}
	return nil
}

// run calls the module's entry for a request. After an error the instance is void.
func (in *instance) run(ctx context.Context, x *hostcalls.Exchange) error {
	in.Context, in.x, in.since = ctx, x, time.Now()
	x.Enter(in.module.Entry)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := in.enter.CallWithStack(in, nil) //nolint:contextcheck // in is ctx
	in.module.engine.gate.Leave(&in.seat)
	if exit, ok := errors.AsType[*hostcalls.Exit](err); ok && exit.Code == 0 {
		in.ticked = true // what it called is still on its stack
		return nil
	}
	return err
}

// reset puts the instance back into the state of a new one. Globals are left to Enter.
func (in *instance) reset() error {
	in.Context, in.x, in.used, in.refused, in.crowded = nil, nil, 0, false, false
	if in.ticked || in.stackBytes() > keepStack {
		in.ticked = false
		in.renew()
	}
	in.idle.Cost = instanceCost + in.stackBytes()
	if in.memory == nil {
		return nil
	}
	if len(in.memory.Bytes()) != in.memory.Image().Size() {
		done := in.memory.Shrink()
		_, ok := in.mod.Memory().Grow(1)
		done()
		if !ok {
			return errFull
		}
	}
	resident, err := in.memory.Reset()
	in.idle.Cost += resident + in.memory.Image().Held()
	return err
}

var errFull = errors.New("the memory has grown to 4 GiB")

// close frees the instance.
func (in *instance) close(ctx context.Context) {
	if in.mod != nil {
		// The error is the exit code of a module that was closed before, and that none is.
		_ = in.mod.Close(ctx)
	}
	if in.memory != nil {
		in.memory.Free()
	}
	if in.adopted {
		if err := in.module.image.Leave(); err != nil {
			in.module.engine.log.Error("image of a module not freed", "err", err)
		}
	}
	*in = instance{}
}

func closeAll(ctx context.Context, all []*instance) {
	for _, in := range all {
		in.close(ctx)
	}
}
