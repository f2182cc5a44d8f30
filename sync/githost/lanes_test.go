package githost

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestLanes: a key that has all its places keeps no other key from theirs.
func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(5, time.Second)
		alice, bob, home := key{"alice", 3}, key{"bob", 3}, key{"home", 4}
		var leave []func()
		for range 3 {
			f, err := l.enter(t.Context(), alice, home)
			if err != nil {
				t.Fatal(err)
			}
			leave = append(leave, f)
		}
		if _, err := l.enter(t.Context(), alice); !errors.Is(err, errBusy) {
			t.Errorf("alice's fourth: %v", err)
		}
		f, err := l.enter(t.Context(), bob, home)
		if err != nil {
			t.Fatalf("bob's first: %v", err)
		}
		if _, err := l.enter(t.Context(), bob, home); !errors.Is(err, errBusy) {
			t.Errorf("the fifth of their network: %v", err)
		}
		if _, err := l.enter(t.Context(), bob); err != nil {
			t.Errorf("bob's second, from elsewhere: %v", err)
		}
		if _, err := l.enter(t.Context(), key{"carol", 1}); !errors.Is(err, errBusy) {
			t.Errorf("the sixth of all: %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.enter(gone, alice); !errors.Is(err, context.Canceled) {
			t.Errorf("one who has left: %v", err)
		}
		go func() { f(); f() }() // twice is once
		again, err := l.enter(t.Context(), bob, home)
		if err != nil {
			t.Fatalf("bob's, once another has ended: %v", err)
		}
		again()
		for _, f := range leave {
			f()
		}
		if len(l.of) != 1 || len(l.all) != 1 { // bob's second
			t.Errorf("%d keys and %d places are in use", len(l.of), len(l.all))
		}
	})
}

// TestPackEnd: the end of a pack is found however it is cut, and nowhere before.
func TestPackEnd(t *testing.T) {
	data := make([]byte, 100_000)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(data)
	pack := append(bytes.Clone(data), sum[:]...)
	for _, size := range []int{1, 19, 20, 21, 4096, 1 << 20} {
		end := &packEnd{}
		for rest := pack; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			part := rest[:min(size, len(rest))]
			if got, want := end.reached(part), len(part) == len(rest); got != want {
				t.Fatalf("in parts of %d, with %d bytes left: %v", size, len(rest)-len(part), got)
			}
		}
	}
}

// TestBudget: what one has on disk leaves room for others.
func TestBudget(t *testing.T) {
	b := &budget{most: 10, each: 6, of: map[string]int64{}}
	for _, tt := range []struct {
		key  string
		n    int64
		want bool
	}{{"alice", 5, true}, {"alice", 2, false}, {"alice", 1, true}, {"bob", 5, false}, {"bob", 4, true}, {"carol", 1, false}} {
		if got := b.take(tt.key, tt.n); got != tt.want {
			t.Errorf("%d for %s: %v", tt.n, tt.key, got)
		}
	}
	b.give("alice", 6)
	if !b.take("carol", 6) || len(b.of) != 2 {
		t.Errorf("after alice has ended: %v", b.of)
	}
}
