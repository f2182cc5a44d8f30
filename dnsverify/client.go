package dnsverify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/terrane/terrane/internal/fault"
)

// ClientOptions are what a Client needs.
type ClientOptions struct {
	Resolvers   []netip.AddrPort // recursive resolvers, preferred first; at least one
	Timeout     time.Duration    // of one query with all its retries; 0: 5 s
	HedgeAfter  time.Duration    // silence before the next resolver is asked too, doubling; 0: 300 ms
	MaxInFlight int              // queries at a time, more wait; 0: 256
}

// Client asks recursive resolvers over UDP, and over TCP when an answer is
// truncated. The next resolver is asked when one fails, or beside one that is
// slow; the first good answer wins. It keeps no cache and leaves no goroutine
// behind. It is safe for concurrent use.
type Client struct {
	start     time.Time // rests are timed from here: the system's clock may jump
	resolvers []*resolver
	timeout   time.Duration
	hedge     time.Duration
	slots     chan struct{}
	observe   func(time.Duration, error) // nil: nobody counts
}

// resolver is one address and what was lately seen of it.
type resolver struct {
	addr      netip.AddrPort
	downUntil atomic.Int64 // in nanoseconds since Client.start; asked last before that
}

const (
	defaultTimeout  = 5 * time.Second
	defaultHedge    = 300 * time.Millisecond
	defaultInFlight = 256
	restAfterFault  = 10 * time.Second
	ednsSize        = 1232 // fits every path unfragmented (DNS flag day 2020)
)

// NewClient returns a Client. It opens nothing. Its error joins every fault of the
// options: each is a *fault.Fault.
func NewClient(o ClientOptions) (*Client, error) {
	var f fault.List
	checkResolvers(&f, o.Resolvers)
	if err := f.Err(); err != nil {
		return nil, err
	}
	c := &Client{
		start:   time.Now(),
		timeout: cmp.Or(o.Timeout, defaultTimeout),
		hedge:   cmp.Or(o.HedgeAfter, defaultHedge),
		slots:   make(chan struct{}, max(cmp.Or(o.MaxInFlight, defaultInFlight), 1)),
	}
	for _, addr := range o.Resolvers {
		c.resolvers = append(c.resolvers, &resolver{addr: addr})
	}
	return c, nil
}

// SystemResolvers are the resolvers that this machine is told to use, none if it is told nothing.
func SystemResolvers() []netip.AddrPort {
	conf, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	var list []netip.AddrPort
	for _, s := range conf.Servers {
		if addr, err := netip.ParseAddr(s); err == nil {
			list = append(list, netip.AddrPortFrom(addr, 53))
		}
	}
	return list
}

// only returns a Client that asks r alone and shares the other bounds.
func (c *Client) only(r *resolver) *Client {
	return &Client{start: c.start, resolvers: []*resolver{r}, timeout: c.timeout, hedge: c.hedge, slots: c.slots, observe: c.observe}
}

// reply is a checked answer to our question.
type reply struct {
	from *resolver
	msg  *dns.Msg
	raw  []byte
}

// rcodeError is an answer that says the resolver could not answer.
type rcodeError struct{ reply }

func (e *rcodeError) Error() string {
	s := fmt.Sprintf("%s answers %s", e.from.addr, dns.RcodeToString[e.msg.Rcode])
	opt := e.msg.IsEdns0()
	if opt == nil {
		return s
	}
	for _, o := range opt.Option {
		if ede, ok := o.(*dns.EDNS0_EDE); ok {
			return fmt.Sprintf("%s (%s)", s, cmp.Or(dns.ExtendedErrorCodeToString[ede.InfoCode], fmt.Sprint("EDE ", ede.InfoCode)))
		}
	}
	return s
}

// question makes a query as the Client itself asks it: recursive, with EDNS, and
// the AD bit set to learn whether the resolver validated (RFC 6840, 5.7).
func question(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.SetEdns0(ednsSize, false)
	m.AuthenticatedData = true
	return m
}

// exchange answers q, whose id it replaces by a random one. The reply's rcode is
// NOERROR or NXDOMAIN; any other gives an *rcodeError.
func (c *Client) exchange(ctx context.Context, q *dns.Msg) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	start := time.Now()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return reply{}, fmt.Errorf("dns: %d queries in flight: %w", cap(c.slots), context.Cause(ctx))
	}
	rep, err := c.race(ctx, q)
	if c.observe != nil {
		c.observe(time.Since(start), err)
	}
	return rep, err
}

type attempt struct {
	reply
	err error
}

// race runs attempts one beside the other until one succeeds or all have failed.
func (c *Client) race(ctx context.Context, q *dns.Msg) (reply, error) {
	plan := c.plan()
	results := make(chan attempt, len(plan))
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	var errs []error
	failed := make(map[*resolver]bool) // to ask them again would give the same
	pending, delay := 0, c.hedge
	patience := time.NewTimer(delay)
	defer patience.Stop()
	start := func() {
		for len(plan) > 0 && failed[plan[0]] {
			plan = plan[1:]
		}
		if len(plan) == 0 || ctx.Err() != nil {
			return
		}
		r := plan[0]
		plan = plan[1:]
		pending++
		running.Go(func() {
			rep, err := r.ask(ctx, q.Copy())
			results <- attempt{rep, err}
		})
		patience.Reset(delay)
		delay *= 2
	}
	for start(); pending > 0; {
		select {
		case <-patience.C:
			start()
		case a := <-results:
			pending--
			if a.err == nil {
				a.from.downUntil.Store(0)
				return a.reply, nil
			}
			c.rest(a.from)
			if !failed[a.from] {
				failed[a.from] = true
				errs = append(errs, a.err)
			}
			start()
		}
	}
	if len(errs) == 0 {
		return reply{}, context.Cause(ctx) // it had ended before
	}
	return reply{}, errors.Join(errs...)
}

func (c *Client) rest(r *resolver) { r.downUntil.Store(int64(time.Since(c.start) + restAfterFault)) }

// plan lists whom to ask in which order: those that lately failed last, and all
// of them again, for datagrams get lost.
func (c *Client) plan() []*resolver {
	now := int64(time.Since(c.start))
	order := slices.Clone(c.resolvers)
	slices.SortStableFunc(order, func(a, b *resolver) int {
		return cmp.Compare(max(a.downUntil.Load(), now), max(b.downUntil.Load(), now))
	})
	return slices.Repeat(order, 3)[:max(3, 2*len(order))]
}

// lookup answers name and qtype, following aliases even where the resolver does
// not. It never returns a positive answer for another name than the chain's end.
func (c *Client) lookup(ctx context.Context, name string, qtype uint16) answer {
	a := answer{name: strings.TrimSuffix(name, "."), qtype: qtype, ttl: maxTTL, authentic: true}
	at := dns.CanonicalName(name)
	if _, ok := dns.IsDomainName(at); !ok {
		a.broken = "is no valid domain name"
		return a
	}
	for range maxAliases {
		rep, err := c.exchange(ctx, question(at, qtype))
		if err != nil {
			a.err = err
			return a
		}
		a.from = rep.from.addr
		if done := a.take(rep.msg, &at); done {
			return a
		}
	}
	a.broken = errManyAliases
	return a
}
