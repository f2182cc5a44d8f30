package state

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/terrane/terrane/hostcalls"
)

func TestUsageOfOldNews(t *testing.T) {
	u := newUsage()
	u.note("key", &raw{seq: 5, dead: true}, 0, 1)
	u.note("key", &raw{seq: 4}, 10, 1) // overtaken
	if keys := u.list("", "", 10, 1); len(keys) != 0 {
		t.Errorf("a deleted key is back: %q", keys)
	}
	u.sweep(1 + int64(tombstoneTTL))
	if u.bytes != 0 || len(u.dead) != 0 || u.due.Len() != 0 {
		t.Errorf("%d bytes, %v", u.bytes, u.dead)
	}
	now := int64(time.Second)
	u.note("key", &raw{seq: 6, expires: now + 1}, 10, now)
	if _, _, err := u.reserve(t.Context(), "key", 10, 6, hostcalls.Quota{Bytes: 1000, Keys: 1}, now+1); err != hostcalls.ErrConflict { //nolint:errorlint // unwrapped
		t.Errorf("a put over an expired version: %v", err)
	}
	expect, release, err := u.reserve(t.Context(), "other", 10, 0, hostcalls.Quota{Bytes: 1000, Keys: 1}, now+1)
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
	u, q := newUsage(), hostcalls.Quota{Bytes: 1000, Keys: 2}
	_, first, err := u.reserve(t.Context(), "first", 10, 0, q, 1)
	if err != nil {
		t.Fatal(err)
	}
	u.note("first", &raw{seq: 1}, 10, 1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := u.reserve(ended, "second", 10, 0, q, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("the second of two keys, while the first is under way: %v", err)
	}
	first()
	_, second, err := u.reserve(t.Context(), "second", 10, 0, q, 1)
	if err != nil {
		t.Fatal(err)
	}
	second()
	u.note("second", &raw{seq: 2}, 10, 1)
	if _, _, err := u.reserve(t.Context(), "third", 10, 0, q, 1); !errors.Is(err, hostcalls.ErrFull) {
		t.Errorf("the third of two keys: %v", err)
	}
}

func FuzzSubjects(f *testing.F) {
	f.Add("/git/alice", "a.b*>\x00")
	f.Add("", "")
	s := &Store{opts: Options{Bucket: "terrane_state"}}
	f.Fuzz(func(t *testing.T, id, key string) {
		k := &kv{store: s, token: tenantToken(id)}
		subject := k.subject(key)
		if strings.ContainsAny(subject, " *>\r\n\t") || !utf8.ValidString(subject) || strings.Count(subject, ".") != 3 {
			t.Errorf("%q", subject)
		}
		token, got, ok := s.parseSubject(subject)
		if !ok || token != k.token || got != key {
			t.Errorf("%q is %q %q, %v", subject, token, got, ok)
		}
		_, _, _ = s.parseSubject(id + key)
	})
}

// BenchmarkMillionKeys is what the index of a tenant's keys costs.
func BenchmarkMillionKeys(b *testing.B) {
	const keys = 1_000_000
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		u := newUsage()
		for i := range uint64(keys) {
			u.note(fmt.Sprintf("session/%08x", i*2654435761%keys), &raw{seq: i + 1}, 100, 1)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(u)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/keys, "B/key")
}

// TestGaps: an index that a write has not come to, as it was replaced before, does not
// call itself whole until it has what replaced it.
func TestGaps(t *testing.T) {
	x := newIndex()
	close(x.complete)
	is := func(at, whole uint64) {
		t.Helper()
		passed, _ := x.covers(at)
		_, is := x.covers(whole)
		if _, more := x.covers(whole + 1); !passed || !is || more {
			t.Errorf("the index is at %d and whole up to %d, want %d and %d", x.at, x.whole, at, whole)
		}
	}
	x.advance(5)
	is(5, 0)
	x.vouch(x.gapsNow(), 7) // begun when all that is missing had been replaced
	x.advance(6)
	is(6, 0)
	x.advance(7)
	is(7, 7)
	x.advance(8)
	is(8, 8)
	early := x.gapsNow()
	x.advance(10) // 9 is missing, and may be 12 now
	is(10, 8)
	x.vouch(early, 11)
	x.advance(11)
	is(11, 8)
	x.vouch(x.gapsNow(), 13)
	x.advance(12)
	is(12, 8)
	x.advance(14) // 13 is missing: what replaced it may have come behind it
	is(14, 8)
	x.vouch(x.gapsNow(), 14)
	is(14, 14)
}
