//go:build engine_wasmer

package wasmerengine

/*
#include "shim.h"
*/
import "C"

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/prepare"
)

// tick is called by a guest whose fuel or stack has run out; an error ends it.
func (in *instance) tick() error {
	if C.global_get(in.stack) < 0 {
		return engine.ErrStack
	}
	C.global_set(in.fuel, prepare.FullFuel)
	var clock unix.Timespec // of the thread, which the guest has for itself
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &clock); err != nil {
		return err
	}
	if err := in.count(); err != nil {
		return err
	}
	now := time.Duration(clock.Nano())
	if !in.ticked {
		in.ticked, in.began = true, now
	}
	if limit := in.module.cpu; limit > 0 && now-in.began > limit {
		return engine.ErrCPU
	}
	if in.ctx.Err() == nil {
		in.module.engine.gate.Pass(in.x.Tenant(), &in.seat, in.ctx.Done())
	}
	return context.Cause(in.ctx)
}

// count takes the memory that the guest has grown by since it was last counted. libwasmer asks
// nobody before memory grows, so that a guest that finds no room is ended.
func (in *instance) count() error {
	if grown := int64(in.size()-in.first) - in.taken; grown > 0 {
		return in.take(grown)
	}
	return nil
}

func (in *instance) take(bytes int64) error {
	if !in.module.engine.memory.Grow(in.x.Tenant(), in.taken, bytes) {
		return engine.ErrMemory
	}
	in.taken += bytes
	return nil
}

// fault is a trap of libwasmer's.
type fault string

// Error is libwasmer's text.
func (f fault) Error() string { return string(f) }

// fault is why the call that has just ended did not return: a host function's error, or
// the trap. It is hostcalls.ErrNoFunction when that was in what calls the table.
func (in *instance) fault() error {
	e, p := &in.ending, &in.module.prepared
	err := in.failed
	in.failed = nil
	if err == nil && e.frames > 0 && uint32(e.functions[0]) > p.Enter {
		return hostcalls.ErrNoFunction
	}
	for _, index := range e.functions[:e.frames] {
		if name := in.frame(uint32(index)); name != "" {
			in.frames = append(in.frames, name)
		}
	}
	if err == nil {
		text := C.GoString(&e.reason[0])
		if strings.Contains(text, "element") {
			text += " of a table"
		}
		err = fault(text)
	}
	return err
}

// frame is a function as the module's author knows it; empty if it was added. Preparation has
// moved those that the module defines, and put guards before the others.
func (in *instance) frame(index uint32) string {
	p := &in.module.prepared
	switch {
	case index >= p.Guards && index < p.Guards+p.Tick:
		f := in.module.imports[index-p.Guards]
		return f.Module + "." + f.Name
	case index >= p.Enter:
		return ""
	case index > p.Tick:
		index--
	}
	if name := in.module.names.Function(index); name != "" {
		return name
	}
	return "$" + strconv.FormatUint(uint64(index), 10)
}

// trap makes of an error of run what Run returns.
func (in *instance) trap(err error) error {
	if b, ok := errors.AsType[*bug](err); ok {
		return b
	}
	t := &engine.Trap{Reason: err.Error(), Backtrace: in.frames, Err: err}
	t.Classify(in.ctx, in.module.cpu, int64(in.module.prepared.MemoryPages)*engine.PageSize, in.refused || C.global_get(in.denied) != 0)
	return t
}
