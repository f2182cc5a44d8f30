//go:build engine_wasmer

package wasmerengine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/enginetest"
	"github.com/terrane/terrane/internal/engine/wasmerengine"
)

// TestPanicOfHostFunction: it is this process's fault, not the guest's, and unwinds nothing of
// libwasmer.
func TestPanicOfHostFunction(t *testing.T) {
	i32 := []hostcalls.ValueType{hostcalls.I32}
	e := newEngine(t, wasmerengine.Options{Funcs: []hostcalls.Func{{Module: "test", Name: "exit", Params: i32,
		Call: func(context.Context, *hostcalls.Exchange, hostcalls.Guest, []uint64) error { panic("oops") }}}})
	m, err := e.Compile(t.Context(), enginetest.Guest(t, "exit3"), engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		err := request(t.Context(), m, "GET")
		if _, trapped := errors.AsType[*engine.Trap](err); trapped || err == nil || !strings.Contains(err.Error(), "panic: oops") {
			t.Fatalf("got %v", err)
		}
	}
	if err := errors.Join(m.Close(t.Context()), e.Close(t.Context())); err != nil {
		t.Error(err)
	}
}

// TestSmallStack starts this test anew where threads have too little stack for guests.
func TestSmallStack(t *testing.T) {
	if os.Getenv("TERRANE_SMALL_STACK") != "" {
		_, err := wasmerengine.New(wasmerengine.Options{})
		if err == nil || !strings.Contains(err.Error(), "ulimit -s") {
			t.Fatalf("got %v", err)
		}
		return
	}
	for _, limit := range []string{"2048", "unlimited"} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", "ulimit -s "+limit+" && exec \"$0\" -test.run '^TestSmallStack$'", os.Args[0])
		cmd.Env = append(os.Environ(), "TERRANE_SMALL_STACK=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", limit, err, out)
		}
	}
}

// TestNoAddressSpace starts this test anew, and leaves it too little for a memory: that is the
// host's fault, and not the module's.
func TestNoAddressSpace(t *testing.T) {
	if os.Getenv("TERRANE_NO_ADDRESS_SPACE") == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestNoAddressSpace$")
		cmd.Env = append(os.Environ(), "TERRANE_NO_ADDRESS_SPACE=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	e := newEngine(t, wasmerengine.Options{Funcs: hostcalls.Functions()})
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc to read the size from")
	}
	var pages uint64
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		t.Fatal(err)
	}
	most := pages*uint64(os.Getpagesize()) + 256<<20
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: most, Max: most}); err != nil {
		t.Fatal(err)
	}
	_, err = e.Compile(t.Context(), enginetest.Guest(t, "hello"), engine.Limits{})
	if err == nil || errors.Is(err, engine.ErrRefused) || !strings.Contains(err.Error(), "allocat") {
		t.Errorf("got %v, want an error of the host", err)
	}
}

// TestManyGuestsWait has more guests in flight than there may be threads.
func TestManyGuestsWait(t *testing.T) {
	e := newEngine(t, wasmerengine.Options{Funcs: hostcalls.Functions(), Threads: 4})
	m, err := e.Compile(t.Context(), enginetest.Guest(t, "spin"), engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	for range 4 {
		go func() { ended <- request(ctx, m, "GET") }()
	}
	late, stop := context.WithCancel(t.Context())
	stop()
	if trap, ok := errors.AsType[*engine.Trap](request(late, m, "GET")); !ok || trap.Kind != engine.TrapDeadline {
		t.Errorf("a guest without time: %v", trap)
	}
	cancel()
	for range 4 {
		if trap, ok := errors.AsType[*engine.Trap](<-ended); !ok || trap.Kind != engine.TrapDeadline {
			t.Errorf("a spinning guest: %v", trap)
		}
	}
	if err := errors.Join(m.Close(t.Context()), e.Close(t.Context())); err != nil {
		t.Error(err)
	}
}

// BenchmarkSoak is a run of 100,000 requests in recycled and in new instances, and what is resident
// at their ends: -benchtime 10x makes it a million.
func BenchmarkSoak(b *testing.B) {
	for name, idle := range map[string]int64{"recycled": 0, "fresh": -1} {
		b.Run(name, func(b *testing.B) {
			e := newEngine(b, wasmerengine.Options{Funcs: hostcalls.Functions(), Idle: idle})
			m, err := e.Compile(b.Context(), enginetest.Guest(b, "hello"), engine.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			hundredThousand := func() {
				for range 100_000 {
					if err := request(b.Context(), m, "GET"); err != nil {
						b.Fatal(err)
					}
				}
			}
			hundredThousand()
			before := resident(b)
			for b.Loop() {
				hundredThousand()
			}
			b.ReportMetric(float64(resident(b)-before)/1e3, "kB-grown")
			if err := errors.Join(m.Close(b.Context()), e.Close(b.Context())); err != nil {
				b.Error(err)
			}
		})
	}
}
