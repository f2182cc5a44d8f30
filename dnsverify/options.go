package dnsverify

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// Options are what a Verifier needs. Zero values mean the default named beside
// each field; Addresses and Resolvers have none.
type Options struct {
	Addresses []netip.Addr     // what A and AAAA records must be
	Resolvers []netip.AddrPort // recursive resolvers, preferred first
	Labels    []string         // where the TXT stands: "_keybase_pages", "_terrane"
	Keys      []string         // what it starts with, before "=": "kbp", "terrane"
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

// validate fills in the defaults, or returns all faults at once.
func (o *Options) validate() error {
	var errs []error
	if len(o.Addresses) == 0 {
		errs = append(errs, errors.New("no addresses: name those that a tenant's A and AAAA records must be"))
	}
	for _, ip := range o.Addresses {
		if !ip.IsValid() || ip.IsUnspecified() || ip.Zone() != "" || ip.Is4In6() {
			errs = append(errs, fmt.Errorf("address %s: want a plain IPv4 or IPv6 address", ip))
		}
	}
	if len(o.Labels) == 0 {
		o.Labels = []string{"_keybase_pages", "_terrane"}
	}
	if len(o.Keys) == 0 {
		o.Keys = []string{"kbp", "terrane"}
	}
	if len(o.Labels) > maxLabels || len(o.Keys) > maxLabels {
		errs = append(errs, fmt.Errorf("%d labels and %d keys: at most %d of each", len(o.Labels), len(o.Keys), maxLabels))
	}
	for _, l := range o.Labels {
		if _, ok := dns.IsDomainName(l); !ok || l == "" || l[0] == '.' || l[len(l)-1] == '.' || strings.Contains(l, `\`) {
			errs = append(errs, fmt.Errorf("label %q: not a domain name", l))
		}
	}
	for _, k := range o.Keys {
		if k == "" || strings.ContainsAny(k, "= \t") {
			errs = append(errs, fmt.Errorf("key %q: want a word without \"=\"", k))
		}
	}
	o.MinTTL = cmp.Or(o.MinTTL, defaultMinTTL)
	o.MaxTTL = cmp.Or(o.MaxTTL, maxTTL)
	o.StaleFor = cmp.Or(o.StaleFor, defaultStale)
	o.IdleAfter = cmp.Or(o.IdleAfter, defaultIdle)
	if o.MinTTL < 0 || o.MaxTTL < o.MinTTL || o.StaleFor < 0 || o.IdleAfter < 0 || o.Timeout < 0 || o.HedgeAfter < 0 {
		errs = append(errs, errors.New("durations: none may be negative, nor MinTTL above MaxTTL"))
	}
	for _, n := range []struct {
		field *int
		def   int
	}{{&o.MaxHosts, defaultHosts}, {&o.DomainHosts, defaultPerDomain}, {&o.MaxOthers, defaultOthers}, {&o.MaxLookups, defaultLookups}, {&o.Refreshers, defaultRefresh}} {
		if *n.field = cmp.Or(*n.field, n.def); *n.field < 0 {
			errs = append(errs, errors.New("bounds: none may be negative"))
		}
	}
	for _, r := range []struct {
		field *Rate
		def   Rate
	}{
		{&o.PerSource, Rate{100 * time.Millisecond, 100}},
		{&o.PerDomain, Rate{100 * time.Millisecond, 100}},
		{&o.Overall, Rate{2 * time.Millisecond, 1000}},
	} {
		if *r.field = cmp.Or(*r.field, r.def); r.field.Every <= 0 || r.field.Burst <= 0 {
			errs = append(errs, errors.New("rates: want a time above zero and a burst above zero"))
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Labels, o.Keys, o.Addresses = slices.Clone(o.Labels), slices.Clone(o.Keys), slices.Clone(o.Addresses)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("dnsverify: %w", err)
	}
	return nil
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
