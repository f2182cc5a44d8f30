package state_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// op is a read or a confirmed write of one key at one edge. Times are of one clock for
// all edges that ticks with each operation.
type op struct {
	edge       int
	key        string
	write      bool
	strict     bool
	start, end uint64
	took       time.Duration
	version    uint64 // 0: the key was absent
	value      string
}

// history is what many clients did at once.
type history struct {
	clock atomic.Uint64
	mu    sync.Mutex
	ops   []op
}

// run makes an operation and notes it, unless it failed.
func (h *history) run(o op, do func() (version uint64, value string, err error)) error {
	o.start = h.clock.Add(1)
	begun := time.Now()
	var err error
	o.version, o.value, err = do()
	o.end, o.took = h.clock.Add(1), time.Since(begun)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
	return nil
}

// newest finds the newest version that operations had that ended before another began.
type newest struct{ ends, versions []uint64 }

func newestOf(ops []op) (n newest) {
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, b op) int { return cmp.Compare(a.end, b.end) })
	last := uint64(0)
	for i := range ops {
		last = max(last, ops[i].version)
		n.ends, n.versions = append(n.ends, ops[i].end), append(n.versions, last)
	}
	return n
}

func (n newest) before(start uint64) uint64 {
	i := sort.Search(len(n.ends), func(i int) bool { return n.ends[i] >= start })
	if i == 0 {
		return 0
	}
	return n.versions[i-1]
}

// patience is how long a read looks for what is not older than anything seen at the edge.
const patience = time.Second

// check holds the history against docs/state.md. prefix are the edges whose reads are
// of all the state as it was at some time, no older than anything seen at that edge.
func (h *history) check(t *testing.T, prefix map[int]bool) {
	t.Helper()
	values := map[uint64]string{}
	written := map[string][]op{}
	versions := map[string][]uint64{}
	perEdge := map[int][]op{}
	for _, o := range h.ops {
		perEdge[o.edge] = append(perEdge[o.edge], o)
		if o.version == 0 {
			continue
		}
		if other, ok := values[o.version]; ok && other != o.key+"="+o.value {
			t.Errorf("version %d is both %s and %s=%s", o.version, other, o.key, o.value)
		}
		values[o.version] = o.key + "=" + o.value
		versions[o.key] = append(versions[o.key], o.version)
		if o.write {
			written[o.key] = append(written[o.key], o)
		}
	}
	confirmed := map[string]newest{}
	for key := range versions {
		slices.Sort(versions[key])
		confirmed[key] = newestOf(written[key])
	}
	for _, ops := range perEdge {
		seen := newestOf(ops)
		ofKey := map[string]newest{}
		for key := range versions {
			ofKey[key] = newestOf(slices.DeleteFunc(slices.Clone(ops), func(o op) bool { return o.key != key }))
		}
		for _, o := range ops {
			if o.write {
				continue
			}
			if at := ofKey[o.key].before(o.start); o.version < at {
				t.Errorf("edge %d went back from %d to %d of %s", o.edge, at, o.version, o.key)
			}
			if at := confirmed[o.key].before(o.start); o.strict && o.version < at {
				t.Errorf("a strict read at edge %d has %d of %s, and %d was confirmed", o.edge, o.version, o.key, at)
			}
			all, floor := versions[o.key], seen.before(o.start)
			i, _ := slices.BinarySearch(all, floor+1)
			if prefix[o.edge] && o.took < patience && i > 0 && o.version < all[i-1] {
				t.Errorf("edge %d had seen all up to %d, and reads %d of %s instead of %d, after %v", o.edge, floor, o.version, o.key, all[i-1], o.took)
			}
		}
	}
}

// client writes and reads keys that others write too, until ctx ends.
type client struct {
	h     *history
	edge  int
	id    string
	store *state.Store

	counted, maybeCounted int // increments that were confirmed, and that failed
	appended, maybe       []string
}

const historyTenant = "/git/history"

func (c *client) work(ctx context.Context, r *rand.Rand) {
	near, strict := c.store.KV(historyTenant, state.Near), c.store.KV(historyTenant, state.Strict)
	for n := 0; ctx.Err() == nil; n++ {
		key := "key" + strconv.Itoa(r.IntN(3))
		switch r.IntN(12) {
		case 0:
			_ = c.read(ctx, strict, key, true)
		case 1, 2:
			value := fmt.Sprint(c.id, "/", n)
			_ = c.change(ctx, near, key, func(string) string { return value })
		case 3:
			switch err := c.change(ctx, near, "counter", func(old string) string {
				n, _ := strconv.Atoi(old)
				return strconv.Itoa(n + 1)
			}); {
			case err == nil:
				c.counted++
			case !errors.Is(err, hostcalls.ErrConflict):
				c.maybeCounted++
			}
		case 4:
			token := fmt.Sprint(c.id, ".", n, " ")
			switch err := c.change(ctx, near, "log", func(old string) string { return old + token }); {
			case err == nil:
				c.appended = append(c.appended, token)
			case !errors.Is(err, hostcalls.ErrConflict):
				c.maybe = append(c.maybe, token)
			}
		default:
			_ = c.read(ctx, near, key, false)
		}
	}
}

