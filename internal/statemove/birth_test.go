package statemove_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
	"github.com/terrane/terrane/internal/statemove"
	"github.com/terrane/terrane/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const moved = 20 // keys of a round

// run runs an edge's state and returns it as a place of moves.
func run(t *testing.T, node *latticetest.Node) (place statemove.Store, stop func()) {
	t.Helper()
	s, err := state.New(state.Options{Lattice: node.Lattice, Bucket: "terrane_state", Timeout: 30 * time.Second, Logger: latticetest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	return statemove.Store{
		Of: func(id tenant.ID, strict bool) hostcalls.KV {
			if strict {
				return s.KV(string(id), state.Strict)
			}
			return s.KV(string(id), state.Near)
		},
		All: func(ctx context.Context) (ids []tenant.ID, err error) {
			names, err := s.Tenants(ctx)
			for _, name := range names {
				ids = append(ids, tenant.ID(name))
			}
			return ids, err
		},
		Ready: s.Ready,
	}, latticetest.Run(t, s.Run)
}

// export is everything at an edge, sorted, with the versions. A machine that is busy may
// need several attempts.
func export(ctx context.Context, s statemove.Store, id tenant.ID) (text []byte, entries []string, err error) {
	for {
		if text, entries, err = exportOnce(ctx, s, id); err == nil || ctx.Err() != nil {
			return text, entries, err
		}
	}
}

func exportOnce(ctx context.Context, s statemove.Store, id tenant.ID) (text []byte, entries []string, err error) {
	var out bytes.Buffer
	err = s.Export(ctx, id, func(m *statemove.Line) error {
		line, err := json.Marshal(m)
		out.Write(append(line, '\n'))
		if m.Entries == nil {
			entries = append(entries, string(line))
		}
		return err
	})
	slices.Sort(entries)
	return out.Bytes(), entries, err
}

// TestCampaignMoveToCluster moves the state of an edge alone to a cluster that is being
// born, with the import at every moment of the birth.
func TestCampaignMoveToCluster(t *testing.T) {
	rounds, last, parallel := 2, time.Second, 2
	if os.Getenv("TERRANE_CAMPAIGN") == "full" {
		rounds, last, parallel = 200, 15*time.Second, 8
	}
	var differ, failed, done atomic.Int64
	t.Run("rounds", func(t *testing.T) {
		places := make(chan struct{}, parallel)
		for i := range rounds {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				places <- struct{}{}
				t.Cleanup(func() { <-places })
				err := moveRound(t, last*time.Duration(i)/time.Duration(max(1, rounds-1)), i%2 == 1)
				switch {
				case errors.Is(err, errDiffer):
					differ.Add(1)
				case err != nil:
					failed.Add(1)
				}
				if err != nil {
					t.Error(err)
				}
				done.Add(1)
			})
		}
	})
	fmt.Printf("campaign: state of an edge alone is moved to a cluster, with the import from 0 to %s after the start, idle and under load | %d | %d differences, %d rounds failed otherwise\n",
		last, done.Load(), differ.Load(), failed.Load())
}

var errDiffer = errors.New("state is not as it was, or not the same at all edges")

