package state_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/ask"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// kept is a tenant's state, and the versions that were given out.
type kept struct {
	s    *state.Store
	last uint64
}

func (k *kept) put(t *testing.T, tenant, key string) {
	t.Helper()
	v, err := k.s.KV(tenant, state.Near).Put(t.Context(), key, []byte(tenant+key), 0, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if v <= k.last {
		t.Errorf("the version %d of %s was given out before: %d", v, key, k.last)
	}
	k.last = v
}

// blocks are the files of messages of a server's stream.
func blocks(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", "KV_terrane_state", "msgs", "*.blk"))
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	return list
}

// inFile changes what is around a text in one of the files.
func inFile(t *testing.T, files []string, text string, change func(path string, data []byte, at int) []byte) {
	t.Helper()
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.LastIndex(string(data), text); at >= 0 {
			if err := os.WriteFile(path, change(path, data, at), 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no file has %q", text)
}

func flip(_ string, data []byte, at int) []byte {
	data[at] ^= 1
	return data
}

func cut(_ string, data []byte, at int) []byte { return data[:at] }

// TestLostMessages damages the state of an edge alone while it is down. What is lost is
// neither written over nor taken for absent, until an operator accepts that; then no
// version comes again.
func TestLostMessages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		lost   int // of 20
		reason string
	}{
		{"one in the middle", func(t *testing.T, dir string) { inFile(t, blocks(t, dir), "/git/alicekey5", flip) }, 1, "1 entries"},
		{"the last", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(filepath.Dir(blocks(t, dir)[0]), "index.db")); err != nil {
				t.Fatal(err)
			}
			inFile(t, blocks(t, dir), "/git/alicekey7", cut)
		}, 3, "versions would be given twice"},
		{"all", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "jetstream")); err != nil {
				t.Fatal(err)
			}
		}, 20, "is not there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			node := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1, Dirs: []string{dir}}).Node("ams1")
			o := state.Options{Ledger: filepath.Join(dir, "integrity", "state")}
			s, stop := run(t, node, o)
			up(t, s)
			k := kept{s: s}
			for _, id := range []string{"/git/bob", "/git/alice"} {
				for i := range 10 {
					k.put(t, id, "key"+strconv.Itoa(i))
				}
			}
			stop()
			node.Stop()
			c.damage(t, dir)
			node.Start()
			s, _ = run(t, node, o)
			k.s = s
			damage := &state.DamageError{}
			latticetest.Await(t, func() bool { return errors.As(s.Check(), &damage) }, func() string { return "nobody notices" })
			for _, want := range []string{c.reason, "terrane lattice repair"} {
				if !strings.Contains(damage.Error(), want) {
					t.Errorf("%v: want %q", damage, want)
				}
			}
			if c.lost < 20 {
				latticetest.Await(t, func() bool { return s.Status().Lost == c.lost }, func() string { return fmt.Sprint(s.Status()) })
			}
			if st := s.Status(); st.Complete || st.Damage == "" {
				t.Errorf("status: %+v", st)
			}
			alice, bob := s.KV("/git/alice", state.Near), s.KV("/git/bob", state.Near)
			refused := func(what string, err error) {
				t.Helper()
				if !errors.As(err, &damage) && !strings.Contains(fmt.Sprint(err), "not read yet") {
					t.Errorf("%s: %v", what, err)
				}
			}
			_, err := alice.Put(shortly(t), "new", nil, 0, time.Time{})
			refused("a write", err)
			_, err = alice.List(shortly(t), "", "", 100)
			refused("a list", err)
			readable := 0
			for i := range 10 {
				for id, kv := range map[string]hostcalls.KV{"/git/alice": alice, "/git/bob": bob} {
					key := "key" + strconv.Itoa(i)
					e, err := kv.Get(t.Context(), key)
					if err != nil {
						refused("reading "+key, err)
					} else if readable++; string(e.Value) != id+key {
						t.Errorf("%s of %s is %q", key, id, e.Value)
					}
				}
			}
			if readable != 20-c.lost {
				t.Errorf("%d entries can be read, want %d", readable, 20-c.lost)
			}
			if _, err := s.Repair(t.Context(), false); err == nil || !strings.Contains(err.Error(), "--accept-loss") {
				t.Errorf("a repair without more: %v", err)
			}
			text, err := s.Repair(t.Context(), true)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(text)
			if err := s.Healthy(); err != nil {
				t.Error(err)
			}
			k.put(t, "/git/alice", "new")
			for i := range 10 { // what was lost can be stored again, and read
				key := "key" + strconv.Itoa(i)
				if _, err := alice.Get(t.Context(), key); errors.Is(err, hostcalls.ErrNotFound) {
					k.put(t, "/git/alice", key)
				}
				if e, err := s.KV("/git/alice", state.Strict).Get(t.Context(), key); err != nil || string(e.Value) != "/git/alice"+key {
					t.Errorf("%s again: %q, %v", key, e.Value, err)
				}
			}
			if keys, err := alice.List(t.Context(), "", "", 100); err != nil || len(keys) != 11 {
				t.Errorf("after the repair: %q, %v", keys, err)
			}
		})
	}
}

