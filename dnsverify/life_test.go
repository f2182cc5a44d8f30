package dnsverify

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/terrane/terrane/dnsverify/dnstest"
	"github.com/terrane/terrane/tenant"
)

// live runs f in a bubble whose clock stands still while DNS is asked, beside a
// DNS server out of it. Without a question in flight, synctest.Wait and
// time.Sleep move the clock as usual.
func live(t *testing.T, change func(*Options), f func(*testing.T, *dnstest.Server, *Verifier)) {
	t.Helper()
	s := dnstest.Start(t)
	setAlice(t, s)
	synctest.Test(t, func(t *testing.T) {
		f(t, s, newVerifier(t, change, s.Addr()))
	})
}

// run runs v until the test ends.
func run(t *testing.T, v *Verifier) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// pass lets the bubble's clock go on; nothing is waited for in real time.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestTTL(t *testing.T) {
	for _, tt := range []struct {
		name    string
		records []string
		kbp     []string      // of the other label, whose absence lasts a second
		life    time.Duration // of the verdict, jitter included in the bounds
	}{
		{"as the record says", []string{"300 A 192.0.2.10"}, nil, 300 * time.Second},
		{"not below the minimum", []string{"0 A 192.0.2.10"}, nil, 30 * time.Second},
		{"not above the maximum", []string{"86400 A 192.0.2.10"}, nil, time.Hour},
		{"shortest record", []string{"600 A 192.0.2.10", "120 AAAA 2001:db8::10"}, nil, 120 * time.Second},
		{"denied not above five minutes", []string{"86400 A 203.0.113.9", "86400 AAAA 2001:db8::10"}, []string{`86400 TXT "x"`}, 5 * time.Minute},
		{"denied not below five seconds", []string{"0 A 203.0.113.9"}, nil, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			live(t, nil, func(t *testing.T, s *dnstest.Server, v *Verifier) {
				s.MustSet(t, atOwn, `86400 TXT "kbp=/git/alice"`)
				s.MustSet(t, atKBP, tt.kbp...)
				s.MustSet(t, atHost, tt.records...)
				v.Verify(t.Context(), host)
				asked := s.Queries()
				pass(tt.life * 89 / 100)
				if v.Verify(t.Context(), host); s.Queries() != asked {
					t.Error("asked again too early")
				}
				pass(tt.life*11/100 + time.Second)
				if v.Verify(t.Context(), host); s.Queries() == asked {
					t.Error("not asked again")
				}
			})
		})
	}
}

// No request of a verified host waits for DNS, or for anything: the bubble's
// server would hold it for ever.
func TestRefreshedBeforeExpiry(t *testing.T) {
	live(t, nil, func(t *testing.T, s *dnstest.Server, v *Verifier) {
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
		run(t, v)
		asked := s.Queries()
		pass(31 * time.Second)
		if s.Queries() == asked {
			t.Error("not refreshed")
		}
		e := v.known.get(host)
		if !time.Now().Before(e.expires) {
			t.Error("expired before it was refreshed")
		}
	})
}

func TestRevocation(t *testing.T) {
	for _, tt := range []struct {
		name, at string
		records  []string
		want     tenant.Standing
		tenant   tenant.ID
	}{
		{"TXT removed", atOwn, nil, tenant.Denied, ""},
		{"address removed", atHost, nil, tenant.Denied, ""},
		{"address moved", atHost, []string{"A 203.0.113.9"}, tenant.Denied, ""},
		{"second TXT", atKBP, []string{`TXT "kbp=/git/bob"`}, tenant.Denied, ""},
		{"tenant changed", atOwn, []string{`TXT "kbp=/git/bob"`}, tenant.Verified, "/git/bob"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			live(t, nil, func(t *testing.T, s *dnstest.Server, v *Verifier) {
				run(t, v)
				check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
				s.MustSet(t, tt.at, tt.records...)
				pass(30 * time.Second)
				check(t, v.Verify(t.Context(), host), tt.want, tt.tenant)

				setAlice(t, s)
				s.MustSet(t, atKBP)
				pass(31 * time.Second)
				check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
			})
		})
	}
}

// The lower bound is an option: development and tests take records back quickly.
func TestShortMinTTL(t *testing.T) {
	live(t, func(o *Options) { o.MinTTL = 200 * time.Millisecond }, func(t *testing.T, s *dnstest.Server, v *Verifier) {
		s.MustSet(t, atHost, "0 A 192.0.2.10")
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
		run(t, v)
		s.MustSet(t, atOwn)
		pass(time.Second)
		check(t, v.Verify(t.Context(), host), tenant.Denied, "")
		setAlice(t, s)
		pass(time.Second)
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
	})
}

