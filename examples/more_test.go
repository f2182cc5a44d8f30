package examples_test

import (
	"encoding/base64"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/terrane/terrane/dnsverify/dnstest"
	"github.com/terrane/terrane/internal/fetch"
)

func doh(t *testing.T, s *site) {
	dns := dnstest.Start(t)
	dns.MustSet(t, "www.example.com", "60 A 192.0.2.7", "60 A 192.0.2.8")
	resolver, err := fetch.NewResolver([]string{dns.Resolvers()[0].String()})
	if err != nil {
		t.Fatal(err)
	}
	s.tenant.Resolver = resolver

	query := dnsmessage.Message{
		Header: dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{
			Name: dnsmessage.MustNewName("www.example.com."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET,
		}},
	}
	packed, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	const path, kind = "/dns-query", "application/dns-message"
	for _, a := range []answer{
		s.get(path + "?dns=" + base64.RawURLEncoding.EncodeToString(packed)),
		s.do("POST", path, string(packed), "Content-Type", kind),
	} {
		var m dnsmessage.Message
		if err := m.Unpack([]byte(a.body)); err != nil || a.code != 200 || m.ID != 7 || len(m.Answers) != 2 {
			t.Errorf("got %d, %v, %v, want two addresses", a.code, m, err)
		}
		a.has(t, "Content-Type", kind)
		a.has(t, "Cache-Control", "max-age=60")
	}
	s.do("POST", path, string(packed), "Content-Type", "text/plain").contains(t, 415, kind)
	s.do("POST", path, "short", "Content-Type", kind).contains(t, 400, "DNS message")
	s.get(path+"?dns=A").contains(t, 400, "DNS message")
	s.get(path).contains(t, 400, "DNS message")
	s.do("PUT", path, "").has(t, "Allow", "GET, HEAD, POST")
	s.do("POST", path, "a DNS message it is not", "Content-Type", kind).contains(t, 502, "did not answer")
}

func blog(t *testing.T, _ *site) { t.Skip("wasi") }

func links(t *testing.T, _ *site) { t.Skip("wasi") }
