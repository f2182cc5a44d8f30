package dnsverify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/terrane/terrane/tenant"
)

// Verifier decides which tenant a host belongs to. It is safe for concurrent use.
type Verifier struct {
	opt     Options
	policy  policy
	client  *Client
	metrics *metrics

	known     *table // verified hosts, which no flood of others can displace
	others    *table // denied and unknown hosts
	slots     chan struct{}
	admission *admission

	queue   queue
	running atomic.Bool
	changed atomic.Bool // since the state was last saved

	mu      sync.Mutex
	flights map[tenant.Host]*flight
}

// lookupQueries bounds a lookup, in timeouts of one query: a chain of aliases
// takes several.
const lookupQueries = 2

// flight is one lookup that any number of callers wait for.
type flight struct {
	done    chan struct{}
	verdict tenant.Verdict // valid once done is closed
}

// New returns a Verifier with the saved state. It starts nothing; Verify works before
// Run, without refreshing. Its error joins every fault of the options (Options.Check).
func New(o Options) (*Verifier, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	c, err := NewClient(ClientOptions{Resolvers: o.Resolvers, Timeout: o.Timeout, HedgeAfter: o.HedgeAfter,
		MaxInFlight: (o.MaxLookups + o.Refreshers) * (2 + len(o.Labels))})
	if err != nil {
		return nil, err
	}
	v := &Verifier{
		opt:       o,
		policy:    policy{o.Addresses, o.Labels, o.Keys, o.RequireAD},
		client:    c,
		known:     newTable(o.MaxHosts, o.DomainHosts),
		others:    newTable(o.MaxOthers, 0),
		slots:     make(chan struct{}, o.MaxLookups),
		admission: newAdmission(&o),
		queue:     newQueue(),
		flights:   make(map[tenant.Host]*flight),
	}
	v.metrics = newMetrics(v)
	c.observe = v.metrics.query
	if o.Metrics != nil {
		if err := v.metrics.register(o.Metrics); err != nil {
			return nil, fmt.Errorf("dnsverify: metrics: %w", err)
		}
	}
	v.load()
	return v, nil
}

// Verify returns what DNS says of h. For a verified host in use it only reads
// memory; for others it may wait for a lookup, or until ctx ends, which gives
// Unknown. The verdict may change with each request: ask for each.
func (v *Verifier) Verify(ctx context.Context, h tenant.Host) tenant.Verdict {
	return v.VerifyFrom(ctx, h, netip.Addr{})
}

// VerifyFrom is Verify on behalf of a visitor at source. Hosts that are not
// verified are looked up at the rates of the Options; beyond them the answer is
// Unknown and says when to try again.
func (v *Verifier) VerifyFrom(ctx context.Context, h tenant.Host, source netip.Addr) tenant.Verdict {
	now := time.Now()
	e := v.known.get(h)
	if e != nil {
		e.touch(now)
		if now.Before(e.expires) || v.awaitsRefresh(e, now) {
			return e.verdict
		}
	} else if e := v.others.get(h); e != nil && now.Before(e.expires) {
		e.touch(now)
		return e.verdict
	}
	return v.fly(ctx, h, func() (refusal string) {
		if e != nil {
			return "" // it was verified before
		}
		return v.admission.admit(h, source, now)
	})
}

// Known reports whether h is verified as far as memory tells, without a lookup.
func (v *Verifier) Known(h tenant.Host) bool {
	e := v.known.get(h)
	return e != nil && e.verdict.Standing == tenant.Verified
}

// Hosts are the hosts known to be a tenant's, in no order.
func (v *Verifier) Hosts(id tenant.ID) []tenant.Host {
	var hosts []tenant.Host
	v.known.each(func(h tenant.Host, e *entry) {
		if e.verdict.Standing == tenant.Verified && e.verdict.Tenant == id {
			hosts = append(hosts, h)
		}
	})
	return hosts
}

// awaitsRefresh reports whether Run is about to look an expired entry up, and it
// may be served until then.
func (v *Verifier) awaitsRefresh(e *entry, now time.Time) bool {
	return v.running.Load() && !e.asleep.Load() && now.Sub(e.confirmed) < v.opt.StaleFor
}

