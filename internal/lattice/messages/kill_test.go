package messages_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/tenant"
)

func TestMain(m *testing.M) {
	latticetest.Child(beEdge)
	goleak.VerifyTestMain(m)
}

// beEdge publishes one message after the other, and prints "kept BODY" for each that
// was acknowledged, and "handled BODY" for each that it handles. After SIGUSR1 it
// handles nothing more and says "holds BODY".
func beEdge(ctx context.Context, l *lattice.Lattice) error {
	var hold atomic.Bool
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	go func() { <-signals; hold.Store(true) }()
	m, err := messages.New(messages.Options{
		Lattice: l, Wait: 2 * time.Second,
		Run: func(ctx context.Context, _ tenant.ID, t *messages.Task) (*messages.Answer, error) {
			if hold.Load() {
				fmt.Println("holds", string(t.Body))
				<-ctx.Done()
				return nil, ctx.Err()
			}
			fmt.Println("handled", string(t.Body))
			return &messages.Answer{Code: 200}, nil
		},
	})
	if err != nil {
		return err
	}
	m.Set(alice, orders)
	go func() {
		guest := m.Of(alice, orders)
		for n, more := 0, 200; more > 0; n++ {
			if hold.Load() {
				more--
			}
			body := fmt.Sprintf("%s/%d/%d", l.Name(), os.Getpid(), n)
			if err := guest.Publish(ctx, &hostcalls.Message{Subject: "orders.new", Body: []byte(body), Hops: 1}); err == nil {
				fmt.Println("kept", body)
			} else {
				fmt.Fprintln(os.Stderr, l.Name(), err)
			}
			if n%100 == 0 {
				fmt.Println("leads", leader(ctx, l))
			}
		}
	}()
	return m.Run(ctx)
}

// leader is the edge that leads the stream.
func leader(ctx context.Context, l *lattice.Lattice) string {
	js, err := l.JetStream(ctx)
	if err != nil {
		return ""
	}
	stream, err := js.Stream(ctx, "terrane_msg")
	if err != nil || stream.CachedInfo().Cluster == nil {
		return ""
	}
	return stream.CachedInfo().Cluster.Leader
}

// fleet is edges that are processes, and what they have said.
type fleet struct {
	t     *testing.T
	edges map[string]*latticetest.Process

	mu      sync.Mutex
	kept    map[string]bool     // guarded by mu
	handled map[string]int      // guarded by mu
	holds   map[string][]string // bodies -> edges; guarded by mu
	leads   string              // guarded by mu
}

func (f *fleet) start(o *lattice.Options) {
	f.edges[o.Name] = latticetest.Spawn(f.t, o, func(line string) {
		what, of, _ := strings.Cut(line, " ")
		f.mu.Lock()
		defer f.mu.Unlock()
		switch what {
		case "kept":
			f.kept[of] = true
		case "handled":
			f.handled[of]++
		case "holds":
			f.holds[of] = append(f.holds[of], o.Name)
		case "leads":
			f.leads = of
		}
	})
}

// until waits until cond holds, which may read all that is guarded.
func (f *fleet) until(what string, cond func() bool) {
	f.t.Helper()
	latticetest.Await(f.t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return cond()
	}, func() string { return "waited in vain for " + what })
}

// keeps waits for more messages to be kept.
func (f *fleet) keeps(more int) {
	f.t.Helper()
	f.mu.Lock()
	want := len(f.kept) + more
	f.mu.Unlock()
	f.until(strconv.Itoa(more)+" more messages that are kept", func() bool { return len(f.kept) >= want })
}

// done reports whether all bodies were handled.
func (f *fleet) done(bodies []string) bool {
	return !slices.ContainsFunc(bodies, func(b string) bool { return f.handled[b] == 0 })
}

// TestKilled kills the edge that leads the messages, with some in hand, and then all at
// once, with others that wait: whatever was acknowledged is handled.
func TestKilled(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			options := latticetest.Cluster(t, "ams", n)
			f := &fleet{t: t, edges: map[string]*latticetest.Process{}, kept: map[string]bool{}, handled: map[string]int{}, holds: map[string][]string{}}
			for i := range options {
				f.start(&options[i])
			}
			f.keeps(200)
			if n > 1 {
				f.killHolder(options)
			}
			for _, p := range f.edges { // with messages in hand, and others that wait
				if err := p.Signal(syscall.SIGUSR1); err != nil {
					t.Fatal(err)
				}
			}
			f.until("messages that nobody handles", func() bool { return len(f.kept) > len(f.handled)+50*n })
			latticetest.Kill(slices.Collect(maps.Values(f.edges))...)
			for i := range options {
				f.start(&options[i])
			}
			old := slices.Collect(maps.Keys(f.kept))
			f.until("all that was kept", func() bool { return f.done(old) })
			f.keeps(100)
			twice := 0
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, n := range f.handled {
				if n > 1 {
					twice++
				}
			}
			t.Logf("%d messages were kept, and %d of them handled more than once", len(f.kept), twice)
		})
	}
}

// killHolder kills the edge that leads the messages, and has some in hand.
func (f *fleet) killHolder(options []lattice.Options) {
	f.t.Helper()
	var first string
	f.until("a leader", func() bool { first = f.leads; return f.edges[first] != nil })
	if err := f.edges[first].Signal(syscall.SIGUSR1); err != nil {
		f.t.Fatal(err)
	}
	var held []string
	f.until("messages in hand", func() bool { held = slices.Collect(maps.Keys(f.holds)); return len(held) > 4 })
	f.edges[first].Kill()
	f.until("another leader", func() bool { return f.leads != "" && f.leads != first })
	f.until("what it held, at other edges", func() bool { return f.done(held) })
	f.keeps(200)
	f.start(&options[slices.IndexFunc(options, func(o lattice.Options) bool { return o.Name == first })])
	f.keeps(200)
}