func (c *client) read(ctx context.Context, kv hostcalls.KV, key string, strict bool) error {
	return c.h.run(op{edge: c.edge, key: key, strict: strict}, func() (uint64, string, error) {
		e, err := kv.Get(ctx, key)
		if errors.Is(err, hostcalls.ErrNotFound) {
			err = nil
		}
		return e.Version, string(e.Value), err
	})
}

// change is the loop of the ABI's writing functions. ErrConflict: nothing was done.
func (c *client) change(ctx context.Context, kv hostcalls.KV, key string, do func(string) string) error {
	for range 100 {
		e, err := kv.Get(ctx, key)
		if err != nil && !errors.Is(err, hostcalls.ErrNotFound) {
			return fmt.Errorf("%w: %w", hostcalls.ErrConflict, err)
		}
		value := do(string(e.Value))
		err = c.h.run(op{edge: c.edge, key: key, write: true}, func() (uint64, string, error) {
			version, err := kv.Put(ctx, key, []byte(value), e.Version, time.Time{})
			return version, value, err
		})
		if !errors.Is(err, hostcalls.ErrConflict) {
			return err
		}
	}
	return hostcalls.ErrConflict
}

// TestHistory has clients at four edges of two regions write, count, append and read at
// once; with TERRANE_LONG_TESTS while each edge of the home is cut off in turn.
func TestHistory(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3}, latticetest.Region{Name: "fra", Edges: 1})
	var h history
	var clients []*client
	for i, node := range net.Nodes() {
		s, _ := run(t, node, state.Options{Home: "ams"})
		up(t, s)
		for j := range 3 {
			clients = append(clients, &client{h: &h, edge: i, id: fmt.Sprint(node.Name(), j), store: s})
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() { c.work(ctx, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	amount := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.ops)
	}
	more := func(n int) {
		n += amount()
		latticetest.Await(t, func() bool { return amount() >= n }, nil)
	}
	more(1000)
	if os.Getenv("TERRANE_LONG_TESTS") != "" {
		for _, node := range net.Nodes()[:3] {
			net.Cut(true, node.Name())
			more(50)
			net.Cut(false, node.Name())
			more(500)
		}
	}
	stop()
	wg.Wait()
	t.Logf("%d operations", len(h.ops))
	prefix := map[int]bool{}
	if os.Getenv("TERRANE_LONG_TESTS") == "" { // a copy that catches up after a cut answers with gaps
		prefix = map[int]bool{0: true, 1: true, 2: true}
	}
	h.check(t, prefix)

	kv := clients[0].store.KV(historyTenant, state.Strict)
	var counter, log hostcalls.KVEntry
	latticetest.Await(t, func() bool { // an index that has lost its server takes some seconds
		var errs [2]error
		counter, errs[0] = kv.Get(t.Context(), "counter")
		log, errs[1] = kv.Get(t.Context(), "log")
		return errors.Join(errs[:]...) == nil
	}, nil)
	count, _ := strconv.Atoi(string(counter.Value))
	counted, maybe, tokens := 0, 0, 0
	for _, c := range clients {
		counted, maybe = counted+c.counted, maybe+c.maybeCounted
		at := 0
		for _, token := range c.appended {
			i := strings.Index(string(log.Value[at:]), token)
			if i < 0 || strings.Count(string(log.Value), token) != 1 {
				t.Errorf("%s appended %q once, which is there %d times, at %d, and from %d on at %d", c.id, token,
					strings.Count(string(log.Value), token), strings.Index(string(log.Value), token), at, i)
				for _, o := range h.ops {
					if o.key == "log" && strings.HasSuffix(o.value, token) {
						t.Logf("edge %d %v took %v: %d-%d version %d, of %d bytes", o.edge, o.write, o.took, o.start, o.end, o.version, len(o.value))
					}
				}
				continue
			}
			at += i
		}
		tokens += len(c.appended)
		for _, token := range c.maybe {
			tokens += strings.Count(string(log.Value), token)
		}
	}
	if count < counted || count > counted+maybe {
		t.Errorf("the counter is %d after %d increments and perhaps %d more", count, counted, maybe)
	}
	if got := strings.Count(string(log.Value), " "); got != tokens {
		t.Errorf("the log has %d tokens, want %d", got, tokens)
	}
}
