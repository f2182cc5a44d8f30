package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	gobgplog "github.com/osrg/gobgp/v3/pkg/log"
	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// sessions is GoBGP's logger, and what is known of each session. Only the log tells
// why a session failed and what was really sent, so the messages of the pinned
// version are read here, and only here. (ListPeer is not an alternative: it
// panics on a neighbor whose FQDN capability is not UTF-8.)
//
// It never ends the process, though GoBGP expects Fatal and Panic to: what they
// report, its main loop survives.
type sessions struct {
	log     *slog.Logger
	changed func() // must not block

	mu     sync.Mutex
	byAddr map[netip.Addr]*session
}

type session struct {
	edgeASN     uint32
	established bool
	since       time.Time
	reason      string // why it is down, or was last
	known       bool   // reason is of the attempt under way
	sent        map[netip.Prefix]bool
	ignored     uint64 // updates received
	lost        uint64 // times it went down
}

func newSessions(o *Options, changed func()) *sessions {
	s := &sessions{log: o.Logger, changed: changed, byAddr: make(map[netip.Addr]*session)}
	for _, n := range o.Neighbors {
		why := "connecting"
		if n.Passive {
			why = "waiting for the router to connect"
		}
		s.byAddr[n.Address] = &session{edgeASN: o.ASN, since: time.Now(), reason: why}
	}
	return s
}

// get is a copy of one session and the prefixes that the neighbor holds, sorted.
func (s *sessions) get(addr netip.Addr) (session, []netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := *s.byAddr[addr]
	var sent []netip.Prefix
	for p := range c.sent {
		sent = append(sent, p)
	}
	slices.SortFunc(sent, netip.Prefix.Compare)
	return c, sent
}

// anyHolds reports whether a neighbor holds one of our prefixes.
func (s *sessions) anyHolds() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, session := range s.byAddr {
		if len(session.sent) > 0 {
			return true
		}
	}
	return false
}

// read takes in one message of GoBGP.
func (s *sessions) read(msg string, f gobgplog.Fields) {
	key, _ := f["Key"].(string)
	addr, err := netip.ParseAddr(key)
	if err != nil {
		return
	}
	s.mu.Lock()
	session := s.byAddr[addr.Unmap()]
	changed := session != nil && session.read(msg, f)
	s.mu.Unlock()
	if changed {
		s.changed()
	}
}

// read reports whether the message says anything new.
func (s *session) read(msg string, f gobgplog.Fields) bool {
	switch msg {
	case "sent update":
		s.update(f)
	case "received update":
		s.ignored++
		return false
	case "failed to connect":
		err, _ := f["Error"].(error)
		s.fail(connectReason(err))
	case "failed to set md5":
		s.fail(fmt.Sprintf("the kernel refused the password: %v", f["Err"]))
	case "sent notification":
		s.fail(sentReason(f))
	case "received notification":
		s.fail("the router ended the session: " + notification(f))
	case "hold timer expired":
		s.fail("the router fell silent: nothing came within the hold time")
	case "Peer Down":
		s.failUnlessKnown(fmt.Sprintf("session lost: %v", f["Reason"]))
	case "state changed":
		return s.move(fmt.Sprint(f["old"]), fmt.Sprint(f["new"]), f["reason"])
	default:
		return false
	}
	return true
}

func (s *session) move(from, to string, reason any) bool {
	const opening, confirming, up = "BGP_FSM_OPENSENT", "BGP_FSM_OPENCONFIRM", "BGP_FSM_ESTABLISHED"
	switch {
	case to == opening:
		s.known = false
		return false
	case to == up:
		*s = session{edgeASN: s.edgeASN, established: true, since: time.Now(), ignored: s.ignored, lost: s.lost}
	case from == up:
		s.failUnlessKnown(fmt.Sprintf("session lost: %v", reason))
		s.established, s.since, s.sent = false, time.Now(), nil
		s.lost++
	case to != confirming && (from == opening || from == confirming):
		s.failUnlessKnown(fmt.Sprintf("the router refused the session: see that it expects AS %d from this edge's address, and the same password (%v)", s.edgeASN, reason))
	default:
		return false
	}
	return true
}

func (s *session) fail(reason string) { s.reason, s.known = reason, true }

func (s *session) failUnlessKnown(reason string) {
	if !s.known {
		s.fail(reason)
	}
}

// update follows what the neighbor holds of us.
func (s *session) update(f gobgplog.Fields) {
	if s.sent == nil {
		s.sent = make(map[netip.Prefix]bool)
	}
	add, _ := f["nlri"].([]*packet.IPAddrPrefix)
	del, _ := f["withdrawals"].([]*packet.IPAddrPrefix)
	for _, p := range del {
		s.set(p, false)
	}
	for _, p := range add {
		s.set(p, true)
	}
	attrs, _ := f["attributes"].([]packet.PathAttributeInterface)
	for _, a := range attrs {
		switch a := a.(type) {
		case *packet.PathAttributeMpReachNLRI:
			for _, p := range a.Value {
				s.set(p, true)
			}
		case *packet.PathAttributeMpUnreachNLRI:
			for _, p := range a.Value {
				s.set(p, false)
			}
		}
	}
}

func (s *session) set(nlri fmt.Stringer, held bool) {
	p, err := netip.ParsePrefix(nlri.String())
	if err != nil {
		return
	}
	if held {
		s.sent[p] = true
	} else {
		delete(s.sent, p)
	}
}

func (s *sessions) write(level slog.Level, msg string, f gobgplog.Fields) {
	s.read(msg, f)
	if ctx := context.Background(); s.log.Enabled(ctx, level) {
		s.log.Log(ctx, level, "gobgp", "said", strings.TrimSpace(msg), "fields", fmt.Sprint(f))
	}
}

// Panic implements GoBGP's logger, and does not panic.
func (s *sessions) Panic(msg string, f gobgplog.Fields) { s.write(slog.LevelError, msg, f) }

// Fatal implements GoBGP's logger, and is not fatal.
func (s *sessions) Fatal(msg string, f gobgplog.Fields) { s.write(slog.LevelError, msg, f) }

// Error implements GoBGP's logger.
func (s *sessions) Error(msg string, f gobgplog.Fields) { s.write(slog.LevelError, msg, f) }

// Warn implements GoBGP's logger; what matters of it is in Status and logged from there.
func (s *sessions) Warn(msg string, f gobgplog.Fields) { s.write(slog.LevelDebug, msg, f) }

// Info implements GoBGP's logger.
func (s *sessions) Info(msg string, f gobgplog.Fields) { s.write(slog.LevelDebug, msg, f) }

// Debug implements GoBGP's logger.
func (s *sessions) Debug(msg string, f gobgplog.Fields) { s.write(slog.LevelDebug, msg, f) }

// SetLevel implements GoBGP's logger.
func (s *sessions) SetLevel(gobgplog.LogLevel) {}

// GetLevel asks for all: what is read here is told at the debug level.
func (s *sessions) GetLevel() gobgplog.LogLevel { return gobgplog.DebugLevel }
