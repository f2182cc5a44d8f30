package dnsverify

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/internal/fault"
)

// Options configure a Verifier. The zero value of a field means the default that its
// comment names; Addresses and Resolvers have none.
type Options struct {
	Addresses []netip.Addr     // what A and AAAA records must be
	Resolvers []netip.AddrPort // recursive resolvers, preferred first
	Labels    []string         // names of the TXT below a host; nil: "_keybase_pages", "_terrane"
	Keys      []string         // what the TXT starts with, before "="; nil: "kbp", "terrane"
	RequireAD bool             // deny what the resolvers did not validate by DNSSEC

	// StatePath is a file that keeps what is verified over restarts; empty: none is kept.
	StatePath string

	// MinTTL and MaxTTL bound how long answers are kept: 30 s and 1 h. Absence is
	// kept for 5 s to 5 min and failures for 5 s, or less where MinTTL is less.
	MinTTL, MaxTTL time.Duration
	StaleFor       time.Duration // how long a verified host outlives DNS: 72 h
	IdleAfter      time.Duration // without requests, after which a host is not refreshed: 24 h

	MaxHosts    int // verified hosts kept in memory: 200,000
	DomainHosts int // verified hosts of one registrable domain, whose wildcards could fill the memory: 1,000
	MaxOthers   int // denied and unknown hosts kept in memory: 50,000
	MaxLookups  int // first lookups at a time, more wait: 64
	Refreshers  int // background lookups at a time: 32

	// Lookups of hosts that are not verified, by the address that asks (an IPv6 /64
	// counts as one), by registrable domain, and by all: 100 at once and 10 a second
	// each, 1,000 and 500 by all.
	PerSource, PerDomain, Overall Rate

	Timeout    time.Duration // of one DNS query with its retries: 5 s
	HedgeAfter time.Duration // silence before the next resolver is asked too: 300 ms

	Logger  *slog.Logger          // nil: discarded
	Metrics prometheus.Registerer // nil: none
}

const (
	defaultMinTTL    = 30 * time.Second
	minNegative      = 5 * time.Second
	maxNegative      = 5 * time.Minute
	failureTTL       = 5 * time.Second
	defaultStale     = 72 * time.Hour
	defaultIdle      = 24 * time.Hour
	defaultHosts     = 200_000
	defaultPerDomain = 1000
	defaultOthers    = 50_000
	defaultLookups   = 64
	defaultRefresh   = 32
	maxLabels        = 8
)

// Check returns every fault in o, joined: each is a *fault.Fault, whose key is that of
// the table [dns].
func (o Options) Check() error {
	o = o.withDefaults()
	var f fault.List
	if len(o.Addresses) == 0 {
		f.Add("addresses", "want the addresses that a tenant's A and AAAA records must have")
	}
	for i, ip := range o.Addresses {
		if ip.Is4In6() && ip.Zone() == "" {
			f.Add(fmt.Sprintf("addresses[%d]", i), "%s: A records have it as %s: write that", ip, ip.Unmap())
		} else if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || ip.Zone() != "" {
			f.Add(fmt.Sprintf("addresses[%d]", i), "%s: want an IPv4 or IPv6 address as A and AAAA records have it", ip)
		}
	}
	checkResolvers(&f, o.Resolvers)
	for _, list := range []struct {
		key    string
		values []string
	}{{"labels", o.Labels}, {"keys", o.Keys}} {
		if n := len(list.values); n == 0 || n > maxLabels {
			f.Add(list.key, "%d of them: want 1 to %d", n, maxLabels)
		}
	}
	for i, l := range o.Labels {
		if !isLabel(l) {
			f.Add(fmt.Sprintf("labels[%d]", i), "%q: want a name of letters, digits, \"-\" and \"_\", such as \"_terrane\"", l)
		}
	}
	for i, k := range o.Keys {
		if !isWord(k) {
			f.Add(fmt.Sprintf("keys[%d]", i), "%q: want a word of letters, digits, \"-\" and \"_\", such as \"terrane\"", k)
		}
	}
	o.checkBounds(&f)
	return f.Err()
}

