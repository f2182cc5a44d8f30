package wazeroengine

import (
	"errors"
	"runtime"
	"strconv"
	"strings"

	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/prepare"
)

// trap makes of an error of run what Run returns.
func (in *instance) trap(err error) error {
	if bug, ok := errors.AsType[runtime.Error](err); ok {
		return bug
	}
	reason, frames := in.split(err.Error())
	t := &engine.Trap{Reason: reason, Backtrace: frames, Err: err}
	t.Classify(in.Context, in.module.cpu, int64(in.module.MemoryPages)*engine.PageSize, in.refused || in.denied.Get() != 0)
	if in.crowded && t.Kind == engine.TrapMemory {
		t.Reason = reason + " after the memory could not grow: this edge has no more for guests"
	}
	return t
}

// split takes apart wazero's text: what happened, and the functions it happened in, as
// the module's author knows them. Nested calls have a trace each, innermost first.
func (in *instance) split(text string) (reason string, frames []string) {
	reason, trace, _ := strings.Cut(text, "\nwasm stack trace:")
	reason = strings.TrimPrefix(reason, "wasm error: ")
	reason = strings.ReplaceAll(reason, " (recovered by wazero)", "")
	for line := range strings.Lines(trace) {
		if frame := in.frame(strings.TrimSpace(line)); frame != "" {
			frames = append(frames, frame)
		}
	}
	return reason, frames
}

// frame is a line of a trace without what is not the author's: preparation has added
// functions, and has moved those without a name from "$N" to "$N+1".
func (in *instance) frame(line string) string {
	_, name, found := strings.Cut(line, ".$")
	digits, signature, _ := strings.Cut(name, "(")
	index, err := strconv.ParseUint(digits, 10, 32)
	switch {
	case strings.HasPrefix(line, "wasm stack trace"), strings.HasPrefix(line, "(recovered"),
		strings.HasPrefix(line, prepare.Module+"."+prepare.Tick+"("):
		return ""
	case !found || err != nil:
		return strings.TrimPrefix(line, ".")
	case uint32(index) == in.module.Enter, uint32(index) == in.module.Tick:
		return ""
	case uint32(index) > in.module.Tick:
		index--
	}
	return "$" + strconv.FormatUint(index, 10) + "(" + signature
}
