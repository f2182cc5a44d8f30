package wazeroengine

import (
	"context"
	"errors"
	"runtime"
	"strings"

	"github.com/tetratelabs/wazero/sys"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
)

var errCPU = errors.New("the time on a processor is used up")

// trap makes of an error of wazero what Run returns.
func (in *instance) trap(err error) error {
	if err == nil {
		return nil
	}
	if bug, ok := errors.AsType[runtime.Error](err); ok {
		return bug
	}
	reason, frames := split(err.Error())
	t := &engine.Trap{Reason: reason, Backtrace: frames, Err: err}
	exit, exited := errors.AsType[*hostcalls.Exit](err)
	_, closed := errors.AsType[*sys.ExitError](err)
	switch {
	case exited && exit.Code == 0:
		return nil
	case exited:
		t.Kind, t.Reason = engine.TrapExit, exit.Error()
	case closed || in.Err() != nil:
		t.Kind, t.Err = engine.TrapDeadline, context.Cause(in.Context)
		t.Reason = t.Err.Error()
	}
	return t
}

// split takes apart wazero's text: what happened, and the functions it happened in.
func split(text string) (reason string, frames []string) {
	reason, trace, _ := strings.Cut(text, "\nwasm stack trace:")
	reason = strings.TrimSuffix(strings.TrimPrefix(reason, "wasm error: "), " (recovered by wazero)")
	for line := range strings.Lines(trace) {
		if line = strings.TrimSpace(line); line != "" {
			frames = append(frames, strings.TrimPrefix(line, "."))
		}
	}
	return reason, frames
}
