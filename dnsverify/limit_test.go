package dnsverify

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/terrane/terrane/dnsverify/dnstest"
	"github.com/terrane/terrane/tenant"
)

func TestDomain(t *testing.T) {
	for h, want := range map[tenant.Host]string{
		"www.example.com": "example.com", "a.b.example.co.uk": "example.co.uk", "a.alice.github.io": "alice.github.io",
		"co.uk": "co.uk", "github.io": "github.io", "alice.localhost": "alice.localhost",
	} {
		if got := domain(h); got != want {
			t.Errorf("%s is registered under %s, want %s", h, got, want)
		}
	}
}

func TestBuckets(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBuckets[string](Rate{time.Second, 3})
	for _, tt := range []struct {
		key   string
		after time.Duration
		ok    bool
		wait  time.Duration
	}{
		{"a", 0, true, 0},
		{"a", 0, true, 0},
		{"a", 0, true, 0},
		{"a", 0, false, time.Second},
		{"b", 0, true, 0},
		{"a", 400 * time.Millisecond, false, 600 * time.Millisecond},
		{"a", time.Second, true, 0},
		{"a", time.Second, false, time.Second},
		{"a", 100 * time.Second, true, 0},
	} {
		wait, ok := b.take(tt.key, now.Add(tt.after))
		if ok != tt.ok || wait != tt.wait {
			t.Errorf("%s after %s: %v, wait %s; want %v, %s", tt.key, tt.after, ok, wait, tt.ok, tt.wait)
		}
	}
}

func TestBucketsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBuckets[int](Rate{time.Minute, 1})
	for i := range 2 * maxBuckets {
		if _, ok := b.take(i, now); !ok {
			t.Fatalf("new key %d refused", i)
		}
	}
	if len(b.empty) != maxBuckets {
		t.Fatalf("%d buckets", len(b.empty))
	}
	now = now.Add(time.Hour)
	for i := range 100 {
		b.take(-i, now)
	}
	if len(b.empty) > maxBuckets {
		t.Errorf("%d buckets", len(b.empty))
	}
	if _, ok := b.take(-1, now); ok {
		t.Error("a debt was forgotten, though others had none")
	}
}

// Whoever floods uses up its own share: first its address's, then that of the
// domain it abuses.
func TestFairness(t *testing.T) {
	live(t, func(o *Options) {
		o.PerSource, o.PerDomain, o.Overall = Rate{time.Second, 10}, Rate{time.Second, 20}, Rate{time.Second, 100}
	}, func(t *testing.T, _ *dnstest.Server, v *Verifier) {
		ask := func(h, source string) tenant.Verdict {
			return v.VerifyFrom(t.Context(), tenant.Host(h), netip.MustParseAddr(source))
		}
		flood := func(n int, name func(int) string, source func(int) string) (refused int) {
			for i := range n {
				if strings.Contains(ask(name(i), source(i)).Reason, "not looked up now") {
					refused++
				}
			}
			return refused
		}
		one := func(s string) func(int) string { return func(int) string { return s } }
		many := func(format string) func(int) string {
			return func(i int) string { return fmt.Sprintf(format, i) }
		}
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
		if n := flood(100, many("r%d.evil.example"), one("198.51.100.1")); n != 90 {
			t.Errorf("one source: %d of 100 refused, want 90", n)
		}
		check(t, ask("x.other.example", "198.51.100.1"), tenant.Unknown, "", "your address", "try again in 1s")
		if n := flood(100, many("s%d.evil.example"), many("203.0.113.%d")); n != 90 {
			t.Errorf("one domain, many sources: %d of 100 refused, want 90", n)
		}
		check(t, ask("www.evil.example", "192.0.2.77"), tenant.Unknown, "", "under evil.example")
		if n := flood(20, many("t%d.example"), many("2001:db8:0:0:%x::1")); n != 10 {
			t.Errorf("one /64: %d of 20 refused, want 10", n)
		}
		// Through all that, a verified host and a new one by others are served.
		check(t, ask("www.example.com", "198.51.100.1"), tenant.Verified, alice)
		check(t, ask("new.example.net", "192.0.2.78"), tenant.Denied, "")
		// Many of both meet the bound over all, which recovers.
		if n := flood(200, many("u%d.example"), many("198.18.0.%d")); n == 0 {
			t.Error("no bound over all")
		}
		check(t, ask("late.example.net", "192.0.2.79"), tenant.Unknown, "", "too many unknown names are asked for")
		pass(2 * time.Second)
		check(t, ask("late.example.net", "192.0.2.79"), tenant.Denied, "")
		// What was refused is not remembered: the next one who may ask gets an answer.
		check(t, ask("x.other.example", "198.51.100.1"), tenant.Denied, "")
	})
}

// A host that was verified is looked up whatever the buckets say.
func TestVerifiedBeforeIsExempt(t *testing.T) {
	live(t, func(o *Options) { o.PerDomain = Rate{time.Hour, 1} }, func(t *testing.T, _ *dnstest.Server, v *Verifier) {
		for range 3 {
			check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
			check(t, v.Verify(t.Context(), "other.example.com"), tenant.Unknown, "", "not looked up")
			pass(time.Minute)
		}
	})
}

// 20,000 random names cost the resolver what one domain's bucket holds, and the
// verified host's requests nothing.
func TestFloodCost(t *testing.T) {
	s := dnstest.Start(t)
	setAlice(t, s)
	v := newVerifier(t, func(o *Options) { o.HedgeAfter = time.Second }, s.Addr())
	check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
	before, start := s.Queries(), time.Now()
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 2500 {
				v.Verify(t.Context(), tenant.Host(fmt.Sprintf("r%d-%d.example.org", worker, i)))
			}
		})
	}
	wg.Wait()
	spent := time.Since(start)
	limit := 4 * (100 + int(spent/(100*time.Millisecond)) + 1)
	if n := s.Queries() - before; n > limit {
		t.Errorf("%d queries in %s, at most %d wanted", n, spent, limit)
	}
}

func TestUnknownNamesWaitForASlot(t *testing.T) {
	s := dnstest.Start(t)
	v := newVerifier(t, func(o *Options) { o.MaxLookups, o.Timeout = 1, time.Minute }, s.Addr())
	s.Fail(dnstest.Hold)
	var wg sync.WaitGroup
	wg.Go(func() { check(t, v.Verify(t.Context(), "first.example.com"), tenant.Denied, "") })
	if err := s.AwaitQueries(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		// In a bubble nothing but time can end the wait.
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		check(t, v.VerifyFrom(ctx, "second.example.com", netip.Addr{}), tenant.Unknown, "", "try again")
	})
	s.Release()
	wg.Wait()
}
