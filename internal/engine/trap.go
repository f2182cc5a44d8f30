package engine

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/terrane/terrane/hostcalls"
)

// Why engines end guests that would go on.
var (
	ErrCPU    = errors.New("the time on a processor is used up")
	ErrStack  = errors.New("stack overflow")
	ErrMemory = errors.New("the memory has grown by more than this edge has for guests")
)

// Classify completes a trap whose Reason, Backtrace and Err say what an engine knows: of a
// request with the context ctx, and of a module that may have cpu, and memory bytes, of
// which it was denied more or not.
func (t *Trap) Classify(ctx context.Context, cpu time.Duration, memory int64, denied bool) {
	exit, exited := errors.AsType[*hostcalls.Exit](t.Err)
	switch {
	case exited:
		t.Kind, t.Reason = TrapExit, exit.Error()
	case errors.Is(t.Err, ErrCPU):
		t.Kind, t.Reason, t.Err = TrapDeadline, ErrCPU.Error()+" (limit "+cpu.String()+")", ErrCPU
	case ctx.Err() != nil:
		t.Kind, t.Err = TrapDeadline, context.Cause(ctx)
		t.Reason = t.Err.Error()
	case errors.Is(t.Err, ErrMemory):
		t.Kind, t.Reason, t.Err = TrapMemory, ErrMemory.Error(), ErrMemory
	case denied:
		t.Kind = TrapMemory
		t.Reason += " after the memory could not grow beyond its limit of " + strconv.FormatInt(memory>>10, 10) + " KiB"
	}
}
