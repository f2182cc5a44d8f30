package wazeroengine_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/enginetest"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

func request(ctx context.Context, m engine.Module) error {
	x := hostcalls.NewExchange(&hostcalls.Tenant{}, &hostcalls.Request{Method: "GET", Path: "/", Header: http.Header{}})
	defer x.Close()
	return m.Run(ctx, x)
}

// TestCollectorPassesSpinningGuests: compiled code cannot be preempted, and would hold
// the garbage collector up for as long as it runs.
func TestCollectorPassesSpinningGuests(t *testing.T) {
	e := newEngine(t, wazeroengine.Options{Funcs: hostcalls.Functions()})
	defer func() { _ = e.Close(context.Background()) }()
	m, err := e.Compile(t.Context(), enginetest.Guest(t, "spin"), engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close(context.Background()) }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error)
	for range 2 {
		go func() { ended <- request(ctx, m) }()
	}
	for range 5 {
		runtime.GC()
	}
	if ctx.Err() != nil {
		t.Error("the collector has waited for guests")
	}
	cancel()
	for range 2 {
		if _, ok := errors.AsType[*engine.Trap](<-ended); !ok {
			t.Error("a spinning guest has returned")
		}
	}
}

// TestNothingIsLeftBehind counts descriptors and mappings after many requests that end in
// every way.
func TestNothingIsLeftBehind(t *testing.T) {
	if _, err := os.Stat("/proc/self/maps"); err != nil {
		t.Skip("no /proc to count mappings in")
	}
	count := func() (descriptors, mappings int) {
		entries, _ := os.ReadDir("/proc/self/fd")
		maps, _ := os.ReadFile("/proc/self/maps")
		return len(entries), bytes.Count(maps, []byte("terrane-image"))
	}
	before, _ := count()
	e := newEngine(t, wazeroengine.Options{Funcs: hostcalls.Functions(), Idle: 100_000})
	var modules []engine.Module
	for _, guest := range []string{"hello", "dirty", "grow", "unreachable", "bounds", "tableset", "recurse"} {
		m, err := e.Compile(t.Context(), enginetest.Guest(t, guest), engine.Limits{Memory: 8 << 20})
		if err != nil {
			t.Fatal(err)
		}
		modules = append(modules, m)
	}
	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	for range rounds {
		for _, m := range modules {
			_ = request(t.Context(), m) // some trap
		}
	}
	for _, m := range modules {
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, mappings := count(); mappings != 0 {
		t.Errorf("%d mappings are left", mappings)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if after, _ := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
