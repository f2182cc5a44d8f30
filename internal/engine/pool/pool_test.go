package pool

import (
	"slices"
	"testing"
)

// TestEvictsTheLeastRecentlyUsed keeps what was put last, over all modules, and takes what
// of a module was put last.
func TestEvictsTheLeastRecentlyUsed(t *testing.T) {
	p := New[string](100)
	var alice, bob, carol Stack[string]
	put := func(s *Stack[string], name string, cost int64) []string {
		return p.Put(s, &Item[string]{Instance: name, Cost: cost})
	}
	for _, tt := range []struct {
		stack   *Stack[string]
		name    string
		cost    int64
		evicted []string
		held    int64
	}{
		{&alice, "a1", 40, nil, 40},
		{&bob, "b1", 30, nil, 70},
		{&alice, "a2", 30, nil, 100},
		{&carol, "c1", 10, []string{"a1"}, 70},
		{&bob, "b2", 40, []string{"b1"}, 80},
		{&carol, "c2", 95, []string{"a2", "c1", "b2"}, 95},
		{&alice, "a3", 101, []string{"c2", "a3"}, 0}, // more than all
		{&alice, "a4", 20, nil, 20},
		{&bob, "b3", 20, nil, 40},
		{&alice, "a5", 20, nil, 60},
	} {
		if got := put(tt.stack, tt.name, tt.cost); !slices.Equal(got, tt.evicted) || p.Size() != tt.held {
			t.Fatalf("put %s: %v evicted, %d bytes held; want %v, %d", tt.name, got, p.Size(), tt.evicted, tt.held)
		}
	}
	if got := p.Take(&alice); got != "a5" {
		t.Errorf("took %q, want the one put last", got)
	}
	if got := p.Take(&carol); got != "" {
		t.Errorf("took %q of a module that has none", got)
	}
	if got := p.Drain(&alice); !slices.Equal(got, []string{"a4"}) || p.Size() != 20 {
		t.Errorf("drained %v, %d bytes held", got, p.Size())
	}
	if got := put(&carol, "c3", 90); !slices.Equal(got, []string{"b3"}) {
		t.Errorf("%v evicted after a Take and a Drain", got)
	}
}
