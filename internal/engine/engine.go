package engine

import (
	"context"
	"errors"
	"time"

	"github.com/terrane/terrane/hostcalls"
)

// Engine compiles modules. It is safe for concurrent use.
type Engine interface {
	// Name is the engine's name in the configuration and in logs.
	Name() string
	// Compile checks a module and makes it ready to run: no later Run compiles
	// anything. What is wrong with the module is an error that wraps ErrRefused, in
	// words for its author; any other error is the host's.
	Compile(ctx context.Context, wasm []byte, limits Limits) (Module, error)
	// Close frees all that the engine holds. Modules must have been closed before.
	Close(ctx context.Context) error
}

// Module is a compiled module. It is safe for concurrent use.
type Module interface {
	// Run gives x a sandbox of its own, tells x the module's entry (Exchange.Enter),
	// calls that, and ends the sandbox. The guest's answer is left in x. The error is nil, a *Trap, or the
	// host's. When ctx ends, so does Run, whatever the guest does.
	Run(ctx context.Context, x *hostcalls.Exchange) error
	// Close frees the module once the last Run has returned; Run then fails.
	Close(ctx context.Context) error
}

// Limits bound each Run of a module. A zero field is the engine's default.
type Limits struct {
	Memory int64         // bytes of linear memory
	CPU    time.Duration // time on a processor; the wall clock is Run's ctx
}

// ErrRefused is wrapped by each error of Compile that the module's author can mend.
var ErrRefused = errors.New("module refused")

// ErrNoRoom is Run's error when the edge has no memory free for another guest. It has not begun.
var ErrNoRoom = errors.New("no memory is free for another guest")

// TrapKind is why a guest ended before its entry returned.
type TrapKind uint8

// The kinds of Trap.
const (
	TrapFault    TrapKind = iota // unreachable, out of bounds, stack overflow, a hostcall's refusal
	TrapDeadline                 // CPU or wall time used up, or the visitor has left
	TrapMemory                   // the guest asked for more memory than its limit, and then faulted
	TrapExit                     // the guest ended itself with a status that is not 0
)

// Trap is the end of a guest that did not return. It costs its own request only.
type Trap struct {
	Kind      TrapKind
	Reason    string   // one line, for the tenant's log; never for a visitor
	Backtrace []string // innermost function first; nil if the guest had not begun
	Err       error    // the cause, nil when it is the guest's own
}

// Error is the kind and the reason in one line.
func (t *Trap) Error() string { return "guest trapped: " + t.Reason }

// Unwrap returns the cause.
func (t *Trap) Unwrap() error { return t.Err }
