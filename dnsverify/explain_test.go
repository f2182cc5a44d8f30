package dnsverify

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/terrane/terrane/dnsverify/dnstest"
	"github.com/terrane/terrane/tenant"
)

func find(t *testing.T, rep Report, resolver *dnstest.Server, name, kind string) Record {
	t.Helper()
	i := slices.IndexFunc(rep.Records, func(r Record) bool {
		return r.Resolver == resolver.Addr() && r.Name == name && r.Type == kind
	})
	if i < 0 {
		t.Fatalf("no %s of %s at %s in %+v", kind, name, resolver.Addr(), rep.Records)
	}
	return rep.Records[i]
}

func TestExplain(t *testing.T) {
	good, late := dnstest.Start(t), dnstest.Start(t)
	for _, s := range []*dnstest.Server{good, late} {
		setAlice(t, s)
		s.MustSet(t, "example.com", `CAA 0 issue "ca.example"`)
	}
	late.MustSet(t, atHost, "60 A 203.0.113.9")
	late.FailName(atKBP, dnstest.Bogus)
	v := newVerifier(t, nil, good.Addr(), late.Addr())
	rep := v.Explain(t.Context(), host, nil)
	check(t, rep.Verdict, tenant.Verified, alice)
	if rep.Agree || rep.Serving != nil {
		t.Errorf("agree %v, serving %v", rep.Agree, rep.Serving)
	}
	for _, tt := range []struct {
		at         *dnstest.Server
		name, kind string
		standing   tenant.Standing
		found      string
		problem    string
		mend       string
	}{
		{good, atHost, "A", tenant.Verified, "192.0.2.10", "", ""},
		{good, atHost, "AAAA", tenant.Verified, "", "", ""},
		{good, atOwn, "TXT", tenant.Verified, "kbp=/git/alice", "", ""},
		{good, "example.com", "CAA", tenant.Verified, `0 issue "ca.example"`, "", ""},
		{late, atHost, "A", tenant.Denied, "203.0.113.9", "not an address of this platform", "have A 192.0.2.10"},
		{late, atKBP, "TXT", tenant.Unknown, "", "DNSSEC Bogus", ""},
	} {
		r := find(t, rep, tt.at, tt.name, tt.kind)
		if r.Standing != tt.standing || strings.Join(r.Found, "|") != tt.found || !strings.Contains(r.Problem, tt.problem) ||
			(r.Problem == "") != (tt.problem == "") || !strings.Contains(r.Mend, tt.mend) {
			t.Errorf("got %+v, want %+v", r, tt)
		}
	}
	if v.known.len()+v.others.len() != 0 {
		t.Error("explaining changed a verdict")
	}

	v.Verify(t.Context(), host)
	late.Fail(dnstest.Drop)
	setAlice(t, late)
	late.FailName(atKBP, dnstest.None)
	late.Fail(dnstest.None)
	rep = v.Explain(t.Context(), host, nil)
	if !rep.Agree || rep.Serving == nil || rep.Serving.Standing != tenant.Verified || rep.Serving.Confirmed.IsZero() {
		t.Errorf("got %+v", rep)
	}
	data, err := json.Marshal(rep)
	if err != nil || !strings.Contains(string(data), `"standing":"verified"`) || !strings.Contains(string(data), `"found":[]`) {
		t.Errorf("%s: %v", data, err)
	}
}

