package dnsverify

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/terrane/terrane/dnsverify/dnstest"
	"github.com/terrane/terrane/tenant"
)

func TestTransport(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fault  dnstest.Fault
		want   tenant.Standing
		reason string
	}{
		{"SERVFAIL", dnstest.ServFail, tenant.Unknown, "SERVFAIL"},
		{"REFUSED", dnstest.Refused, tenant.Unknown, "REFUSED"},
		{"DNSSEC bogus", dnstest.Bogus, tenant.Unknown, "DNSSEC Bogus"},
		{"silence", dnstest.Drop, tenant.Unknown, "no answer over udp (and not for 3 more)"},
		{"truncated", dnstest.Truncate, tenant.Verified, ""},
		{"truncated and no TCP", dnstest.TruncateDrop, tenant.Unknown, "tcp"},
		{"spoofed question", dnstest.SpoofQuestion, tenant.Unknown, "an answer to another question"},
		{"spoof before the answer", dnstest.SpoofThenTrue, tenant.Verified, ""},
		{"wrong id", dnstest.WrongID, tenant.Unknown, "no answer"},
		{"garbage", dnstest.Garbage, tenant.Unknown, "malformed"},
		{"referral", dnstest.Referral, tenant.Unknown, "not a recursive resolver"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := dnstest.Start(t)
			setAlice(t, s)
			s.Fail(tt.fault)
			id := alice
			if tt.want != tenant.Verified {
				id = ""
			}
			v := newVerifier(t, func(o *Options) { o.Timeout = 300 * time.Millisecond }, s.Addr())
			check(t, v.Verify(t.Context(), host), tt.want, id, tt.reason)
		})
	}
}

// What is wrong for sure denies, even while the rest does not answer.
func TestPartialFailure(t *testing.T) {
	for _, tt := range []struct {
		name    string
		records []string // of the host
		failing string
		want    tenant.Standing
	}{
		{"one label does not answer", []string{"A 192.0.2.10"}, atKBP, tenant.Verified},
		{"the label with the folder does not answer", []string{"A 192.0.2.10"}, atOwn, tenant.Unknown},
		{"foreign address, TXT does not answer", []string{"A 203.0.113.9"}, atOwn, tenant.Denied},
		{"no address, TXT does not answer", nil, atOwn, tenant.Denied},
		{"address does not answer", []string{"A 192.0.2.10"}, atHost, tenant.Unknown},
	} {
		s := dnstest.Start(t)
		s.MustSet(t, atHost, tt.records...)
		s.MustSet(t, atOwn, `TXT "kbp=/git/alice"`)
		s.FailName(tt.failing, dnstest.ServFail)
		t.Run(tt.name, func(t *testing.T) {
			id := alice
			if tt.want != tenant.Verified {
				id = ""
			}
			check(t, newVerifier(t, nil, s.Addr()).Verify(t.Context(), host), tt.want, id)
		})
	}
}

func TestOneResolverDead(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault dnstest.Fault
	}{
		{"silent", dnstest.Drop}, {"failing", dnstest.ServFail}, {"no resolver", dnstest.Referral},
	} {
		dead, good := dnstest.Start(t), dnstest.Start(t)
		setAlice(t, good)
		dead.Fail(tt.fault)
		v := newVerifier(t, nil, dead.Addr(), good.Addr())
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)

		// From now on the dead one is asked last.
		before := dead.Queries()
		for _, h := range []tenant.Host{"a.example.com", "b.example.com"} {
			check(t, v.Verify(t.Context(), h), tenant.Denied, "")
		}
		if tt.fault != dnstest.Drop && dead.Queries() != before {
			t.Errorf("%s: asked %d times more", tt.name, dead.Queries()-before)
		}
	}
	t.Run("port closed", func(t *testing.T) {
		good := dnstest.Start(t)
		setAlice(t, good)
		v := newVerifier(t, nil, closedPort(t), good.Addr())
		check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
	})
}

func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	addr := c.LocalAddr().(*net.UDPAddr).AddrPort()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return addr
}

// A lost datagram is sent again.
func TestRetransmission(t *testing.T) {
	s := dnstest.Start(t)
	setAlice(t, s)
	s.Fail(dnstest.Drop)
	v := newVerifier(t, func(o *Options) { o.Timeout = 5 * time.Second }, s.Addr())
	go func() {
		_ = s.AwaitQueries(t.Context(), 4)
		s.Fail(dnstest.None)
	}()
	check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
}