func moveRound(t *testing.T, delay time.Duration, load bool) error {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	dir := t.TempDir()
	alone := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1, Dirs: []string{dir}}).Node("ams1")
	place, stop := run(t, alone)
	for i := range moved {
		if _, err := place.Of("/git/alice", false).Put(ctx, fmt.Sprint("key", i), fmt.Append(nil, "value", i), 0, time.Time{}); err != nil {
			return err
		}
	}
	text, _, err := export(ctx, place, "")
	if err != nil {
		return err
	}
	stop()
	alone.Stop()
	if _, err := lattice.Reset(dir); err != nil {
		return err
	}

	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3, Dirs: []string{dir}})
	var places []statemove.Store
	for _, node := range net.Nodes() {
		place, _ := run(t, node)
		places = append(places, place)
	}
	writing, stopWriting := context.WithCancel(ctx)
	var writers errgroup.Group
	defer func() { stopWriting(); _ = writers.Wait() }()
	for i, place := range places {
		if !load {
			break
		}
		writers.Go(func() error {
			for n := 0; writing.Err() == nil; n++ {
				_, _ = place.Of("/git/bob", false).Put(writing, fmt.Sprint(i, "-", n), []byte("load"), 0, time.Time{}) // the birth refuses some
			}
			return nil
		})
	}
	wait := time.NewTimer(delay)
	defer wait.Stop()
	<-wait.C
	result, err := places[0].Import(ctx, bytes.NewReader(text), false, func() error { return nil })
	if err != nil {
		return fmt.Errorf("import after %s: %w", delay, err)
	}
	if n := result.Imported.Load(); n != moved || result.Kept.Load() != 0 {
		return fmt.Errorf("%w: import after %s: %s", errDiffer, delay, result)
	}
	stopWriting()
	_ = writers.Wait()
	for i, place := range places {
		if _, err := place.Of("/git/alice", false).Put(ctx, fmt.Sprint("after", i), []byte("after"), 0, time.Time{}); err != nil {
			return err
		}
	}
	for _, id := range []tenant.ID{"/git/alice", "/git/bob"} {
		_, first, err := export(ctx, places[0], id)
		if err != nil {
			return err
		}
		if id == "/git/alice" && len(first) != moved+len(places) {
			return fmt.Errorf("%w: after %s there are %d entries, want %d", errDiffer, delay, len(first), moved+len(places))
		}
		for _, place := range places[1:] {
			_, other, err := export(ctx, place, id)
			if err != nil {
				return err
			}
			if !slices.Equal(first, other) {
				return fmt.Errorf("%w: import after %s: %s: %d and %d entries", errDiffer, delay, id, len(first), len(other))
			}
		}
	}
	return nil
}

// TestImportAgain has an import that was cut off, or that meets other values, say what it
// has found.
func TestImportAgain(t *testing.T) {
	kv := memorykv.New(hostcalls.Quota{})
	s := statemove.Store{Of: func(tenant.ID, bool) hostcalls.KV { return kv }}
	alive := func() error { return nil }
	text := `{"tenant":"/git/alice","key":"a","value":"1"}` + "\n" + `{"tenant":"/git/alice","key":"b","value":"2"}` + "\n" + `{"entries":2}`
	imports := func(want string, replace bool) {
		t.Helper()
		n, err := s.Import(t.Context(), bytes.NewReader([]byte(text)), replace, alive)
		if err != nil || n.String() != want {
			t.Errorf("%v: %s, want %s", err, n, want)
		}
	}
	imports("2 entries imported, 0 were there already, 0 have expired", false)
	imports("0 entries imported, 2 were there already, 0 have expired", false)
	there, err := kv.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "a", []byte("other"), there.Version, time.Time{}); err != nil {
		t.Fatal(err)
	}
	imports("0 entries imported, 2 were there already, 0 have expired; 1 of those that were there have other values, which stay (--replace replaces them)", false)
	imports("2 entries imported, 0 were there already, 0 have expired", true)

	generation := 0
	s.Ready = func(context.Context) (string, error) { generation++; return strconv.Itoa(generation), nil }
	if _, err := s.Import(t.Context(), bytes.NewReader([]byte(text)), true, alive); err == nil {
		t.Error("a store that was made again during the import: no error")
	}
	s.Ready = nil
	s.Of = func(tenant.ID, bool) hostcalls.KV { return forgetful{kv} }
	if _, err := s.Import(t.Context(), bytes.NewReader([]byte(text)), true, alive); err == nil {
		t.Error("a store that does not keep what it confirms: no error")
	}
	s.Of = func(tenant.ID, bool) hostcalls.KV { return &doubtful{KV: memorykv.New(hostcalls.Quota{})} }
	doubt := s.Of("", false)
	s.Of = func(tenant.ID, bool) hostcalls.KV { return doubt }
	imports("2 entries imported, 0 were there already, 0 have expired", false)
}

// forgetful confirms writes and does nothing.
type forgetful struct{ hostcalls.KV }

func (f forgetful) Put(context.Context, string, []byte, uint64, time.Time) (uint64, error) {
	return 1 << 40, nil
}

// doubtful does every other write without confirming it.
type doubtful struct {
	hostcalls.KV
	n atomic.Int64
}

func (d *doubtful) Put(ctx context.Context, key string, value []byte, at uint64, expires time.Time) (uint64, error) {
	version, err := d.KV.Put(ctx, key, value, at, expires)
	if d.n.Add(1)%2 == 1 && err == nil {
		return 0, errors.New("the confirmation is lost")
	}
	return version, err
}
