package health

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a monitor with one check that a test turns on and off.
type rig struct {
	*Monitor
	up      atomic.Bool
	changes []string
}

func (r *rig) check(context.Context) error {
	if r.up.Load() {
		return nil
	}
	return errors.New("broken")
}

// start runs a monitor in a synctest bubble; one check per second, at .0 s.
func start(t *testing.T, opts Options, more ...Check) *rig {
	t.Helper()
	r := &rig{}
	r.up.Store(true)
	opts.Checks = append([]Check{{Name: "it", Func: r.check}}, more...)
	opts.OnChange = func(s Status) {
		r.changes = append(r.changes, fmt.Sprint(s.Ready, s.Reasons))
	}
	m, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	r.Monitor = m
	if ready, reasons := r.Ready(); ready || len(reasons) != 1+len(more) || reasons[0] != "it: not checked yet" {
		t.Errorf("at the start: %v, %q", ready, reasons)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// after lets d pass and says whether the monitor is ready then.
func (r *rig) after(d time.Duration) bool {
	<-time.After(d)
	synctest.Wait()
	ready, _ := r.Ready()
	return ready
}

// bubble runs f in a synctest bubble, half a second off the checks.
func bubble(t *testing.T, opts Options, f func(*testing.T, *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, opts)
		if !r.after(500 * time.Millisecond) {
			t.Error("the first success is not enough")
		}
		f(t, r)
	})
}

func TestHysteresis(t *testing.T) {
	bubble(t, Options{Hold: time.Nanosecond}, func(t *testing.T, r *rig) {
		r.up.Store(false)
		if !r.after(time.Second) {
			t.Error("one failure of two brought it down")
		}
		r.up.Store(true)
		r.after(time.Second)
		r.up.Store(false)
		if !r.after(time.Second) {
			t.Error("two failures that were not in a row brought it down")
		}
		if r.after(time.Second) {
			t.Error("two failures in a row did not bring it down")
		}
		r.up.Store(true)
		if r.after(time.Second) {
			t.Error("one success of two brought it up")
		}
		if !r.after(time.Second) {
			t.Error("two successes did not bring it up")
		}
		want := []string{"true []", "false [it: broken]", "false [it: answers again, but not yet often enough]", "true []"}
		if !slices.Equal(r.changes, want) {
			t.Errorf("changes = %q, want %q", r.changes, want)
		}
	})
}

func TestGrace(t *testing.T) {
	bubble(t, Options{Grace: 10 * time.Second}, func(t *testing.T, r *rig) {
		r.up.Store(false)
		if !r.after(11 * time.Second) {
			t.Error("not ready within the grace")
		}
		if r.after(time.Second) {
			t.Error("ready after the grace")
		}
	})
}

func TestHoldDoublesAndForgets(t *testing.T) {
	bubble(t, Options{Hold: 4 * time.Second, MaxHold: 12 * time.Second}, func(t *testing.T, r *rig) {
		outage := func() time.Duration {
			r.up.Store(false)
			for r.after(time.Second) {
			}
			lost := time.Now()
			r.up.Store(true)
			for !r.after(500 * time.Millisecond) {
			}
			return time.Since(lost)
		}
		for i, want := range []time.Duration{4 * time.Second, 8 * time.Second, 12 * time.Second, 12 * time.Second} {
			if got := outage().Round(time.Second); got != want {
				t.Errorf("outage %d lasted %v, want %v", i+1, got, want)
			}
		}
		r.after(12 * time.Second)
		if got := outage().Round(time.Second); got != 4*time.Second {
			t.Errorf("after a long time ready an outage lasted %v, want 4s", got)
		}
		if !slices.ContainsFunc(r.changes, func(c string) bool { return strings.Contains(c, "held back for 8s after loss 2") }) {
			t.Errorf("the hold is not told: %q", r.changes)
		}
	})
}

func TestHungCheckFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		r := start(t, Options{}, Check{Name: "disk", Timeout: 100 * time.Millisecond, Func: func(ctx context.Context) error {
			if hang.Load() {
				<-time.After(time.Hour) // as a system call does, deaf to ctx
			}
			return ctx.Err()
		}})
		r.after(500 * time.Millisecond)
		hang.Store(true)
		if r.after(3 * time.Second) {
			t.Error("ready while a check hangs")
		}
		if _, reasons := r.Ready(); len(reasons) != 1 || reasons[0] != "disk: no answer within 100ms" {
			t.Errorf("reasons = %q", reasons)
		}
		hang.Store(false)
		if !r.after(time.Hour + 5*time.Second) {
			t.Error("not ready although the check answers again")
		}
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		r := start(t, Options{Metrics: reg})
		r.after(500 * time.Millisecond)
		r.up.Store(false)
		r.after(2 * time.Second)
		const want = `
			# HELP terrane_health_check_ok 1 while the check is up.
			# TYPE terrane_health_check_ok gauge
			terrane_health_check_ok{check="it"} 0
			# HELP terrane_health_losses_total Times the edge stopped being ready.
			# TYPE terrane_health_losses_total counter
			terrane_health_losses_total 1
			# HELP terrane_health_ready 1 while the edge is fit to attract traffic.
			# TYPE terrane_health_ready gauge
			terrane_health_ready 0
		`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	})
}

func TestNewNamesAllFaults(t *testing.T) {
	ok := func(context.Context) error { return nil }
	_, err := New(Options{Grace: -1, Checks: []Check{{Func: ok}, {Name: "a", Func: ok, Rise: -1}, {Name: "a", Func: ok}}})
	for _, want := range []string{`check 0 ""`, `"a": a negative`, `check 2 "a"`, "negative grace"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestNoChecksIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		synctest.Wait()
		if ready, _ := m.Ready(); !ready {
			t.Error("not ready with nothing to check")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestHoldStaysBelowDampening has a check that goes down as often as it can, and
// counts what routers that damp flapping routes (RFC 2439) would hold against the edge:
// 1000 for each withdrawal. There is no room for planned drains in that, which count 1500
// (TestAnycastDampingPenalty).
func TestHoldStaysBelowDampening(t *testing.T) {
	const halfLife = 15 * time.Minute
	for _, tt := range []struct {
		name     string
		hold     time.Duration
		suppress float64
	}{
		{"default hold, limit of RIPE-580", 0, 6000},
		{"hold of 16 minutes, limit of FRR and many others", 16 * time.Minute, 2000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{Hold: tt.hold, Grace: 500 * time.Millisecond}, func(t *testing.T, r *rig) {
				penalty, worst, last, was := 0.0, 0.0, time.Now(), true
				for end := time.Now().Add(12 * time.Hour); time.Now().Before(end); {
					is := r.after(500 * time.Millisecond)
					r.up.Store(!is) // down as soon as it is ready, and up as soon as it is not
					if was && !is {
						penalty = 1000 + penalty*math.Exp2(-float64(time.Since(last))/float64(halfLife))
						worst, last = max(worst, penalty), time.Now()
					}
					was = is
				}
				if worst >= tt.suppress || worst < 1000 {
					t.Errorf("the penalty was %.0f, routers suppress at %.0f", worst, tt.suppress)
				}
			})
		})
	}
}
