package wazeroengine

import (
	"context"
	"time"

	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/prepare"
)

// maxSlice is more than a guest computes between two ticks: what exceeds it was spent
// waiting, in a host function or for a processor.
const maxSlice = 5 * time.Millisecond

// tick is called by a guest whose fuel or stack has run out. That it is Go code is what
// lets the scheduler and the garbage collector in: they cannot stop compiled code.
func tick(ctx context.Context, _ []uint64) {
	in, _ := ctx.(*instance)
	if int32(in.stack.Get()) < 0 {
		panic(engine.ErrStack)
	}
	in.fuel.Set(prepare.FullFuel)
	in.ticked = true
	now := time.Now()
	in.used += min(now.Sub(in.since), maxSlice)
	in.since = now
	if limit := in.module.cpu; limit > 0 && in.used > limit {
		panic(engine.ErrCPU)
	}
	if in.Err() != nil {
		panic(context.Cause(in.Context)) //nolint:contextcheck // ctx is in
	}
	if in.module.engine.gate.Pass(in.x.Tenant(), &in.seat, in.Done()) {
		in.since = time.Now()
	}
	if in.Err() != nil {
		panic(context.Cause(in.Context)) //nolint:contextcheck // ctx is in
	}
}
