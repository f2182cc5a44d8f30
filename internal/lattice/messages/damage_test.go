package messages_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/tenant"
)

// keeper is an edge alone that records its messages.
type keeper struct {
	*messages.Messages
	stop func()

	mu   sync.Mutex
	done map[string]bool // bodies that were handled
}

func keep(t *testing.T, node *latticetest.Node) *keeper {
	t.Helper()
	k, ledger := &keeper{done: map[string]bool{}}, ""
	if !node.Clustered() {
		ledger = filepath.Join(node.Dir(), "integrity", "messages")
	}
	var err error
	k.Messages, err = messages.New(messages.Options{
		Lattice: node.Lattice, Logger: latticetest.Logger(t), Ledger: ledger,
		Run: func(_ context.Context, _ tenant.ID, task *messages.Task) (*messages.Answer, error) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.done[string(task.Body)] = true
			return &messages.Answer{Code: 200}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	k.stop = latticetest.Run(t, k.Run)
	return k
}

func (k *keeper) handled() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.done)
}

func (k *keeper) publish(t *testing.T, from, to int) {
	t.Helper()
	guest := k.Of(alice, orders)
	for i := from; i < to; i++ {
		if err := guest.Publish(t.Context(), &hostcalls.Message{Subject: "orders.new", Body: fmt.Appendf(nil, "body-%02d", i), Hops: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamagedCopy damages a message in the copy of one edge of a cluster. When it leads, it
// notices, and fetches its copy from the others: the message is handled.
func TestDamagedCopy(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3})
	edges := map[string]*keeper{}
	for _, node := range net.Nodes() {
		edges[node.Name()] = keep(t, node)
	}
	first := edges["ams1"]
	latticetest.Await(t, func() bool { _, err := first.Waiting(t.Context()); return err == nil }, nil)
	first.publish(t, 0, 10)
	victim := net.Node("ams2")
	latticetest.Await(t, func() bool { return len(holders(t, victim.Dir())) == 1 }, nil)
	edges["ams2"].stop()
	victim.Stop()
	path := holders(t, victim.Dir())[0]
	data, err := os.ReadFile(path)
	if err == nil {
		data[bytes.Index(data, []byte("body-07"))] ^= 1
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	victim.Start()
	second := keep(t, victim)
	conn, err := net.Node("ams1").Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	latticetest.Await(t, func() bool { // until it leads, and has stopped leading to be repaired
		_, _ = conn.Request("$JS.API.STREAM.LEADER.STEPDOWN.terrane_msg", []byte(`{"placement":{"preferred":"ams2"}}`), time.Second)
		return len(holders(t, victim.Dir())) == 1
	}, func() string { return "the copy is not repaired" })
	second.Set(alice, orders)
	latticetest.Await(t, func() bool { return second.handled() == 10 }, func() string { return fmt.Sprint(second.done) })
}

// holders are the files of an edge that have the message which is damaged, as it should be.
func holders(t *testing.T, dir string) (list []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", "terrane_msg", "msgs", "*.blk"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, []byte("body-07")) {
			list = append(list, path)
		}
	}
	return list
}

// TestLostMessages damages the messages of an edge alone while it is down: the edge says how
// many are lost, accepts no others until an operator has accepted that, and handles the rest.
func TestLostMessages(t *testing.T) {
	t.Parallel()
	block := func(change func(data []byte, at int) []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			paths, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", "terrane_msg", "msgs", "*.blk"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				data, err := os.ReadFile(path)
				if at := bytes.Index(data, []byte("body-07")); err == nil && at >= 0 {
					err = os.WriteFile(path, change(data, at), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	index := func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Remove(filepath.Join(dir, "jetstream", "$G", "streams", "terrane_msg", "msgs", "index.db")); err != nil {
			t.Fatal(err)
		}
	}
	flip := block(func(data []byte, at int) []byte { data[at] ^= 1; return data })
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		lost   int // of the messages 3 to 12, which wait
		reason string
	}{
		{"nothing", func(*testing.T, string) {}, 0, ""},
		{"one in the middle", flip, 1, "1 messages"},
		{"the last", block(func(data []byte, at int) []byte { return data[:at] }), 6, "6 messages"},
		{"the last, and the stream goes back", func(t *testing.T, dir string) { t.Helper(); flip(t, dir); index(t, dir) }, 6, "was given out"},
		{"all", func(t *testing.T, dir string) {
			t.Helper()
			if err := os.RemoveAll(filepath.Join(dir, "jetstream")); err != nil {
				t.Fatal(err)
			}
		}, 10, "the stream ends at the sequence 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			node := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}).Node("ams1")
			k := keep(t, node)
			latticetest.Await(t, func() bool { _, err := k.Waiting(t.Context()); return err == nil }, nil)
			k.Set(alice, orders)
			k.publish(t, 0, 3)
			latticetest.Await(t, func() bool { n, err := k.Waiting(t.Context()); return err == nil && n == 0 && k.handled() == 3 }, nil)
			k.Remove(alice)
			k.publish(t, 3, 13)
			latticetest.Await(t, func() bool { n, err := k.Waiting(t.Context()); return err == nil && n == 10 }, nil)
			k.stop()
			node.Stop()
			c.damage(t, node.Dir())
			node.Start()
			k = keep(t, node)
			if c.lost > 0 {
				damage := &messages.DamageError{}
				latticetest.Await(t, func() bool { return errors.As(k.Healthy(), &damage) }, func() string { return "the loss is not noticed" })
				if damage.Lost != c.lost || !strings.Contains(damage.Error(), c.reason) || !strings.Contains(damage.Error(), "terrane lattice repair") {
					t.Errorf("%d lost: %v; want %d, %q", damage.Lost, damage, c.lost, c.reason)
				}
				err := k.Of(alice, orders).Publish(t.Context(), &hostcalls.Message{Subject: "orders.new", Hops: 1})
				if !errors.Is(err, hostcalls.ErrUnavailable) || !errors.As(err, &damage) {
					t.Errorf("a message is accepted: %v", err)
				}
				if _, err := k.Repair(t.Context(), false); err == nil || !strings.Contains(err.Error(), "--accept-loss") {
					t.Errorf("a repair without more: %v", err)
				}
				if text, err := k.Repair(t.Context(), true); err != nil || !strings.Contains(text, fmt.Sprintf("without %d", c.lost)) {
					t.Errorf("%q, %v", text, err)
				}
			}
			k.Set(alice, orders)
			k.publish(t, 20, 23)
			waiting := func() bool {
				k.mu.Lock()
				defer k.mu.Unlock()
				for i := range 23 {
					expected := i >= 20 || i >= 3 && i < 13 && (c.lost == 0 || c.lost == 1 && i != 7 || c.lost == 6 && i < 7)
					if expected && !k.done[fmt.Sprintf("body-%02d", i)] {
						return false
					}
				}
				return true
			}
			latticetest.Await(t, waiting, func() string { return fmt.Sprintf("handled: %v", k.done) })
			if err := k.Healthy(); err != nil {
				t.Error(err)
			}
			k.stop() // and once more: what was handled and repaired is no loss
			node.Stop()
			node.Start()
			begun := time.Now()
			k = keep(t, node)
			latticetest.Await(t, func() bool { return time.Since(begun) > 3*time.Second }, nil)
			if err := k.Healthy(); err != nil {
				t.Errorf("after another start: %v", err)
			}
		})
	}
}