// The CAs are compared with the nearest CAA records, climbing the tree (RFC 8659).
func TestExplainCAA(t *testing.T) {
	ours := []string{"letsencrypt.org", "pki.goog"}
	for name, tt := range map[string]struct {
		at, above []string
		cas       []string
		problem   string // empty: none
	}{
		"none":                {nil, nil, ours, ""},
		"ours":                {[]string{`CAA 0 issue "letsencrypt.org"`}, nil, ours, ""},
		"our second":          {[]string{`CAA 0 issue "other.example"`, `CAA 0 issue "PKI.goog"`}, nil, ours, ""},
		"other":               {[]string{`CAA 0 issue "other.example"`}, nil, ours, "at www.example.com let none"},
		"nobody":              {[]string{`CAA 0 issue ";"`}, nil, ours, "let none"},
		"above":               {nil, []string{`CAA 0 issue "other.example"`}, ours, "at example.com let none"},
		"nearest counts":      {[]string{`CAA 0 issue "letsencrypt.org"`}, []string{`CAA 0 issue ";"`}, ours, ""},
		"wildcards only":      {[]string{`CAA 0 issuewild ";"`, `CAA 128 iodef "mailto:a@example.com"`}, nil, ours, ""},
		"critical":            {[]string{`CAA 128 tbs "x"`, `CAA 0 issue "letsencrypt.org"`}, nil, ours, "marked critical"},
		"our way to validate": {[]string{`CAA 0 issue "letsencrypt.org; accounturi=https://a; validationmethods=dns-01,http-01"`}, nil, ours, ""},
		"another way":         {[]string{`CAA 0 issue "letsencrypt.org; validationmethods=dns-01"`}, nil, ours, "let none"},
		"no CAs":              {[]string{`CAA 0 issue ";"`}, nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := dnstest.Start(t)
			setAlice(t, s)
			s.MustSet(t, atHost, append([]string{"A 192.0.2.10"}, tt.at...)...)
			s.MustSet(t, "example.com", tt.above...)
			rep := newVerifier(t, nil, s.Addr()).Explain(t.Context(), host, tt.cas)
			i := slices.IndexFunc(rep.Records, func(r Record) bool { return r.Type == "CAA" })
			r := rep.Records[i]
			if !strings.Contains(r.Problem, tt.problem) || (r.Problem == "") != (tt.problem == "") || (r.Mend == "") != (tt.problem == "") ||
				(r.Standing == tenant.Verified) != (tt.problem == "") || rep.Verdict.Standing != tenant.Verified {
				t.Errorf("%+v, %+v", r, rep.Verdict)
			}
		})
	}
}

func TestRequireAD(t *testing.T) {
	for _, tt := range []struct {
		fault dnstest.Fault
		want  tenant.Standing
		id    tenant.ID
	}{
		{dnstest.None, tenant.Denied, ""},
		{dnstest.Signed, tenant.Verified, alice},
		{dnstest.Bogus, tenant.Unknown, ""},
	} {
		s := dnstest.Start(t)
		setAlice(t, s)
		s.Fail(tt.fault)
		v := newVerifier(t, func(o *Options) { o.RequireAD = true }, s.Addr())
		check(t, v.Verify(t.Context(), host), tt.want, tt.id, "")
	}
}

// A resolver that answers nothing for one label does not undo what another label says.
func TestLabelWithoutAnswer(t *testing.T) {
	refused := errors.New("REFUSED")
	for _, tt := range []struct {
		name      string
		kbp, own  []string
		kbpErr    error
		want      tenant.Standing
		wantID    tenant.ID
		requireAD bool
	}{
		{name: "the other one is right", own: []string{"terrane=/git/alice"}, kbpErr: refused, want: tenant.Verified, wantID: "/git/alice"},
		{name: "with DNSSEC", own: []string{"terrane=/git/alice"}, kbpErr: refused, want: tenant.Verified, wantID: "/git/alice", requireAD: true},
		{name: "the other one says nothing", kbpErr: refused, want: tenant.Unknown},
		{name: "the other one is wrong", own: []string{"terrane=git/alice"}, kbpErr: refused, want: tenant.Denied},
		{name: "the other one names two", own: []string{"terrane=/git/alice", "terrane=/git/bob"}, kbpErr: refused, want: tenant.Denied},
	} {
		p := policy{[]netip.Addr{netip.MustParseAddr("192.0.2.10")}, []string{"_kbp", "_terrane"}, []string{"kbp", "terrane"}, tt.requireAD}
		got, faults := p.judge("a.example", []answer{
			{name: "a.example", qtype: dns.TypeA, addrs: p.addresses, authentic: true},
			{name: "a.example", qtype: dns.TypeAAAA, authentic: true},
			{name: "_kbp.a.example", qtype: dns.TypeTXT, texts: tt.kbp, err: tt.kbpErr},
			{name: "_terrane.a.example", qtype: dns.TypeTXT, texts: tt.own, authentic: true},
		})
		if got.Standing != tt.want || got.Tenant != tt.wantID {
			t.Errorf("%s: %+v %+v, want %v of %q", tt.name, got, faults, tt.want, tt.wantID)
		}
	}
}