// TestDamagedCopy damages the copy of one edge of a cluster, which is noticed there, and
// made again from the others'.
func TestDamagedCopy(t *testing.T) {
	t.Parallel()
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3, Dirs: dirs})
	options := func(i int) state.Options {
		return state.Options{Ledger: filepath.Join(dirs[i], "integrity", "state")}
	}
	var stores []*state.Store
	var stops []func()
	for i, node := range net.Nodes() {
		s, stop := run(t, node, options(i))
		stores, stops = append(stores, s), append(stops, stop)
	}
	up(t, stores[0])
	k := kept{s: stores[0]}
	for i := range 30 {
		k.put(t, "/git/alice", "key"+strconv.Itoa(i))
	}
	victim := net.Node("ams2")
	current(t, victim)
	latticetest.Await(t, func() bool { return stores[1].Status().Keys == 30 }, nil)
	stops[1]()
	victim.Stop()
	inFile(t, blocks(t, dirs[1]), "/git/alicekey5", flip)
	victim.Start()
	s, _ := run(t, victim, options(1))
	noticed := false
	latticetest.Await(t, func() bool {
		noticed = noticed || s.Healthy() != nil
		return noticed && s.Healthy() == nil && !s.Status().Compared.IsZero()
	}, func() string { return fmt.Sprintf("noticed: %v, %v, %+v", noticed, s.Healthy(), s.Status()) })
	for i := range 30 {
		key := "key" + strconv.Itoa(i)
		for range 5 { // any copy may answer
			if e, err := s.KV("/git/alice", state.Near).Get(t.Context(), key); err != nil || string(e.Value) != "/git/alice"+key {
				t.Errorf("%s: %q, %v", key, e.Value, err)
			}
		}
	}
	net.Node("ams1").Stop() // so that the copy is needed
	latticetest.Await(t, func() bool {
		_, err := s.KV("/git/alice", state.Strict).Get(t.Context(), "key5")
		return err == nil
	}, nil)
}

// answers is what one store answers another.
type answers struct {
	edge string
	of   *state.Store
}

// All implements state.Asker.
func (a answers) All(ctx context.Context, _ string, question []byte, _ int) iter.Seq2[ask.Answer, error] {
	return func(yield func(ask.Answer, error) bool) {
		value, err := a.of.Answer(ctx, question)
		data, failed := json.Marshal(value)
		yield(ask.Answer{Edge: a.edge, Data: data}, errors.Join(err, failed))
	}
}

// TestDifference: an edge says that another has state that it lacks, and which goes away
// when it has it too.
func TestDifference(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	there, _ := run(t, net.Node("fra1"), state.Options{})
	here, _ := run(t, net.Node("ams1"), state.Options{Asker: answers{"fra1", there}, Compare: time.Second})
	up(t, there)
	up(t, here)
	a, b := kept{s: here}, kept{s: there}
	for i := range 20 {
		a.put(t, "/git/alice", strconv.Itoa(i)) // so that it is further than the other
		if i < 10 {
			a.put(t, "/git/bob", strconv.Itoa(i))
			b.put(t, "/git/carol", strconv.Itoa(i))
		}
	}
	latticetest.Await(t, func() bool { return strings.Contains(here.Difference(), "fra1 has ") && here.Status().Differs != "" }, nil)
	for i := range 10 {
		if err := there.KV("/git/carol", state.Near).Delete(t.Context(), strconv.Itoa(i), version(t, there, "/git/carol", strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	latticetest.Await(t, func() bool { return here.Difference() == "" }, func() string { return here.Difference() })
}

func version(t *testing.T, s *state.Store, id, key string) uint64 {
	t.Helper()
	e, err := s.KV(id, state.Near).Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return e.Version
}
