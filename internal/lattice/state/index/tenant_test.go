package index

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
)

func TestOldChanges(t *testing.T) {
	u := newTenant()
	u.Apply(Item{Key: "key", Seq: 5}, true, 1)
	u.Apply(Item{Key: "key", Seq: 4, Size: 10}, false, 1) // overtaken
	if keys := u.List("", "", 10, 1); len(keys) != 0 {
		t.Errorf("a deleted key is back: %q", keys)
	}
	u.sweep(1 + int64(TombstoneTTL))
	if u.bytes != 0 || len(u.dead) != 0 || u.deadlines.Len() != 0 {
		t.Errorf("%d bytes, %v", u.bytes, u.dead)
	}
	now := int64(time.Second)
	u.Apply(Item{Key: "key", Seq: 6, Expires: now + 1, Size: 10}, false, now)
	if _, _, err := u.Reserve(t.Context(), "key", 10, 6, hostcalls.Quota{Bytes: 1000, Keys: 1}, now+1); err != hostcalls.ErrConflict { //nolint:errorlint // unwrapped
		t.Errorf("a put over an expired version: %v", err)
	}
	expect, release, err := u.Reserve(t.Context(), "other", 10, 0, hostcalls.Quota{Bytes: 1000, Keys: 1}, now+1)
	if err != nil || expect != 0 {
		t.Fatalf("what has expired counts: %d, %v", expect, err)
	}
	release()
	if u.pendingBytes != 0 || u.pendingKeys != 0 {
		t.Errorf("%d bytes and %d keys are still on their way", u.pendingBytes, u.pendingKeys)
	}
}

// TestRoomThatIsCounted has a write that is counted and has not ended: it takes no room
// twice, and room that it may give back is waited for.
func TestRoomThatIsCounted(t *testing.T) {
	u, q := newTenant(), hostcalls.Quota{Bytes: 1000, Keys: 2}
	_, first, err := u.Reserve(t.Context(), "first", 10, 0, q, 1)
	if err != nil {
		t.Fatal(err)
	}
	u.Apply(Item{Key: "first", Seq: 1, Size: 10}, false, 1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := u.Reserve(ended, "second", 10, 0, q, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("the second of two keys, while the first is under way: %v", err)
	}
	first()
	_, second, err := u.Reserve(t.Context(), "second", 10, 0, q, 1)
	if err != nil {
		t.Fatal(err)
	}
	second()
	u.Apply(Item{Key: "second", Seq: 2, Size: 10}, false, 1)
	if _, _, err := u.Reserve(t.Context(), "third", 10, 0, q, 1); !errors.Is(err, hostcalls.ErrFull) {
		t.Errorf("the third of two keys: %v", err)
	}
}

// BenchmarkMillionKeys is what the index of a tenant's keys costs.
func BenchmarkMillionKeys(b *testing.B) {
	const keys = 1_000_000
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		u := newTenant()
		for i := range uint64(keys) {
			u.Apply(Item{Key: fmt.Sprintf("session/%08x", i*2654435761%keys), Seq: i + 1, Size: 100}, false, 1)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(u)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/keys, "B/key")
}

// TestGaps: an index that lacks a write, because it was replaced before it was delivered, is not
// complete until it has what replaced it.
func TestGaps(t *testing.T) {
	x := New()
	x.SetLoaded()
	is := func(at, whole uint64) {
		t.Helper()
		passed, _ := x.Covers(at)
		_, is := x.Covers(whole)
		if _, more := x.Covers(whole + 1); !passed || !is || more {
			t.Errorf("the index is at %d and complete up to %d, want %d and %d", x.last, x.complete, at, whole)
		}
	}
	x.Advance(5)
	is(5, 0)
	x.CloseGaps(x.Gaps(), 7) // begun when all that is missing had been replaced
	x.Advance(6)
	is(6, 0)
	x.Advance(7)
	is(7, 7)
	x.Advance(8)
	is(8, 8)
	early := x.Gaps()
	x.Advance(10) // 9 is missing, and may be 12 now
	is(10, 8)
	x.CloseGaps(early, 11)
	x.Advance(11)
	is(11, 8)
	x.CloseGaps(x.Gaps(), 13)
	x.Advance(12)
	is(12, 8)
	x.Advance(14) // 13 is missing: what replaced it may have come behind it
	is(14, 8)
	x.CloseGaps(x.Gaps(), 14)
	is(14, 14)
}
