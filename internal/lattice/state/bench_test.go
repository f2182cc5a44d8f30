package state_test

import (
	"errors"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// BenchmarkState has the edge that keeps the state alone, without and with its own record
// of what was acknowledged, one of three that do, and one
// in another region.
func BenchmarkState(b *testing.B) {
	for _, c := range []struct {
		name    string
		regions []latticetest.Region
		at      string
		home    string
	}{
		{"alone", []latticetest.Region{{Name: "ams", Edges: 1}}, "ams1", ""},
		{"recorded", []latticetest.Region{{Name: "ams", Edges: 1}}, "ams1", ""},
		{"cluster", []latticetest.Region{{Name: "ams", Edges: 3}}, "ams2", ""},
		{"region", []latticetest.Region{{Name: "ams", Edges: 1}, {Name: "fra", Edges: 1}}, "fra1", "ams"},
	} {
		b.Run(c.name, func(b *testing.B) {
			net := latticetest.Start(b, c.regions...)
			if c.home != "" {
				s, _ := run(b, net.Node("ams1"), state.Options{})
				up(b, s)
			}
			o := state.Options{Home: c.home}
			if c.name == "recorded" {
				o.Ledger = filepath.Join(b.TempDir(), "ledger")
			}
			s, _ := run(b, net.Node(c.at), o)
			up(b, s)
			benchmarkKV(b, s)
		})
	}
}

func benchmarkKV(b *testing.B, s *state.Store) {
	kv := s.KV("/git/alice", state.Near)
	value := make([]byte, 128)
	var last atomic.Uint64
	b.Run("put", func(b *testing.B) {
		at := uint64(0)
		if e, err := kv.Get(b.Context(), "key"); err == nil {
			at = e.Version
		}
		for b.Loop() {
			var err error
			if at, err = kv.Put(b.Context(), "key", value, at, time.Time{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("put, 32 at once", func(b *testing.B) {
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_, err := kv.Put(b.Context(), strconv.FormatUint(last.Add(1), 10), value, 0, time.Time{})
				if err != nil && !errors.Is(err, hostcalls.ErrFull) {
					b.Error(err)
				}
			}
		})
	})
	for _, reads := range []state.Reads{state.Near, state.Strict} {
		kv := s.KV("/git/alice", reads)
		b.Run(map[state.Reads]string{state.Near: "get", state.Strict: "get, strict"}[reads], func(b *testing.B) {
			for b.Loop() {
				if _, err := kv.Get(b.Context(), "key"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("list of 100", func(b *testing.B) {
		for b.Loop() {
			if _, err := kv.List(b.Context(), "1", "", 100); err != nil {
				b.Fatal(err)
			}
		}
	})
}
