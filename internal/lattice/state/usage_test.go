package state

import (
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
	if _, _, err := u.reserve("key", 10, 6, hostcalls.Quota{Bytes: 1000, Keys: 1}, now+1); err != hostcalls.ErrConflict { //nolint:errorlint // unwrapped
		t.Errorf("a put over an expired version: %v", err)
	}
	expect, release, err := u.reserve("other", 10, 0, hostcalls.Quota{Bytes: 1000, Keys: 1}, now+1)
	if err != nil || expect != 0 {
		t.Fatalf("what has expired counts: %d, %v", expect, err)
	}
	release()
	if u.pendingBytes != 0 || u.pendingKeys != 0 {
		t.Errorf("%d bytes and %d keys are still on their way", u.pendingBytes, u.pendingKeys)
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