// fly looks h up, or waits for the lookup that somebody else already makes. On
// behalf of a visitor, admit may refuse a lookup of its own, which then waits for a
// slot and goes on to its end though ctx may end before; Run passes nil.
func (v *Verifier) fly(ctx context.Context, h tenant.Host, admit func() (refusal string)) tenant.Verdict {
	v.mu.Lock()
	f, ok := v.flights[h]
	if ok {
		v.mu.Unlock()
		select {
		case <-f.done:
			return f.verdict
		case <-ctx.Done():
			return unfinished(h)
		}
	}
	if admit != nil {
		if refusal := admit(); refusal != "" {
			v.mu.Unlock()
			v.metrics.refusals.Inc()
			return tenant.Verdict{Reason: refusal}
		}
	}
	f = &flight{done: make(chan struct{}), verdict: unfinished(h)}
	v.flights[h] = f
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		delete(v.flights, h)
		v.mu.Unlock()
		close(f.done)
	}()
	if admit != nil {
		select {
		case v.slots <- struct{}{}:
			defer func() { <-v.slots }()
		case <-ctx.Done():
			return f.verdict
		}
		ctx = context.WithoutCancel(ctx)
	}
	f.verdict = v.update(ctx, h)
	return f.verdict
}

func unfinished(h tenant.Host) tenant.Verdict {
	return tenant.Verdict{Reason: fmt.Sprintf("the DNS records of %s are still being looked up: try again in a moment", h)}
}

// ask puts the policy's questions about h to c, all at a time.
func (v *Verifier) ask(ctx context.Context, c *Client, h tenant.Host) []answer {
	questions := v.policy.questions(h)
	answers := make([]answer, len(questions))
	var wg sync.WaitGroup
	for i, q := range questions {
		wg.Go(func() { answers[i] = c.lookup(ctx, q.Name, q.Qtype) })
	}
	wg.Wait()
	return answers
}

// update looks h up and keeps the outcome, unless ctx ended meanwhile.
func (v *Verifier) update(ctx context.Context, h tenant.Host) tenant.Verdict {
	limited, cancel := context.WithTimeout(ctx, lookupQueries*v.client.timeout)
	defer cancel()
	answers := v.ask(limited, v.client, h)
	if ctx.Err() != nil {
		return unfinished(h)
	}
	verdict, _ := v.policy.judge(h, answers)
	v.metrics.lookups.WithLabelValues(verdict.Standing.String()).Inc()
	now, old := time.Now(), v.known.get(h)
	e := &entry{verdict: verdict}
	var ttl time.Duration
	switch verdict.Standing {
	case tenant.Verified:
		e.confirmed, ttl = now, v.opt.lifetime(true, answers)
	case tenant.Denied:
		ttl = v.opt.lifetime(false, answers)
	case tenant.Unknown:
		ttl = v.opt.failureTTL()
		if old != nil && now.Sub(old.confirmed) < v.opt.StaleFor {
			e.verdict, e.confirmed, e.stale = old.verdict, old.confirmed, true
		}
	}
	v.keep(h, old, e, ttl)
	v.note(h, old, e, verdict.Reason)
	return e.verdict
}

// keep puts e in the place of old, for ttl from now.
func (v *Verifier) keep(h tenant.Host, old, e *entry, ttl time.Duration) {
	now := time.Now()
	// A tenth at random, so that what was verified together is not looked up together for ever.
	ttl -= rand.N(ttl/10 + 1) //nolint:gosec // it spreads load, nobody gains by guessing it
	e.expires = now.Add(ttl)
	e.used.Store(now.Unix())
	if e.verdict.Standing == tenant.Verified {
		if old != nil {
			e.used.Store(old.used.Load())
		}
		e.refresh = now.Add(ttl - ttl/5)
		if v.known.put(h, e) {
			v.others.remove(h, v.others.get(h))
			v.queue.push(h, e.refresh)
			return
		}
		e.confirmed, e.verdict = time.Time{}, tenant.Verdict{Standing: tenant.Denied, Reason: fmt.Sprintf(
			"%s has %d verified names, as many as this platform takes of one domain: use fewer", domain(h), v.opt.DomainHosts)}
	}
	v.known.remove(h, old)
	v.others.put(h, e)
}

// note logs and marks for saving what differs between old and e.
func (v *Verifier) note(h tenant.Host, old, e *entry, found string) {
	log := v.opt.Logger.With("host", h)
	switch {
	case old == nil && e.verdict.Standing != tenant.Verified:
		return
	case old == nil:
		log.Info("host verified", "tenant", e.verdict.Tenant)
	case e.verdict.Standing != tenant.Verified:
		log.Warn("host no longer verified", "tenant", old.verdict.Tenant, "standing", e.verdict.Standing, "reason", e.verdict.Reason)
	case old.verdict.Tenant != e.verdict.Tenant:
		log.Info("host names another tenant", "tenant", e.verdict.Tenant, "before", old.verdict.Tenant)
	case e.stale && !old.stale:
		log.Warn("host kept as it was verified before", "tenant", e.verdict.Tenant, "confirmed", e.confirmed, "reason", found)
		return
	default:
		return
	}
	v.changed.Store(true)
}