func checkResolvers(f *fault.List, resolvers []netip.AddrPort) {
	if len(resolvers) == 0 {
		f.Add("resolvers", "want at least one resolver, such as \"127.0.0.1:53\"")
	}
	for i, addr := range resolvers {
		if !addr.IsValid() || addr.Port() == 0 {
			f.Add(fmt.Sprintf("resolvers[%d]", i), "%q: want ADDRESS:PORT", addr)
		}
	}
}

// isLabel reports whether a TXT record can be below a host under this name, which may
// be several labels.
func isLabel(s string) bool {
	return len(s) <= 253 && !slices.ContainsFunc(strings.Split(s, "."), func(l string) bool { return !isWord(l) || len(l) > 63 })
}

// isWord reports whether s has letters, digits, "-" and "_" only.
func isWord(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

func (o *Options) checkBounds(f *fault.List) {
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"min_ttl", o.MinTTL}, {"stale_for", o.StaleFor}, {"idle_after", o.IdleAfter}, {"timeout", o.Timeout}, {"hedge_after", o.HedgeAfter}} {
		if d.value < 0 {
			f.Add(d.key, "%v: want 0 or more", d.value)
		}
	}
	if o.MinTTL > o.MaxTTL {
		f.Add("min_ttl", "%v: want at most %v", o.MinTTL, o.MaxTTL)
	}
	if min(o.MaxHosts, o.DomainHosts, o.MaxOthers, o.MaxLookups, o.Refreshers) < 0 {
		f.Add("max_hosts", "want bounds of 0 or more")
	}
	for _, r := range []Rate{o.PerSource, o.PerDomain, o.Overall} {
		if r.Every <= 0 || r.Burst <= 0 {
			f.Add("rates", "%v: want a time above 0 and a burst above 0", r)
		}
	}
}

// withDefaults returns a copy that shares nothing with o.
func (o Options) withDefaults() Options {
	if o.Labels == nil {
		o.Labels = []string{"_keybase_pages", "_terrane"}
	}
	if o.Keys == nil {
		o.Keys = []string{"kbp", "terrane"}
	}
	o.Labels, o.Keys, o.Addresses = slices.Clone(o.Labels), slices.Clone(o.Keys), slices.Clone(o.Addresses)
	o.MinTTL = cmp.Or(o.MinTTL, defaultMinTTL)
	o.MaxTTL = cmp.Or(o.MaxTTL, maxTTL)
	o.StaleFor = cmp.Or(o.StaleFor, defaultStale)
	o.IdleAfter = cmp.Or(o.IdleAfter, defaultIdle)
	o.MaxHosts = cmp.Or(o.MaxHosts, defaultHosts)
	o.DomainHosts = cmp.Or(o.DomainHosts, defaultPerDomain)
	o.MaxOthers = cmp.Or(o.MaxOthers, defaultOthers)
	o.MaxLookups = cmp.Or(o.MaxLookups, defaultLookups)
	o.Refreshers = cmp.Or(o.Refreshers, defaultRefresh)
	o.PerSource = cmp.Or(o.PerSource, Rate{100 * time.Millisecond, 100})
	o.PerDomain = cmp.Or(o.PerDomain, Rate{100 * time.Millisecond, 100})
	o.Overall = cmp.Or(o.Overall, Rate{2 * time.Millisecond, 1000})
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// lifetime bounds how long the outcome of a lookup is kept.
func (o *Options) lifetime(verified bool, answers []answer) time.Duration {
	ttl := o.MaxTTL
	for i := range answers {
		// What is absent from a verified host expires unheeded: the records that are
		// there bring the next lookup soon enough.
		if !verified || !answers[i].none() {
			ttl = min(ttl, answers[i].ttl)
		}
	}
	if verified {
		return max(ttl, o.MinTTL)
	}
	return min(max(ttl, min(o.MinTTL, minNegative)), maxNegative)
}

func (o *Options) failureTTL() time.Duration { return min(o.MinTTL, failureTTL) }
