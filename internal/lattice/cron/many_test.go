package cron

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/tenant"
)

// crowd is a leader of many lines, each of which fires every minute of a clock that
// stands still.
type crowd struct {
	*Cron
	kv   jetstream.KeyValue
	now  time.Time
	ran  atomic.Int64
	told atomic.Int64
}

func newCrowd(t testing.TB, tenants, lines int) *crowd {
	node := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}).Node("ams1")
	w := &crowd{now: time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC)}
	var err error
	w.Cron, err = New(Options{
		Lattice: node.Lattice, Now: func() time.Time { return w.now },
		Ask: func(context.Context, tenant.ID, *messages.Task) (*messages.Answer, error) {
			w.ran.Add(1)
			return &messages.Answer{Code: 200}, nil
		},
		Tell: func(tenant.ID, slog.Level, string) { w.told.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range tenants {
		m := &tenant.Manifest{}
		for j := range lines {
			m.Crons = append(m.Crons, tenant.Cron{Schedule: "* * * * *", Path: fmt.Sprintf("/%d", j)})
		}
		w.Set(tenant.ID(fmt.Sprintf("/git/t%d", i)), m)
	}
	js, err := node.JetStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for w.kv == nil {
		if e := w.stand(t.Context(), js); e != nil {
			w.kv = e.kv
		}
	}
	w.until(t, func() bool { // all are known
		for _, l := range w.current() {
			if !l.known {
				return false
			}
		}
		return true
	})
	return w
}

// until ticks until cond holds.
func (w *crowd) until(t testing.TB, cond func() bool) {
	ctx, cancel := context.WithTimeout(t.Context(), latticetest.Patience)
	defer cancel()
	const mostSlow = 3 // the machine may have been busy, but not each time
	slow := 0
	for !cond() {
		if began := time.Now(); ctx.Err() == nil {
			w.fire(ctx, w.kv)
			if took := time.Since(began); took > lease/2 {
				if slow++; slow > mostSlow {
					t.Fatalf("a tick took %v: the lease of %v runs out meanwhile", took, lease)
				}
			}
			continue
		}
		t.Fatal("the lines do not fire")
	}
}

// TestCrowd: lines that are due at once all fire, once, though there are more than may
// run at a time.
func TestCrowd(t *testing.T) {
	w := newCrowd(t, 50, 10)
	for minute := range int64(2) {
		w.now = w.now.Add(time.Minute)
		w.until(t, func() bool { return w.ran.Load() >= 500*(minute+1) })
		w.fire(t.Context(), w.kv)
		w.all.Wait()
		if ran, told := w.ran.Load(), w.told.Load(); ran != 500*(minute+1) || told != 0 {
			t.Errorf("minute %d: %d runs, %d lines told, want 500 runs a minute", minute, ran, told)
		}
	}
}

// BenchmarkTick is what 10,000 lines cost the leader: each second while none is due, and
// for each line that fires.
func BenchmarkTick(b *testing.B) {
	w := newCrowd(b, 1000, 10)
	b.Run("none of 10000 due", func(b *testing.B) {
		for b.Loop() {
			w.fire(b.Context(), w.kv)
		}
	})
	b.Run("all of 10000 due", func(b *testing.B) {
		for b.Loop() {
			want := w.ran.Load() + 10_000
			w.now = w.now.Add(time.Minute)
			w.until(b, func() bool { return w.ran.Load() >= want })
		}
		b.ReportMetric(10_000*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		w.all.Wait()
	})
}
