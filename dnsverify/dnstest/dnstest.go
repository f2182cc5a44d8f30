// Package dnstest is a DNS server that misbehaves on demand, for tests of what
// real servers cannot be made to do: silence, truncation, spoofed answers. It is
// the zone server with faults in front, and counts what it is asked. Only tests
// import it.
package dnstest

import (
	"context"
	"net/netip"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/terrane/terrane/dnsverify/zone"
)

// Fault is a way to answer wrongly.
type Fault int

// The faults.
const (
	None          Fault = iota
	ServFail            // SERVFAIL
	Refused             // REFUSED
	Bogus               // SERVFAIL with the extended error "DNSSEC bogus" (RFC 8914)
	Drop                // silence
	Truncate            // TC and no records over UDP; whole over TCP
	TruncateDrop        // TC over UDP, and silence over TCP
	SpoofQuestion       // an answer to another question first, then silence
	SpoofThenTrue       // the same, and then the true answer
	WrongID             // an answer under another id
	Garbage             // bytes that are no message, under the right id
	AliasOnly           // the first CNAME without its target
	Referral            // name servers instead of an answer
	Hold                // silence until Release, then the true answer
	Signed              // the true answer with the AD bit
)

// Server is a zone server with faults. Records are set as in package zone.
type Server struct {
	*zone.Server

	mu      sync.Mutex
	all     Fault
	byName  map[string]Fault // canonical name
	queries map[string]int   // "name TYPE"
	total   int
	asked   chan struct{} // closed and replaced with each query
	release chan struct{} // closed by Release
}

// Start runs a server on a loopback port until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{byName: make(map[string]Fault), queries: make(map[string]int), asked: make(chan struct{}), release: make(chan struct{})}
	srv, err := zone.New(zone.Options{Wrap: func(next dns.Handler) dns.Handler {
		return dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { s.serve(next, w, q) })
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.Server = srv
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		s.Release()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// MustSet is Set for tests.
func (s *Server) MustSet(t testing.TB, name string, records ...string) {
	t.Helper()
	if err := s.Set(name, records...); err != nil {
		t.Fatal(err)
	}
}

// Resolvers is the server's address, as options take it.
func (s *Server) Resolvers() []netip.AddrPort { return []netip.AddrPort{s.Addr()} }

// Fail sets the fault for all names.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = f
}

// FailName sets the fault for one name.
func (s *Server) FailName(name string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byName[dns.CanonicalName(name)] = f
}

// Release lets go of what Hold holds, and ends that fault.
func (s *Server) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.release)
	s.release = make(chan struct{})
	if s.all == Hold {
		s.all = None
	}
	for name, f := range s.byName {
		if f == Hold {
			delete(s.byName, name)
		}
	}
}

// Queries is how often the server was asked at all.
func (s *Server) Queries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// QueriesFor is how often it was asked for one name and type, such as "TXT".
func (s *Server) QueriesFor(name, qtype string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries[dns.CanonicalName(name)+" "+qtype]
}

// AwaitQueries returns once the server was asked n times in all, or ctx ends.
func (s *Server) AwaitQueries(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		total, asked := s.total, s.asked
		s.mu.Unlock()
		if total >= n {
			return nil
		}
		select {
		case <-asked:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// note counts a query and returns its fault.
func (s *Server) note(q dns.Question) (Fault, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := dns.CanonicalName(q.Name)
	s.queries[name+" "+dns.TypeToString[q.Qtype]]++
	s.total++
	close(s.asked)
	s.asked = make(chan struct{})
	if f, ok := s.byName[name]; ok {
		return f, s.release
	}
	return s.all, s.release
}
