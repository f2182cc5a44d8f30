package enginetest

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
)

// NewBounded makes the engine under test, whose guests in flight may hold so many bytes.
type NewBounded func(t testing.TB, funcs []hostcalls.Func, guests int64) engine.Engine

// Memory tests that an engine counts the memory of guests in flight: those that would take more
// than there is do not begin or do not grow, and what ends, however it does, gives back all.
func Memory(t *testing.T, newEngine NewBounded) {
	const limit = 3 * mib // a tenant may hold as much as it leaves free: one guest of hold
	s := start(t, func(t testing.TB, funcs []hostcalls.Func) engine.Engine { return newEngine(t, funcs, limit) })
	hold := s.compile("hold", engine.Limits{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	results := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := request(ctx, hold)
			results <- err
		}()
	}
	if err := <-results; !errors.Is(err, engine.ErrNoRoom) {
		t.Errorf("one of two guests that hold a third of the memory each ended with %v, want %v", err, engine.ErrNoRoom)
	}
	cancel()
	if trap, ok := errors.AsType[*engine.Trap](<-results); !ok || trap.Kind != engine.TrapDeadline {
		t.Errorf("the other one: %v", trap)
	}

	for _, guest := range []string{"hello", "nomemory", "exit0", "exit3", "unreachable", "growfault", "flood", "grow"} {
		m := s.compile(guest, engine.Limits{Memory: 32 * mib})
		for range 5 {
			body, err := request(t.Context(), m)
			if trap, ok := errors.AsType[*engine.Trap](err); err != nil && (!ok || trap.Kind == engine.TrapDeadline) {
				t.Fatalf("%s: %v", guest, err)
			} else if guest == "grow" && err != nil && trap.Kind != engine.TrapMemory {
				t.Errorf("a guest that grows beyond what there is: %v", err)
			} else if guest == "grow" && err == nil && int64(binary.LittleEndian.Uint32([]byte(body)))*engine.PageSize > limit {
				t.Errorf("a guest has grown to %d pages, and all may have %d bytes", binary.LittleEndian.Uint32([]byte(body)), limit)
			}
		}
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := request(ctx, hold); errors.Is(err, engine.ErrNoRoom) {
		t.Error("memory of guests that have ended is still taken")
	}
}
