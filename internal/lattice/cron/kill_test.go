package cron_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/cron"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/tenant"
)

func TestMain(m *testing.M) {
	latticetest.Child(beEdge)
	goleak.VerifyTestMain(m)
}

// beEdge prints "begun EDGE DUE" for each run, which takes a second, and "told EDGE
// TEXT" for what the tenant is told. The clocks of all processes are as fast as a
// fleet's.
func beEdge(ctx context.Context, l *lattice.Lattice) error {
	epoch := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c, err := cron.New(cron.Options{
		Lattice: l,
		Now:     func() time.Time { return epoch.Add(speed * time.Since(epoch)) },
		Ask: func(_ context.Context, _ tenant.ID, t *messages.Task) (*messages.Answer, error) {
			fmt.Println("begun", l.Name(), t.Due.Format(time.RFC3339))
			<-time.After(time.Second)
			return &messages.Answer{Code: 200}, nil
		},
		Tell: func(_ tenant.ID, _ slog.Level, text string) { fmt.Println("told", l.Name(), text) },
	})
	if err != nil {
		return err
	}
	c.Set(alice, &tenant.Manifest{Crons: []tenant.Cron{{Schedule: "* * * * *", Path: "/tick"}}})
	return c.Run(ctx)
}

// heard is what edges that are processes have said.
type heard struct {
	mu     sync.Mutex
	begun  map[string]string // due -> edge; guarded by mu
	last   string            // the edge of the newest run; guarded by mu
	told   []string          // guarded by mu
	faults []string          // guarded by mu
}

func (h *heard) line(line string) {
	what, rest, _ := strings.Cut(line, " ")
	edge, text, _ := strings.Cut(rest, " ")
	h.mu.Lock()
	defer h.mu.Unlock()
	if what == "told" {
		h.told = append(h.told, text)
		return
	}
	if by := h.begun[text]; by != "" {
		h.faults = append(h.faults, fmt.Sprintf("%s was run by %s and by %s", text, by, edge))
	}
	h.begun[text], h.last = edge, edge
}

func (h *heard) await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	latticetest.Await(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return cond()
	}, func() string { return "waited in vain for " + what })
}

// TestKilled kills the leader amid a run, and then all edges: each time is run once, or
// the tenant is told that it was missed or cut short.
func TestKilled(t *testing.T) {
	t.Parallel()
	h := &heard{begun: map[string]string{}}
	options := latticetest.Cluster(t, "ams", 3)
	edges := map[string]*latticetest.Process{}
	for i := range options {
		edges[options[i].Name] = latticetest.Spawn(t, &options[i], h.line)
	}
	h.await(t, "runs", func() bool { return len(h.begun) > 1 }) // the newest has just begun
	first := h.last
	edges[first].Kill()
	tells := "cut short: the edge " + first + ", which led, left before the run ended"
	h.await(t, "word of the run that was cut short", func() bool {
		return slices.ContainsFunc(h.told, func(s string) bool { return strings.Contains(s, tells) })
	})
	h.await(t, "another leader", func() bool { return h.last != first })
	latticetest.Kill(slices.Collect(maps.Values(edges))...)
	before := len(h.begun)
	for i := range options {
		latticetest.Spawn(t, &options[i], h.line)
	}
	h.await(t, "runs after a restart", func() bool { return len(h.begun) > before })

	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.faults {
		t.Error(f)
	}
	dues := slices.Sorted(maps.Keys(h.begun))
	from, err := time.Parse(time.RFC3339, dues[0])
	if err != nil {
		t.Fatal(err)
	}
	to, err := time.Parse(time.RFC3339, dues[len(dues)-1])
	if err != nil {
		t.Fatal(err)
	}
	missed := 0
	for _, text := range h.told {
		if m := regexp.MustCompile(`missed, the last of (\d+)`).FindStringSubmatch(text); m != nil {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			missed += n
		}
	}
	if minutes := int(to.Sub(from)/time.Minute) + 1; len(dues)+missed != minutes {
		t.Errorf("of %d times %d were run, and %d told as missed: %q", minutes, len(dues), missed, h.told)
	}
}
