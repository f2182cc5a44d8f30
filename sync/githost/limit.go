package githost

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	maxStrikes  = 10
	strikeEvery = 6 * time.Second // one is forgiven
	maxSources  = 10_000
)

// strikes counts failed logins per network.
type strikes struct {
	mu     sync.Mutex
	source map[netip.Prefix]*rate.Limiter
}

func newStrikes() *strikes { return &strikes{source: map[netip.Prefix]*rate.Limiter{}} }

// out reports whether the network of an address has failed too often of late.
func (s *strikes) out(addr string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.source[network(addr)]
	return l != nil && l.Tokens() < 1
}

// add notes a failed login.
func (s *strikes) add(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := network(addr)
	if s.source[from] == nil {
		if len(s.source) >= maxSources { // forgiving all is cheaper than a guess is worth
			clear(s.source)
		}
		s.source[from] = rate.NewLimiter(rate.Every(strikeEvery), maxStrikes)
	}
	s.source[from].Allow()
}

// network is what one party is likely to have all of.
func network(addr string) netip.Prefix {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := at.Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // bits fit
	return p
}
