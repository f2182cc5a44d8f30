package bgp

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestDrainWithoutRun(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64512)
	a, err := New(example(r))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestExternal has no neighbor, and another speaker that is told.
func TestExternal(t *testing.T) {
	o := example()
	o.ASN, o.RouterID, o.External = 0, netip.Addr{}, true
	e := startEdge(t, o)
	state := func(want State) {
		t.Helper()
		e.wait(string(want), func(s Status) bool { return s.State == want && len(s.Prefixes) == 1 })
	}
	state(Unhealthy)
	e.SetHealth(true, "")
	state(Announcing)
	drained := make(chan error)
	begin := time.Now()
	go func() { drained <- e.Drain(t.Context()) }()
	state(Draining)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d < o.ShutdownWait+o.WithdrawWait {
		t.Errorf("drained after %v: routers had no time to follow", d)
	}
	state(Drained)
	if err := e.Undrain(); err != nil {
		t.Error(err)
	}
	state(Announcing)
	e.SetHealth(false, "test")
	state(Unhealthy)
}

func TestDrainSurvivesRestart(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64512)
	o := example(r)
	o.DrainFile = filepath.Join(t.TempDir(), "drained")
	e := startEdge(t, o)
	e.SetHealth(true, "")
	r.wait("route", r.holds("192.0.2.10/32"))
	if err := e.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.stop()
	<-e.done

	e = startEdge(t, o)
	e.SetHealth(true, "")
	e.wait("session", established)
	e.wait("still drained", func(s Status) bool { return s.State == Drained })
	if err := e.Undrain(); err != nil {
		t.Error(err)
	}
	r.wait("route", r.holds("192.0.2.10/32"))
	if _, err := os.Stat(o.DrainFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}

	o.DrainFile = filepath.Join(t.TempDir(), "no", "such", "folder")
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), "drained, but not after a restart") {
		t.Errorf("a file that cannot be written: %v", err)
	}
}

// stall is a log handler that holds up GoBGP's main loop, once, when told to.
type stall struct {
	slog.Handler
	on   atomic.Bool
	held chan struct{} // closed when it does
	hold chan struct{}
}

func (s *stall) Handle(ctx context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Value.String() == "state changed" && s.on.CompareAndSwap(true, false) { // only the main loop says it
			close(s.held)
			<-s.hold
		}
		return true
	})
	return s.Handler.Handle(ctx, r)
}

func (s *stall) Enabled(context.Context, slog.Level) bool { return true }

// TestStuckSpeaker: routers must lose the route even if GoBGP does not answer. The
// speaker that was given up goes on when the test is over, and shares variables with
// those of other tests.
func TestStuckSpeaker(t *testing.T) {
	if !alone(t) {
		return
	}
	one, two := newRouter(t, "127.0.0.2", 64512), newRouter(t, "127.0.0.3", 64513)
	o := example(one, two)
	o.Neighbors[1].ConnectRetry = time.Hour
	handler := &stall{Handler: slog.DiscardHandler, held: make(chan struct{}), hold: make(chan struct{})}
	o.Logger = slog.New(handler)
	e := startEdge(t, o)
	t.Cleanup(func() { close(handler.hold) })
	e.SetHealth(true, "")
	one.wait("route", one.holds("192.0.2.10/32"))
	two.wait("route", two.holds("192.0.2.10/32"))

	handler.on.Store(true)
	one.hangUp() // makes the main loop log
	e.wait("session lost", func(s Status) bool { return s.Neighbors[0].Lost == 1 })
	<-handler.held
	e.SetHealth(false, "test")
	two.wait("end of the session", heardLast(adminShutdown+": the speaker is restarted"))
	two.wait("route gone", two.holds())
	e.SetHealth(true, "")
	one.wait("route again", one.holds("192.0.2.10/32"))
}
