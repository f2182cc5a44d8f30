package dnsverify

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/terrane/terrane/dnsverify/zone"
	"github.com/terrane/terrane/tenant"
)

// Whatever bytes stand in a TXT record, they come out as they went in, and judging
// them names either one canonical tenant or a readable reason.
func FuzzTXT(f *testing.F) {
	for _, s := range []string{"kbp=/git/alice", " terrane=/x/\x00", `kbp=/a\b"c`, "kbp=", "v=spf1", "kbp=/" + strings.Repeat("ü", 300), "\xff=\xff"} {
		f.Add(s)
	}
	p := &policy{addresses: ours, labels: []string{"_terrane"}, keys: []string{"kbp", "terrane"}}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 4000 {
			return
		}
		rr, err := dns.NewRR("x. TXT " + zone.Quote(s))
		if err != nil {
			t.Fatal(err)
		}
		wire, err := (&dns.Msg{Answer: []dns.RR{rr}}).Pack()
		if err != nil {
			t.Fatal(err)
		}
		var m dns.Msg
		if err := m.Unpack(wire); err != nil {
			t.Fatal(err)
		}
		txt := text(m.Answer[0].(*dns.TXT))
		if txt != s {
			t.Fatalf("%q came out as %q", s, txt)
		}
		v, _ := p.judge(host, []answer{
			{name: atHost, qtype: dns.TypeA, addrs: ours[:1]}, {name: atHost, qtype: dns.TypeAAAA},
			{name: atOwn, qtype: dns.TypeTXT, texts: []string{txt}},
		})
		id, err := tenant.ParseID(string(v.Tenant))
		if (v.Standing == tenant.Verified) != (err == nil && id == v.Tenant) {
			t.Errorf("%q: %+v", s, v)
		}
		check(t, v, v.Standing, v.Tenant)
	})
}

// A query that is forwarded is one that was asked, and bounded.
func FuzzQuery(f *testing.F) {
	m := new(dns.Msg).SetQuestion("example.com.", dns.TypeAAAA)
	plain, _ := m.Pack()
	m.SetEdns0(4096, true)
	edns, _ := m.Pack()
	f.Add(plain)
	f.Add(edns)
	f.Add(plain[:headerSize])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, wire []byte) {
		q, err := parseQuery(wire)
		if err != nil {
			return
		}
		out, err := q.Pack()
		if err != nil || len(out) > maxQuery {
			t.Fatalf("%x gave %v: %v", wire, q, err)
		}
		again, err := parseQuery(out)
		if err != nil || again.Question[0] != q.Question[0] {
			t.Errorf("%v came again as %v: %v", q, again, err)
		}
	})
}

// An answer from the wire never panics, and never speaks for another name.
func FuzzAnswer(f *testing.F) {
	m := question("www.example.com.", dns.TypeTXT)
	for _, s := range []string{`www.example.com. TXT "a"`, "www.example.com. CNAME b.", "b. CNAME www.example.com.", `b. TXT "b"`} {
		rr, _ := dns.NewRR(s)
		m.Answer = append(m.Answer, rr)
	}
	m.Response = true
	wire, _ := m.Pack()
	f.Add(wire)
	f.Fuzz(func(t *testing.T, wire []byte) {
		got, err := checked(m, wire)
		if err != nil {
			return
		}
		a, at := answer{name: atHost, qtype: dns.TypeTXT, ttl: maxTTL}, "www.example.com."
		if done := a.take(got, &at); len(a.aliases) > maxAliases+1 || a.ttl < 0 || !done && len(a.texts) > 0 {
			t.Errorf("%+v", a)
		}
		if len(a.texts) > 0 && len(got.Answer) == 0 {
			t.Error("texts from nowhere")
		}
	})
}

// Whatever stands in a CAA record, only one that names our CA first allows it.
func FuzzCAA(f *testing.F) {
	for _, s := range []string{"", ";", "ca.example", " ca.example. ; a=b", "ca.example;validationmethods=dns-01", "ca.example;;=;validationmethods=,http-01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		first, _, _ := strings.Cut(value, ";")
		if caaAllows(value, []string{"ca.example"}) && !strings.EqualFold(strings.Trim(strings.TrimSpace(first), "."), "ca.example") {
			t.Errorf("%q allows our CA", value)
		}
	})
}