func TestStaleIfError(t *testing.T) {
	// The default of three days is TestRestart's; each hour costs 720 lookups.
	live(t, func(o *Options) { o.StaleFor = time.Hour }, func(t *testing.T, s *dnstest.Server, v *Verifier) {
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
		run(t, v)
		s.Fail(dnstest.ServFail)
		for range 10 {
			pass(5 * time.Minute)
			check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
			check(t, v.Verify(t.Context(), "new.example.com"), tenant.Unknown, "", "SERVFAIL")
		}
		pass(11 * time.Minute)
		check(t, v.Verify(t.Context(), host), tenant.Unknown, "", "SERVFAIL")

		s.Fail(dnstest.None)
		pass(6 * time.Second)
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
	})
}

// Ten minutes without DNS: nobody who was verified is refused, or waits.
func TestOutageOfTenMinutes(t *testing.T) {
	live(t, nil, func(t *testing.T, s *dnstest.Server, v *Verifier) {
		hosts := make([]tenant.Host, 20)
		for i := range hosts {
			hosts[i] = tenant.Host(fmt.Sprintf("www.tenant-%d.example", i))
			if err := s.SetTenant(hosts[i], ours[:1], "_terrane", "kbp=/git/alice"); err != nil {
				t.Fatal(err)
			}
			check(t, v.Verify(t.Context(), hosts[i]), tenant.Verified, alice)
		}
		run(t, v)
		s.Fail(dnstest.ServFail)
		over := time.Now().Add(10 * time.Minute)
		for time.Now().Before(over) {
			pass(7 * time.Second)
			for _, h := range hosts {
				before := time.Now()
				check(t, v.Verify(t.Context(), h), tenant.Verified, alice)
				if time.Since(before) > 0 {
					t.Errorf("%s waited", h)
				}
			}
		}
		if s.Queries() < 20*4*60 {
			t.Errorf("%d queries: nobody tried", s.Queries())
		}
	})
}

func TestRevokedDuringOutage(t *testing.T) {
	live(t, nil, func(t *testing.T, s *dnstest.Server, v *Verifier) {
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
		run(t, v)
		s.Fail(dnstest.ServFail)
		pass(10 * time.Minute)
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
		s.MustSet(t, atOwn)
		s.Fail(dnstest.None)
		pass(6 * time.Second)
		check(t, v.Verify(t.Context(), host), tenant.Denied, "")
	})
}

// One who is not asked for is left alone, and then costs one wait, in an outage too.
func TestIdle(t *testing.T) {
	live(t, func(o *Options) { o.IdleAfter = time.Hour }, func(t *testing.T, s *dnstest.Server, v *Verifier) {
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
		run(t, v)
		pass(2 * time.Hour)
		asked := s.Queries()
		pass(time.Hour)
		if s.Queries() != asked {
			t.Error("refreshed, though nobody asks for it")
		}
		s.Fail(dnstest.ServFail)
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
		if s.Queries() == asked {
			t.Error("not looked up")
		}
		s.MustSet(t, atOwn)
		s.Fail(dnstest.None)
		pass(6 * time.Second)
		check(t, v.Verify(t.Context(), host), tenant.Denied, "")
	})
}

// What nobody asks for is forgotten when its time is over.
func TestForgotten(t *testing.T) {
	live(t, nil, func(t *testing.T, _ *dnstest.Server, v *Verifier) {
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
		run(t, v)
		pass(24*time.Hour + 2*time.Minute)
		if e := v.known.get(host); e == nil || !e.asleep.Load() {
			t.Fatal("not asleep after a day")
		}
		pass(72 * time.Hour)
		if v.known.len() != 0 {
			t.Error("not forgotten")
		}
	})
}

// A wildcard cannot fill the memory: names beyond a domain's quota are denied.
func TestQuotaOfOneDomain(t *testing.T) {
	s := dnstest.Start(t)
	v := newVerifier(t, func(o *Options) { o.DomainHosts = 2 }, s.Addr())
	for _, h := range []tenant.Host{"a.example.com", "b.example.com", "c.example.com", "a.example.org"} {
		if err := s.SetTenant(h, ours, "_terrane", "kbp=/git/alice"); err != nil {
			t.Fatal(err)
		}
	}
	check(t, v.Verify(t.Context(), "a.example.com"), tenant.Verified, alice)
	check(t, v.Verify(t.Context(), "b.example.com"), tenant.Verified, alice)
	check(t, v.Verify(t.Context(), "c.example.com"), tenant.Denied, "", "example.com has 2 verified names")
	check(t, v.Verify(t.Context(), "a.example.org"), tenant.Verified, alice)

	// One that leaves makes room.
	if err := s.RemoveTenant("a.example.com", "_terrane"); err != nil {
		t.Fatal(err)
	}
	v.update(t.Context(), "a.example.com")
	v.update(t.Context(), "c.example.com")
	check(t, v.Verify(t.Context(), "c.example.com"), tenant.Verified, alice)
	if v.known.byDomain["example.com"] != 2 || v.known.len() != 3 {
		t.Errorf("%v", v.known.byDomain)
	}
}

func TestRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verified.json")
	stored := func(o *Options) { o.StatePath = path }
	live(t, stored, func(t *testing.T, s *dnstest.Server, v *Verifier) {
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
		stop := run(t, v)
		stop()

		s.Fail(dnstest.Drop)
		v = newVerifier(t, func(o *Options) { stored(o); o.Timeout = 20 * time.Millisecond }, s.Addr())
		stop = run(t, v)
		synctest.Wait()
		pass(10 * time.Minute)
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
		stop()

		pass(71 * time.Hour)
		v = newVerifier(t, stored, s.Addr())
		if v.known.len() != 1 {
			t.Error("forgotten before its time")
		}
		pass(time.Hour)
		if v = newVerifier(t, stored, s.Addr()); v.known.len() != 0 {
			t.Error("loaded beyond its time")
		}
		s.Fail(dnstest.None)
	})
}

// A state that was revoked while the edge was down is corrected at its start.
func TestRestartCorrects(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verified.json")
	live(t, func(o *Options) { o.StatePath = path }, func(t *testing.T, s *dnstest.Server, v *Verifier) {
		v.Verify(t.Context(), host)
		if err := v.save(); err != nil {
			t.Fatal(err)
		}
		s.MustSet(t, atOwn)
		v = newVerifier(t, func(o *Options) { o.StatePath = path }, s.Addr())
		run(t, v)
		pass(time.Second)
		check(t, v.Verify(t.Context(), host), tenant.Denied, "")
	})
}

func TestStateFileDamaged(t *testing.T) {
	s := dnstest.Start(t)
	setAlice(t, s)
	good := fmt.Sprintf(`{"host":"ok.example.com","tenant":"/git/bob","confirmed":%q}`, time.Now().Add(-time.Minute).Format(time.RFC3339))
	for _, tt := range []struct {
		name, content string
		hosts         int
	}{
		{"empty", "", 0},
		{"cut off", `{"version":1,"hosts":[{"host":"a.`, 0},
		{"other version", `{"version":2,"hosts":[` + good + `]}`, 0},
		{"bad entries", `{"version":1,"hosts":[{"host":"a..b","tenant":"/git/x"},{"host":"a.com","tenant":"../x"},{"host":"future.com","tenant":"/git/x","confirmed":"2999-01-01T00:00:00Z"},` + good + `]}`, 1},
	} {
		path := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		v := newVerifier(t, func(o *Options) { o.StatePath = path }, s.Addr())
		if v.known.len() != tt.hosts {
			t.Errorf("%s: %d hosts loaded, want %d", tt.name, v.known.len(), tt.hosts)
		}
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
	}
}

func TestSingleFlight(t *testing.T) {
	s := dnstest.Start(t)
	setAlice(t, s)
	s.FailName(atHost, dnstest.Hold)
	v := newVerifier(t, func(o *Options) { o.Timeout, o.HedgeAfter = time.Minute, time.Minute }, s.Addr())
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { check(t, v.Verify(t.Context(), host), tenant.Verified, alice) })
	}
	if err := s.AwaitQueries(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	// One who cannot wait does not, and does not end it for the others.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check(t, v.Verify(ctx, host), tenant.Unknown, "", "try again")
	s.Release()
	wg.Wait()
	if n := s.Queries(); n != 4 {
		t.Errorf("%d queries, want 4", n)
	}
}

func TestFloodOfUnknownNames(t *testing.T) {
	s := dnstest.Start(t)
	setAlice(t, s)
	const size = 500
	v := newVerifier(t, func(o *Options) { o.MaxOthers, o.MaxLookups = size, 8 }, s.Addr())
	check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for i := range 100 {
				h := tenant.Host(fmt.Sprintf("r%d-%d.example.org", worker, i))
				if got := v.Verify(t.Context(), h); got.Standing == tenant.Verified {
					t.Error(got)
				}
			}
		})
	}
	wg.Wait()
	if n := v.others.len(); n > size {
		t.Errorf("%d hosts kept, at most %d wanted", n, size)
	}
	if v.known.get(host) == nil {
		t.Error("the flood displaced a verified host")
	}
	asked := s.Queries()
	check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
	if s.Queries() != asked {
		t.Error("the flood made a verified host ask again")
	}
}

func TestTableDropsTheLeastUsed(t *testing.T) {
	table := newTable(2*evictionSample, 0)
	put := func(i int, used int64) {
		e := &entry{}
		e.used.Store(used)
		table.put(tenant.Host(fmt.Sprint("h", i)), e)
	}
	for i := range 100 * evictionSample {
		put(i, int64(i))
	}
	if n := table.len(); n != 2*evictionSample {
		t.Fatalf("%d entries", n)
	}
	old := 0
	table.each(func(_ tenant.Host, e *entry) {
		if e.used.Load() < 50*evictionSample {
			old++
		}
	})
	if old > evictionSample {
		t.Errorf("%d of %d entries are of the older half", old, 2*evictionSample)
	}
}

func TestRunTwice(t *testing.T) {
	live(t, nil, func(t *testing.T, _ *dnstest.Server, v *Verifier) {
		run(t, v)
		synctest.Wait()
		if err := v.Run(t.Context()); err == nil {
			t.Error("second Run started")
		}
	})
}