func newClient(t testing.TB, resolvers ...netip.AddrPort) *Client {
	t.Helper()
	c, err := NewClient(ClientOptions{Resolvers: resolvers, Timeout: 2 * time.Second, HedgeAfter: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLookupIP(t *testing.T) {
	s := dnstest.Start(t)
	s.MustSet(t, "api.example.com", "A 203.0.113.1", "A 203.0.113.2", "AAAA 2001:db8::1")
	s.MustSet(t, "alias.example.com", "CNAME api.example.com.")
	s.MustSet(t, "loop.example.com", "CNAME loop.example.com.")
	s.FailName("broken.example.com", dnstest.ServFail)
	s.FailName("silent.example.com", dnstest.Drop)
	c := newClient(t, s.Addr())
	for _, tt := range []struct {
		name                         string
		ipv6                         bool
		want                         []string
		notFound, temporary, timeout bool
	}{
		{name: "api.example.com", want: []string{"203.0.113.1", "203.0.113.2"}},
		{name: "API.example.com.", ipv6: true, want: []string{"2001:db8::1"}},
		{name: "alias.example.com", want: []string{"203.0.113.1", "203.0.113.2"}},
		{name: "none.example.com", notFound: true},
		{name: "a..b", notFound: true},
		{name: "", notFound: true},
		{name: "loop.example.com", notFound: true},
		{name: "broken.example.com", temporary: true},
		{name: "silent.example.com", temporary: true, timeout: true},
	} {
		ips, err := c.LookupIP(t.Context(), tt.name, tt.ipv6)
		var got []string
		for _, ip := range ips {
			got = append(got, ip.String())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %v, %v; want %v", tt.name, got, err, tt.want)
		}
		var e *net.DNSError
		if errors.As(err, &e) != (tt.want == nil) {
			t.Errorf("%q: %v", tt.name, err)
		} else if e != nil && (e.IsNotFound != tt.notFound || e.IsTemporary != tt.temporary || e.IsTimeout != tt.timeout) {
			t.Errorf("%q: %+v", tt.name, e)
		}
		if err != nil && strings.Contains(err.Error(), s.Addr().Addr().String()) {
			t.Errorf("%q: a guest is told of a resolver: %v", tt.name, err)
		}
	}
}

func TestQuery(t *testing.T) {
	s := dnstest.Start(t)
	s.MustSet(t, "api.example.com", "MX 10 mail.example.com.")
	s.FailName("broken.example.com", dnstest.ServFail)
	s.FailName("silent.example.com", dnstest.Drop)
	c := newClient(t, s.Addr())
	const id = 0x1234
	for _, tt := range []struct {
		name  string
		rcode int
		fails bool
	}{
		{"api.example.com.", dns.RcodeSuccess, false},
		{"none.example.com.", dns.RcodeNameError, false},
		{"broken.example.com.", dns.RcodeServerFailure, false},
		{"silent.example.com.", 0, true},
	} {
		m := new(dns.Msg).SetQuestion(tt.name, dns.TypeMX)
		m.Id = id
		wire, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := c.Query(t.Context(), wire)
		if tt.fails {
			if err == nil || err.Error() != "no recursive resolver answered" {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		got := new(dns.Msg)
		if err != nil || got.Unpack(raw) != nil {
			t.Fatalf("%s: %v, %x", tt.name, err, raw)
		}
		if got.Id != id || got.Rcode != tt.rcode || got.Question[0] != m.Question[0] {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func TestQueryRefusesOddMessages(t *testing.T) {
	s := dnstest.Start(t)
	c := newClient(t, s.Addr())
	for _, tt := range []struct {
		name   string
		change func(*dns.Msg)
	}{
		{"no question", func(m *dns.Msg) { m.Question = nil }},
		{"two questions", func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }},
		{"a response", func(m *dns.Msg) { m.Response = true }},
		{"an update", func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }},
		{"chaos", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }},
		{"zone transfer", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }},
		{"answers", func(m *dns.Msg) {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeA}, A: net.IPv4zero}}
		}},
		{"extra records", func(m *dns.Msg) {
			m.Extra = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeA}, A: net.IPv4zero}}
		}},
		{"two OPT", func(m *dns.Msg) { m.SetEdns0(1232, true); m.SetEdns0(1232, true) }},
		{"too long", func(m *dns.Msg) {
			m.SetEdns0(1232, true)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, 600)}}
		}},
	} {
		m := new(dns.Msg).SetQuestion("example.com.", dns.TypeA)
		tt.change(m)
		wire, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Query(t.Context(), wire); err == nil {
			t.Errorf("%s: forwarded", tt.name)
		}
	}
	if n := s.Queries(); n != 0 {
		t.Errorf("%d queries went upstream", n)
	}
}

// Each caller that gives up frees its slot.
func TestClientBounded(t *testing.T) {
	s := dnstest.Start(t)
	s.Fail(dnstest.Drop)
	c, err := NewClient(ClientOptions{Resolvers: s.Resolvers(), MaxInFlight: 1})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := c.LookupIP(ctx, "a.example.com", false); err == nil {
			t.Error("answered")
		}
		cancel()
	}
	s.Fail(dnstest.None)
	s.MustSet(t, "a.example.com", "A 203.0.113.1")
	if _, err := c.LookupIP(t.Context(), "a.example.com", false); err != nil {
		t.Error(err)
	}
}
