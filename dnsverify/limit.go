package dnsverify

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/terrane/terrane/tenant"
)

// Rate bounds how often something happens: Burst at once, then one each Every.
type Rate struct {
	Every time.Duration
	Burst int
}

// buckets holds one leaky bucket per key, kept as the time at which it will be
// empty: one whose time has passed is as good as none and is dropped.
type buckets[K comparable] struct {
	rate Rate

	mu    sync.Mutex
	empty map[K]time.Time
}

// maxBuckets bounds the keys of one kind. Beyond it, while all are in debt, new
// keys go unbounded by their own bucket: the bucket over all still holds.
const maxBuckets = 1 << 16

func newBuckets[K comparable](r Rate) *buckets[K] {
	return &buckets[K]{rate: r, empty: make(map[K]time.Time)}
}

// take reports whether key may go on now, and else how long it must wait.
func (b *buckets[K]) take(key K, now time.Time) (wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, there := b.empty[key]
	if at.Before(now) {
		at = now
	}
	at = at.Add(b.rate.Every)
	if wait := at.Sub(now) - time.Duration(b.rate.Burst)*b.rate.Every; wait > 0 {
		return wait, false
	}
	if !there && len(b.empty) >= maxBuckets && !b.purge(now) {
		return 0, true
	}
	b.empty[key] = at
	return 0, true
}

// purge drops the buckets among a sample that are empty, and reports whether there was one.
func (b *buckets[K]) purge(now time.Time) bool {
	seen, dropped := 0, false
	for k, at := range b.empty {
		if at.Before(now) {
			delete(b.empty, k)
			dropped = true
		}
		if seen++; seen == evictionSample {
			break
		}
	}
	return dropped
}

// admission decides which hosts that are not verified may be looked up. A flood
// of names first meets the bucket of its source, then that of the domain it
// abuses, so that it takes others' share only when it has many of both.
type admission struct {
	source  *buckets[netip.Prefix]
	domain  *buckets[string]
	overall *buckets[struct{}]
}

func newAdmission(o *Options) *admission {
	return &admission{newBuckets[netip.Prefix](o.PerSource), newBuckets[string](o.PerDomain), newBuckets[struct{}](o.Overall)}
}

// sourceBits is how much of an IPv6 address tells visitors apart: one of them has a /64 at least.
const sourceBits = 64

// admit returns why h, asked for by source, is not looked up now; empty when it may be.
func (a *admission) admit(h tenant.Host, source netip.Addr, now time.Time) (refusal string) {
	if source.IsValid() {
		source = source.Unmap().WithZone("")
		bits := source.BitLen()
		if source.Is6() {
			bits = sourceBits
		}
		p, _ := source.Prefix(bits) // fails only for more bits than there are
		if wait, ok := a.source.take(p, now); !ok {
			return refuse(h, "your address asks for too many unknown names", wait)
		}
	}
	d := domain(h)
	if wait, ok := a.domain.take(d, now); !ok {
		return refuse(h, "too many unknown names under "+d+" are asked for", wait)
	}
	if wait, ok := a.overall.take(struct{}{}, now); !ok {
		return refuse(h, "too many unknown names are asked for", wait)
	}
	return ""
}

func refuse(h tenant.Host, why string, wait time.Duration) string {
	seconds := (wait + time.Second - 1).Truncate(time.Second)
	return fmt.Sprintf("%s is not looked up now, because %s: try again in %s", h, why, seconds)
}
