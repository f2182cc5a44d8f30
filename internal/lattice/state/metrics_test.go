package state_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	reg := prometheus.NewPedanticRegistry()
	s, _ := run(t, net.Node("ams1"), state.Options{Metrics: reg, Quota: hostcalls.Quota{Keys: 2}})
	up(t, s)
	before := gathered(t, reg)
	kv := s.KV("/git/alice", state.Near)
	put(t, kv, "a", "1") // of which the first read finds nothing
	put(t, kv, "b", "22")
	if _, err := kv.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "c", nil, 0, time.Time{}); !errors.Is(err, hostcalls.ErrFull) {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "a", nil, 1<<40, time.Time{}); !errors.Is(err, hostcalls.ErrConflict) {
		t.Fatal(err)
	}
	if _, err := s.KV("/git/alice", state.Strict).Get(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	after := gathered(t, reg)
	for name, want := range map[string]float64{
		"terrane_state_operations_total get done":     2,
		"terrane_state_operations_total get absent":   2,
		"terrane_state_operations_total put done":     2,
		"terrane_state_operations_total put full":     1,
		"terrane_state_operations_total put conflict": 1,
		"terrane_state_operations_total put failed":   0,
		"terrane_state_tenants":                       1,
		"terrane_state_keys_count":                    2,
		"terrane_state_kept_bytes":                    2*(hostcalls.KVEntryCost+1) + 3,
		"terrane_state_stale_reads_total":             0,
	} {
		if got := after[name] - before[name]; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if after["terrane_state_proofs_total done"] == before["terrane_state_proofs_total done"] || after["terrane_state_memory_reads_total"] == 0 {
		t.Error("neither a proof nor a read from memory is counted")
	}
	if st := s.Status(); !st.Complete || st.Keys != 2 || st.Tenants != 1 {
		t.Errorf("status: %+v", st)
	}
}

// gathered are the counters and gauges, by name and values of labels.
func gathered(t *testing.T, reg prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := []string{f.GetName()}
			for _, l := range m.GetLabel() {
				name = append(name, l.GetValue())
			}
			all[strings.Join(name, " ")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}
