package zone

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *Server {
	t.Helper()
	s, err := New(Options{TTL: 7 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func ask(t *testing.T, s *Server, network, name string, qtype uint16) *dns.Msg {
	t.Helper()
	c := dns.Client{Net: network, Timeout: 2 * time.Minute}
	m, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, qtype), s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAnswers(t *testing.T) {
	s := start(t)
	here := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	if err := s.SetTenant("alice.localhost", here, "_terrane", `kbp=/git/a "b"`); err != nil {
		t.Fatal(err)
	}
	for name, record := range map[string]string{
		"alias.localhost": "60 CNAME ALICE.localhost.", "dangling.localhost": "CNAME gone.localhost.", "loop.localhost": "CNAME loop.localhost.",
		"big.localhost": "TXT " + Quote(strings.Repeat("x", 3000)),
	} {
		if err := s.Set(name, record); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name    string
		qtype   uint16
		rcode   int
		answers int
	}{
		{"alice.localhost.", dns.TypeA, dns.RcodeSuccess, 1},
		{"Alice.LOCALHOST.", dns.TypeAAAA, dns.RcodeSuccess, 1},
		{"alice.localhost.", dns.TypeTXT, dns.RcodeSuccess, 0},
		{"_terrane.alice.localhost.", dns.TypeTXT, dns.RcodeSuccess, 1},
		{"bob.localhost.", dns.TypeA, dns.RcodeNameError, 0},
		{"localhost.", dns.TypeA, dns.RcodeSuccess, 0}, // an empty non-terminal
		{"alias.localhost.", dns.TypeA, dns.RcodeSuccess, 2},
		{"alias.localhost.", dns.TypeCNAME, dns.RcodeSuccess, 1},
		{"dangling.localhost.", dns.TypeA, dns.RcodeNameError, 1},
		{"loop.localhost.", dns.TypeA, dns.RcodeSuccess, maxAliases},
	} {
		for _, network := range []string{"udp", "tcp"} {
			m := ask(t, s, network, tt.name, tt.qtype)
			if m.Rcode != tt.rcode || len(m.Answer) != tt.answers || !m.Authoritative {
				t.Errorf("%s: got %v, want rcode %d and %d answers", network, m, tt.rcode, tt.answers)
			}
			if negative := tt.answers == 0; negative && (len(m.Ns) != 1 || m.Ns[0].(*dns.SOA).Minttl != 7) {
				t.Errorf("%s: no SOA in %v", tt.name, m)
			}
		}
	}
	if m := ask(t, s, "udp", "big.localhost.", dns.TypeTXT); !m.Truncated {
		t.Error("3,000 bytes over UDP are not truncated")
	}
	if m := ask(t, s, "tcp", "big.localhost.", dns.TypeTXT); m.Truncated || len(m.Answer) != 1 {
		t.Error("3,000 bytes over TCP do not arrive")
	}
	if err := s.RemoveTenant("alice.localhost", "_terrane"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice.localhost.", "_terrane.alice.localhost."} {
		if m := ask(t, s, "udp", name, dns.TypeTXT); m.Rcode != dns.RcodeNameError {
			t.Errorf("%s: still there: %v", name, m)
		}
	}
}

// A change with one bad record changes nothing.
func TestUpdateIsWhole(t *testing.T) {
	s := start(t)
	for _, bad := range []string{"A nowhere", "", "NOTYPE x", `TXT "open`} {
		err := s.Update(map[string][]string{"good.localhost": {"A 127.0.0.1"}, "bad.localhost": {bad}})
		if err == nil || !strings.Contains(err.Error(), "bad.localhost") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if m := ask(t, s, "udp", "good.localhost.", dns.TypeA); m.Rcode != dns.RcodeNameError {
		t.Errorf("got %v", m)
	}
}

func TestNotItsBusiness(t *testing.T) {
	s := start(t)
	for name, change := range map[string]func(*dns.Msg){
		"chaos":        func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
		"two":          func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) },
		"no question":  func(m *dns.Msg) { m.Question = nil },
		"notification": func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify },
	} {
		m := new(dns.Msg).SetQuestion("x.localhost.", dns.TypeA)
		change(m)
		got, err := dns.Exchange(m, s.Addr().String())
		if err != nil || got.Rcode == dns.RcodeSuccess {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestBind(t *testing.T) {
	if _, err := New(Options{Addr: "localhost:53"}); err == nil || !strings.Contains(err.Error(), "IP:PORT") {
		t.Errorf("a name as address: %v", err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	if _, err := New(Options{Addr: taken.Addr().String()}); err == nil {
		t.Error("bound a port whose TCP is taken")
	}
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("ran without sockets")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if s, err = New(Options{}); err != nil {
			t.Fatal(err)
		}
		if err := s.Run(ended); err != nil {
			t.Errorf("ended before it ran: %v", err)
		}
	}
}
