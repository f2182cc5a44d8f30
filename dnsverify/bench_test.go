package dnsverify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/dnsverify/dnstest"
	"github.com/terrane/terrane/tenant"
)

func BenchmarkVerified(b *testing.B) {
	v := newVerifier(b, nil, netip.MustParseAddrPort("127.0.0.1:9"))
	hosts := make([]tenant.Host, 100_000)
	for i := range hosts {
		hosts[i] = tenant.Host(fmt.Sprintf("www.tenant-%d.example", i))
		v.known.put(hosts[i], &entry{verdict: tenant.Verdict{Standing: tenant.Verified, Tenant: alice}, expires: time.Now().Add(time.Hour)})
	}
	ctx := b.Context()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i = (i + 7919) % len(hosts) {
			if v.Verify(ctx, hosts[i]).Standing != tenant.Verified {
				b.Error("not verified")
			}
		}
	})
}

func BenchmarkNegative(b *testing.B) {
	v := newVerifier(b, nil, netip.MustParseAddrPort("127.0.0.1:9"))
	v.others.put(host, &entry{verdict: tenant.Verdict{Standing: tenant.Denied}, expires: time.Now().Add(time.Hour)})
	b.ReportAllocs()
	for b.Loop() {
		v.Verify(b.Context(), host)
	}
}

// The slowest of a verified host's requests while others ask for new names as fast as they can.
func BenchmarkVerifiedInFlood(b *testing.B) {
	s := dnstest.Start(b)
	setAlice(b, s)
	v := newVerifier(b, nil, s.Addr())
	v.Verify(b.Context(), host)
	ctx, cancel := context.WithCancel(b.Context())
	var flood sync.WaitGroup
	var asked atomic.Int64
	for range 4 {
		flood.Go(func() {
			for ctx.Err() == nil {
				v.Verify(ctx, tenant.Host(fmt.Sprintf("r%d.example.org", asked.Add(1))))
			}
		})
	}
	start := time.Now()
	took := make([]time.Duration, 0, 1<<20)
	for b.Loop() {
		before := time.Now()
		v.Verify(ctx, host)
		took = append(took, time.Since(before))
	}
	b.StopTimer()
	rate := float64(asked.Load()) / time.Since(start).Seconds()
	cancel()
	flood.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
	b.ReportMetric(rate, "flood-names/s")
}

func BenchmarkLookup(b *testing.B) {
	s := dnstest.Start(b)
	setAlice(b, s)
	v := newVerifier(b, nil, s.Addr())
	for b.Loop() {
		v.update(b.Context(), host)
	}
}
