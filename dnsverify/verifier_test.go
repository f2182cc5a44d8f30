package dnsverify

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/terrane/terrane/dnsverify/dnstest"
	"github.com/terrane/terrane/dnsverify/zone"
	"github.com/terrane/terrane/internal/fault"
	"github.com/terrane/terrane/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The platform of all tests.
var (
	ours = []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")}
)

const (
	host   = tenant.Host("www.example.com")
	atHost = "www.example.com"
	atKBP  = "_keybase_pages.www.example.com"
	atOwn  = "_terrane.www.example.com"
	alice  = tenant.ID("/git/alice")
)

// newVerifier makes one that asks the given resolvers, with waits as short as tests want them.
func newVerifier(t testing.TB, change func(*Options), resolvers ...netip.AddrPort) *Verifier {
	t.Helper()
	o := Options{Addresses: ours, Resolvers: resolvers, Timeout: time.Second, HedgeAfter: 20 * time.Millisecond}
	if change != nil {
		change(&o)
	}
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// setAlice makes the host verified.
func setAlice(t testing.TB, s *dnstest.Server) {
	t.Helper()
	if err := s.SetTenant(host, ours[:1], "_terrane", "kbp=/git/alice"); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, got tenant.Verdict, want tenant.Standing, id tenant.ID, reason ...string) {
	t.Helper()
	if got.Standing != want || got.Tenant != id {
		t.Errorf("got %s %q (%s), want %s %q", got.Standing, got.Tenant, got.Reason, want, id)
	}
	for _, r := range reason {
		if !strings.Contains(got.Reason, r) {
			t.Errorf("reason %q lacks %q", got.Reason, r)
		}
	}
	if got.Reason == "" || strings.ContainsAny(got.Reason, "\n\r\x00") || len(got.Reason) > 600 {
		t.Errorf("reason %q is not one readable sentence", got.Reason)
	}
}

func TestRecords(t *testing.T) {
	const (
		a4 = "A 192.0.2.10"
		a6 = "AAAA 2001:db8::10"
	)
	naming := []string{`TXT "kbp=/git/alice"`}
	here := []string{a4}
	long := "/git/" + strings.Repeat("long", 100)
	verified, denied := tenant.Verified, tenant.Denied
	for _, tt := range []struct {
		name   string
		at     []string            // records of the host
		kbp    []string            // of _keybase_pages
		own    []string            // of _terrane
		more   map[string][]string // of other names
		want   tenant.Standing
		tenant tenant.ID
		reason string
	}{
		// The TXT record.
		{name: "plain", at: here, kbp: naming, want: verified, tenant: alice, reason: "192.0.2.10"},
		{name: "own label and key", at: here, own: []string{`TXT "terrane=/git/alice"`}, want: verified, tenant: alice},
		{name: "keybase folder", at: here, kbp: []string{`TXT "kbp=/keybase/private/alice,kbwasm/"`}, want: verified, tenant: "/keybase/private/alice,kbwasm"},
		{name: "keybase git", at: here, kbp: []string{`TXT "kbp=git@keybase:private/alice/site"`}, want: verified, tenant: "git@keybase:private/alice/site"},
		{name: "other TXTs beside", at: here, kbp: []string{`TXT "v=spf1 -all"`, `TXT "kbpx=/git/bob"`, `TXT "KBP=/git/bob"`, naming[0]}, want: verified, tenant: alice},
		{name: "split", at: here, kbp: []string{`TXT "kbp=/gi" "t/al" "ice"`}, want: verified, tenant: alice},
		{name: "longer than one string", at: here, kbp: []string{"TXT " + zone.Quote("kbp="+long)}, want: verified, tenant: tenant.ID(long)},
		{name: "longer than a path", at: here, kbp: []string{"TXT " + zone.Quote("kbp=/"+strings.Repeat("a", 2000))}, want: denied, reason: "at most"},
		{name: "64 KB", at: here, kbp: []string{"TXT " + zone.Quote("kbp=/"+strings.Repeat("a", 60_000))}, want: denied, reason: "at most"},
		{name: "white space", at: here, kbp: []string{`TXT "\009 kbp= /git/alice  "`}, want: verified, tenant: alice},
		{name: "two different", at: here, kbp: []string{naming[0], `TXT "kbp=/git/bob"`}, want: denied, reason: "2 folders"},
		{name: "two different at two labels", at: here, kbp: naming, own: []string{`TXT "kbp=/git/bob"`}, want: denied, reason: atOwn},
		{name: "one good and one bad", at: here, kbp: naming, own: []string{`TXT "kbp=bob"`}, want: denied, reason: "keep one"},
		{name: "duplicates", at: here, kbp: []string{naming[0], `TXT "terrane=/git/alice"`, `TXT "kbp=/git/alice/"`}, own: naming, want: verified, tenant: alice},
		{name: "dot dot", at: here, kbp: []string{`TXT "kbp=/git/../etc"`}, want: denied, reason: `".."`},
		{name: "bad scheme", at: here, kbp: []string{`TXT "kbp=ftp://example.com/x"`}, want: denied, reason: "starts with neither"},
		{name: "empty value", at: here, kbp: []string{`TXT "kbp="`}, want: denied, reason: "names no folder"},
		{name: "empty string", at: here, kbp: []string{`TXT ""`}, want: denied, reason: "no TXT record"},
		{name: "control characters", at: here, kbp: []string{`TXT "kbp=/git/a\010b\000"`}, want: denied, reason: "control character"},
		{name: "UTF-8", at: here, kbp: []string{"TXT " + zone.Quote("kbp=/git/ålice")}, want: verified, tenant: "/git/ålice"},
		{name: "not UTF-8", at: here, kbp: []string{`TXT "kbp=/git/\255\254"`}, want: denied, reason: "not UTF-8"},
		{name: "quotes and backslash", at: here, kbp: []string{`TXT "kbp=/git/\"a\\b"`}, want: denied, reason: "backslash"},
		{name: "no TXT", at: here, want: denied, reason: atKBP + " or " + atOwn},
		{name: "TXT by CNAME", at: here, own: []string{"CNAME t.example.net."}, more: map[string][]string{"t.example.net": naming}, want: verified, tenant: alice},
		{name: "TXT at the host itself", at: []string{a4, naming[0]}, want: denied, reason: "no TXT record"},

		// The addresses.
		{name: "A and AAAA", at: []string{a4, a6}, kbp: naming, want: verified, tenant: alice},
		{name: "AAAA only", at: []string{a6}, kbp: naming, want: verified, tenant: alice, reason: "2001:db8::10"},
		{name: "elsewhere", at: []string{"A 203.0.113.9"}, kbp: naming, want: denied, reason: "203.0.113.9"},
		{name: "mixed", at: []string{a4, "A 203.0.113.9"}, kbp: naming, want: denied, reason: "A 192.0.2.10 or AAAA 2001:db8::10"},
		{name: "foreign AAAA", at: []string{a4, "AAAA 2001:db8::666"}, kbp: naming, want: denied, reason: "2001:db8::666"},
		{name: "mapped AAAA", at: []string{a4, "AAAA ::ffff:192.0.2.10"}, kbp: naming, want: denied, reason: "AAAA record ::ffff:192.0.2.10"},
		{name: "none", kbp: naming, want: denied, reason: "no A or AAAA record"},
		{name: "nothing at all", want: denied, reason: "no TXT record"},
		{name: "CNAME", at: []string{"CNAME edge.example.net."}, more: map[string][]string{"edge.example.net": here}, kbp: naming, want: verified, tenant: alice},
		{name: "CNAME elsewhere", at: []string{"CNAME edge.example.net."}, more: map[string][]string{"edge.example.net": {"A 203.0.113.9"}}, kbp: naming, want: denied, reason: "a CNAME to edge.example.net"},
		{name: "chain", at: []string{"CNAME c1.example.net."}, more: chain(5, a4), kbp: naming, want: verified, tenant: alice},
		{name: "too long a chain", at: []string{"CNAME c1.example.net."}, more: chain(12, a4), kbp: naming, want: denied, reason: "more than 8 CNAMEs"},
		{name: "loop", at: []string{"CNAME c1.example.net."}, more: map[string][]string{"c1.example.net": {"CNAME c2.example.net."}, "c2.example.net": {"CNAME C1.example.net."}}, kbp: naming, want: denied, reason: "loop"},
		{name: "own tail", at: []string{"CNAME www.example.com."}, kbp: naming, want: denied, reason: "loop"},
		{name: "dangling", at: []string{"CNAME gone.example.net."}, kbp: naming, want: denied, reason: "(a CNAME to gone.example.net) has no A or AAAA"},
	} {
		for _, failure := range []dnstest.Fault{dnstest.None, dnstest.AliasOnly} {
			t.Run(fmt.Sprint(tt.name, "/", failure), func(t *testing.T) {
				s := dnstest.Start(t)
				s.Fail(failure)
				records := map[string][]string{atHost: tt.at, atKBP: tt.kbp, atOwn: tt.own}
				for name, rrs := range tt.more {
					records[name] = rrs
				}
				if err := s.Update(records); err != nil {
					t.Fatal(err)
				}
				v := newVerifier(t, nil, s.Addr())
				check(t, v.Verify(t.Context(), host), tt.want, tt.tenant, tt.reason)
			})
		}
	}
}

// chain is n CNAMEs from c1.example.net to a record.
func chain(n int, end string) map[string][]string {
	m := make(map[string][]string)
	for i := 1; i < n; i++ {
		m[fmt.Sprintf("c%d.example.net", i)] = []string{fmt.Sprintf("CNAME c%d.example.net.", i+1)}
	}
	m[fmt.Sprintf("c%d.example.net", n)] = []string{end}
	return m
}

func TestApexAndLongNames(t *testing.T) {
	s := dnstest.Start(t)
	v := newVerifier(t, nil, s.Addr())
	apex := tenant.Host("example.com")
	if err := s.SetTenant(apex, ours, "_keybase_pages", "kbp=/git/alice"); err != nil {
		t.Fatal(err)
	}
	check(t, v.Verify(t.Context(), apex), tenant.Verified, alice)
	long, err := tenant.ParseHost(strings.Repeat(strings.Repeat("a", 61)+".", 4) + "com") // no room for a label before it
	if err != nil {
		t.Fatal(err)
	}
	s.MustSet(t, string(long), "A 192.0.2.10")
	check(t, v.Verify(t.Context(), long), tenant.Denied, "", "no valid domain name")
}

func TestMetrics(t *testing.T) {
	s := dnstest.Start(t)
	setAlice(t, s)
	reg := prometheus.NewPedanticRegistry()
	v := newVerifier(t, func(o *Options) { o.Metrics = reg }, s.Addr())
	v.Verify(t.Context(), host)
	v.Verify(t.Context(), "other.example.com")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{
		"lookups_total": 2, "refusals_total": 0, "query_duration_seconds": 8,
		"verified_hosts": 1, "refused_hosts": 1, "stale_hosts": 0, "refresh_lag_seconds": 0,
	} {
		if n, ok := got["terrane_dnsverify_"+name]; !ok || n != want {
			t.Errorf("%s: got %v, %v; want %v", name, n, ok, want)
		}
	}
	if _, err := New(v.opt); err == nil {
		t.Error("registered twice")
	}
}

func TestBadOptions(t *testing.T) {
	good := Options{Addresses: ours, Resolvers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}}
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   []string
	}{
		{"good", func(*Options) {}, nil},
		{"no addresses", func(o *Options) { o.Addresses = nil }, []string{"addresses: want"}},
		{"odd addresses", func(o *Options) {
			o.Addresses = []netip.Addr{{}, netip.IPv6Unspecified(), netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("224.0.0.1"), ours[0]}
		}, []string{"addresses[0]: invalid IP: want", "addresses[1]: ::: want", "addresses[2]: fe80::1%eth0: want", "addresses[3]: 224.0.0.1: want"}},
		{"mapped address", func(o *Options) { o.Addresses = []netip.Addr{ours[0], netip.MustParseAddr("::ffff:192.0.2.7")} },
			[]string{"addresses[1]: ::ffff:192.0.2.7: A records have it as 192.0.2.7: write that"}},
		{"no resolver", func(o *Options) { o.Resolvers = nil }, []string{"resolvers: want at least one"}},
		{"resolver without port", func(o *Options) { o.Resolvers = []netip.AddrPort{{}} }, []string{`resolvers[0]: "invalid AddrPort": want ADDRESS:PORT`}},
		{"empty lists", func(o *Options) { o.Labels, o.Keys = []string{}, []string{} }, []string{"labels: 0 of them: want 1 to 8", "keys: 0 of them: want 1 to 8"}},
		{"names of two labels", func(o *Options) { o.Labels = []string{"_a._b"} }, nil},
		{"all faults at once", func(o *Options) {
			o.Labels, o.Keys, o.MinTTL, o.MaxTTL, o.MaxHosts = []string{"_a", "a..b", "", "a b"}, []string{"k="}, time.Hour, time.Minute, -1
		}, []string{`labels[1]: "a..b": want`, `labels[2]: "": want`, `labels[3]: "a b": want`, `keys[0]: "k=": want`, "min_ttl: 1h0m0s: want at most 1m0s", "max_hosts: want"}},
	} {
		o := good
		tt.change(&o)
		_, err := New(o)
		faults, rest := fault.Split(err)
		if len(faults) != len(tt.want) || rest != nil {
			t.Errorf("%s: got\n%v\nwant\n%s", tt.name, err, strings.Join(tt.want, "\n"))
			continue
		}
		for i, f := range faults {
			if !strings.HasPrefix(f.Error(), tt.want[i]) {
				t.Errorf("%s: fault %d is %v, want %s", tt.name, i, f, tt.want[i])
			}
		}
	}
}
