package bfd

import (
	"context"
	"math/rand/v2"
	"time"
)

// slow is the least interval of transmission while a session is not up (RFC 5880 6.8.3).
const slow = time.Second

// session is the state of RFC 5880 6.8.1. Its goroutine owns it.
type session struct {
	peer Peer
	mine uint32
	send func([]byte)       // may fail: the next packet follows soon
	tell func(State, uint8) // after each change

	state       State
	diag        uint8
	yours       uint32
	remote      State
	remoteMinRx time.Duration
	detect      time.Duration // of the last packet
	minTx       time.Duration // in effect
	polling     bool
}

func newSession(p Peer, mine uint32, send func([]byte), tell func(State, uint8)) *session {
	return &session{
		peer: p, mine: mine, send: send, tell: tell, state: Down, remote: Down,
		remoteMinRx: time.Microsecond, minTx: max(slow, p.Interval),
	}
}

// run speaks until the context ends.
func (s *session) run(ctx context.Context, packets <-chan packet) {
	tx := time.NewTimer(0)
	defer tx.Stop()
	silence := time.NewTimer(time.Hour)
	silence.Stop()
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			s.state, s.diag = AdminDown, diagAdminDown
			s.transmit(false)
			return
		case <-tx.C:
			s.transmit(false)
			s.schedule(tx)
		case <-silence.C:
			s.expire()
		case p := <-packets:
			interval := s.interval()
			if !s.receive(p) {
				continue
			}
			silence.Reset(s.detect)
			if p.poll {
				s.transmit(true)
			}
			// A shorter interval holds at once: the old timer may be a second away.
			if now := s.interval(); now < interval || interval == 0 {
				s.schedule(tx)
			}
		}
	}
}

// interval between packets; 0: the peer wants none.
func (s *session) interval() time.Duration {
	if s.remoteMinRx == 0 {
		return 0
	}
	return max(s.minTx, s.remoteMinRx)
}

// schedule sets the timer to the interval less 0-25 % (RFC 5880 6.8.7), so that
// sessions do not fall in step.
func (s *session) schedule(tx *time.Timer) {
	interval := s.interval()
	if interval == 0 {
		return
	}
	jitter := rand.N(interval / 4) //nolint:gosec // spreads load; guards nothing
	if s.peer.Multiplier == 1 {
		jitter = interval/10 + jitter*3/5
	}
	tx.Reset(interval - jitter)
}

func (s *session) transmit(final bool) {
	s.send(packet{
		diag: s.diag, state: s.state, poll: s.polling && !final, final: final, multiplier: s.peer.Multiplier,
		mine: s.mine, yours: s.yours, minTx: micros(s.minTx), minRx: micros(s.peer.Interval),
	}.marshal())
}

func micros(d time.Duration) uint32 { return uint32(d / time.Microsecond) }

// receive takes a packet in (RFC 5880 6.8.6), and reports whether it counts.
func (s *session) receive(p packet) bool {
	if p.yours != 0 && p.yours != s.mine {
		return false
	}
	s.yours, s.remote = p.mine, p.state
	s.remoteMinRx = time.Duration(p.minRx) * time.Microsecond
	detect := time.Duration(p.multiplier) * max(s.peer.Interval, time.Duration(p.minTx)*time.Microsecond)
	if !p.poll || detect > s.detect { // FRR keeps its old pace until its poll is answered
		s.detect = detect
	}
	if p.final {
		s.polling = false
	}
	switch {
	case p.state == AdminDown:
		if s.state != Down {
			s.move(Down, diagSignalled)
		}
	case s.state == Down && p.state == Down:
		s.move(Init, diagNone)
	case s.state == Down && p.state == Init, s.state == Init && p.state >= Init:
		s.move(Up, diagNone)
	case s.state == Up && p.state == Down:
		s.move(Down, diagSignalled)
	}
	return true
}

func (s *session) expire() {
	s.yours = 0
	s.remoteMinRx = time.Microsecond
	if s.state == Init || s.state == Up {
		s.move(Down, diagExpired)
	}
}

// move enters a state. Coming up the interval shortens, of which the peer is told by a poll.
func (s *session) move(to State, diag uint8) {
	s.state, s.diag = to, diag
	s.minTx = max(slow, s.peer.Interval)
	s.polling = false
	if to == Up {
		s.minTx = s.peer.Interval
		s.polling = true
	}
	s.transmit(false)
	s.tell(to, diag)
}
