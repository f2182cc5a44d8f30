package bgp

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// session is what is known of the session with one router. It is safe for concurrent use.
type session struct {
	changed func() // must not block

	mu sync.Mutex
	sessionState
}

type sessionState struct {
	established bool
	since       time.Time // of established's last change
	reason      string    // why it is down
	sent        map[netip.Prefix]bool
	ignored     uint64 // updates received
	lost        uint64 // times it went down
	asn         uint32 // of the router's last OPEN
	id          string
}

func newSession(n *Neighbor, changed func()) *session {
	why := "connecting"
	if n.Passive {
		why = "waiting for the router to connect"
	}
	return &session{changed: changed, sessionState: sessionState{since: time.Now(), reason: why}}
}

// get is a copy, and the prefixes that the router holds, sorted.
func (s *session) get() (sessionState, []netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sent []netip.Prefix
	for p := range s.sent {
		sent = append(sent, p)
	}
	slices.SortFunc(sent, netip.Prefix.Compare)
	return s.sessionState, sent
}

// change applies f and tells.
func (s *session) change(f func(*sessionState)) {
	s.mu.Lock()
	f(&s.sessionState)
	s.mu.Unlock()
	s.changed()
}

func (s *session) up() {
	s.mu.Lock()
	already := s.established
	s.mu.Unlock()
	if !already {
		s.change(func(s *sessionState) {
			s.established, s.since, s.reason, s.sent = true, time.Now(), "", make(map[netip.Prefix]bool)
		})
	}
}

// fail notes that there is no session, and why.
func (s *session) fail(reason string) {
	s.change(func(s *sessionState) {
		if s.established {
			s.established, s.since, s.sent = false, time.Now(), nil
			s.lost++
		}
		s.reason = reason
	})
}

func (s *session) opened(open *packet.BGPOpen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asn, s.id = openASN(open), open.ID.String()
}

func (s *session) peer() (uint32, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asn, s.id
}

func (s *session) ignore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ignored++
}

// sentUpdate follows what the router holds.
func (s *session) sentUpdate(f frame) {
	m, err := f.parse()
	if err != nil {
		return
	}
	u, ok := m.Body.(*packet.BGPUpdate)
	if !ok {
		return
	}
	add, del := prefixes(u)
	s.change(func(s *sessionState) {
		if s.sent == nil {
			s.sent = make(map[netip.Prefix]bool)
		}
		for _, p := range del {
			delete(s.sent, p)
		}
		for _, p := range add {
			s.sent[p] = true
		}
	})
}

// refreshable reports whether a ROUTE-REFRESH is a plain one for unicast routes.
func (s *session) refreshable(f frame) bool {
	b := f.body()
	afi := binary.BigEndian.Uint16(b)
	return (afi == packet.AFI_IP || afi == packet.AFI_IP6) && b[2] == 0 && b[3] == packet.SAFI_UNICAST
}
