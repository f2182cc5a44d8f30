package fetch

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer answers A, AAAA and TXT questions over UDP and TCP.
type dnsServer struct {
	addr string
	a    map[string]func() string
	txt  map[string]string
	// forge makes it answer wrongly first, as an attacker would.
	forge bool
}

func newDNS(t testing.TB, s *dnsServer) *dnsServer {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = udp.LocalAddr().String()
	tcp, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.serveUDP(udp) })
	wg.Go(func() { s.serveTCP(tcp) })
	t.Cleanup(func() {
		_ = udp.Close()
		_ = tcp.Close()
		wg.Wait()
	})
	return s
}

func (s *dnsServer) serveUDP(conn net.PacketConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if s.forge {
			forged := s.answer(buf[:n])
			forged[0]++
			_, _ = conn.WriteTo(forged, from)
			_, _ = conn.WriteTo([]byte("noise"), from)
		}
		answer := s.answer(buf[:n])
		if len(answer) > 512 {
			answer = answer[:12+n-12]
			copy(answer[12:], buf[12:n])
			answer[2] |= truncated
			copy(answer[6:12], make([]byte, 6))
		}
		_, _ = conn.WriteTo(answer, from)
	}
}

func (s *dnsServer) serveTCP(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err == nil {
			query := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(conn, query); err == nil {
				answer := s.answer(query)
				_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
			}
		}
		_ = conn.Close()
	}
}

func (s *dnsServer) answer(query []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: h.ID, Response: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	name := strings.ToLower(q.Name.String())
	rr := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
	if text, ok := s.txt[name]; ok {
		body := &dnsmessage.TXTResource{}
		for ; len(text) > 0; text = text[min(255, len(text)):] {
			body.TXT = append(body.TXT, text[:min(255, len(text))])
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: rr, Body: body})
	} else if get, ok := s.a[name]; !ok {
		m.RCode = dnsmessage.RCodeNameError
	} else if q.Type == dnsmessage.TypeA {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: rr, Body: &dnsmessage.AResource{A: netip.MustParseAddr(get()).As4()}})
	} else if q.Type == dnsmessage.TypeAAAA && strings.HasPrefix(name, "six") {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: rr, Body: &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db8::6").As16()}})
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

func question(t testing.TB, name string, typ dnsmessage.Type) []byte {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 0x1234, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: typ, Class: dnsmessage.ClassINET}},
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func TestQuery(t *testing.T) {
	dns := newDNS(t, &dnsServer{
		forge: true,
		txt:   map[string]string{"long.example.": strings.Repeat("x", 2000)},
		a:     map[string]func() string{"short.example.": func() string { return "192.0.2.1" }},
	})
	r, err := NewResolver([]string{dns.addr})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"short.example.": 16, "long.example.": 2000, "absent.example.": 0} {
		typ := dnsmessage.TypeA
		if name == "long.example." {
			typ = dnsmessage.TypeTXT
		}
		query := question(t, name, typ)
		answer, err := r.Query(t.Context(), query)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var m dnsmessage.Message
		if err := m.Unpack(answer); err != nil || m.ID != 0x1234 || len(answer) < len(query)+want {
			t.Errorf("%s: %v, id %#x, %d bytes", name, err, m.ID, len(answer))
		}
	}
}

func TestQueryRefusesWhatIsNone(t *testing.T) {
	r, err := NewResolver([]string{"127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	good := question(t, "example.com.", dnsmessage.TypeA)
	answer := append([]byte(nil), good...)
	answer[2] |= 0x80
	two := append([]byte(nil), good...)
	two[5] = 2
	for _, q := range [][]byte{nil, good[:5], good[:len(good)-1], answer, two, []byte("hello world, this is no message")} {
		if _, err := r.Query(t.Context(), q); !errors.Is(err, errNoQuery) {
			t.Errorf("%q: got %v", q, err)
		}
	}
	if _, err := r.Query(t.Context(), good); !errors.Is(err, errNoAnswer) {
		t.Errorf("no server: got %v", err)
	}
	if _, err := NewResolver([]string{"dns.example"}); err == nil {
		t.Error("a resolver without an address was taken")
	}
}

func TestQueryEndsWithItsContext(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	r, err := NewResolver([]string{silent.LocalAddr().String()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Query(ctx, question(t, "example.com.", dnsmessage.TypeA)); err == nil {
		t.Error("an answer from nobody")
	}
	if ctx.Err() == nil {
		t.Error("gave up before its time")
	}
}

func TestLookupIP(t *testing.T) {
	dns := newDNS(t, &dnsServer{a: map[string]func() string{"six.example.": func() string { return "192.0.2.6" }}})
	r, err := NewResolver([]string{dns.addr})
	if err != nil {
		t.Fatal(err)
	}
	for ipv6, want := range map[bool]string{false: "192.0.2.6", true: "2001:db8::6"} {
		got, err := r.LookupIP(t.Context(), "six.example", ipv6)
		if err != nil || len(got) != 1 || got[0].Unmap().String() != want {
			t.Errorf("ipv6 %v: got %v, %v", ipv6, got, err)
		}
	}
	if _, err := r.LookupIP(t.Context(), "absent.example", false); err == nil || strings.Contains(err.Error(), "127.") {
		t.Errorf("absent: %v", err)
	}
}

func FuzzDNSMessage(f *testing.F) {
	f.Add(question(f, "example.com.", dnsmessage.TypeA))
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, m []byte) {
		if q, _, ok := parse(m, false); ok {
			answers(m, m, q)
		}
	})
}
