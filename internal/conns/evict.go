package conns

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"time"
)

// makeRoom takes connections out of their networks so that one more has room in the
// network and in all. The caller ends them. l.mu is held.
func (l *Limiter) makeRoom(in netip.Prefix) ([]*Conn, reason) {
	n := l.byNet[in]
	switch {
	case n != nil && len(n.conns) >= l.opts.PerNetwork:
		return l.pick(batch(l.opts.PerNetwork), perNetwork, func(c *Conn) bool { return c.of == n }), perNetwork
	case l.total >= l.opts.Max:
		return l.pick(batch(l.opts.Max), full, func(*Conn) bool { return true }), full
	case l.fresh.Load() >= int64(l.opts.Max/2):
		return l.pick(batch(l.opts.Max/2), handshakes, func(c *Conn) bool { return !c.greeted.Load() }), handshakes
	}
	return nil, full
}

// shed closes connections because the process has no descriptors left; false if there was none.
func (l *Limiter) shed() bool {
	l.mu.Lock()
	victims := l.pick(batch(l.total), descriptors, func(*Conn) bool { return true })
	l.mu.Unlock()
	l.end(victims, descriptors)
	return len(victims) > 0
}

// batch is how many connections of n are closed at a time. Looking at all of them for each
// one would make a flood expensive.
func batch(n int) int { return max(1, n/64) }

// candidate is a connection as it was when it was looked at.
type candidate struct {
	*Conn
	busy bool
	rate float64       // of a busy one, in bytes per second
	age  time.Duration // of one that is not: since its last request
	rank int           // within its network: 0 is the last to be closed
}

// pick takes k connections out of their networks: from the networks that have most of those
// that match, the ones that do least. l.mu is held.
func (l *Limiter) pick(k int, why reason, match func(*Conn) bool) []*Conn {
	now := time.Now()
	var all []candidate
	var largest *network
	for _, n := range l.byNet {
		from := len(all)
		for _, c := range n.conns {
			if match(c) {
				all = append(all, l.look(c, now))
			}
		}
		own := all[from:]
		slices.SortFunc(own, worth)
		for i := range own {
			own[i].rank = i
		}
		if largest == nil || len(n.conns) > len(largest.conns) {
			largest = n
		}
	}
	if why != perNetwork {
		slices.SortFunc(all, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.rank, b.rank), worth(a, b)) })
	}
	l.warn(now, why, largest)
	victims := make([]*Conn, 0, k)
	for _, v := range all[max(0, len(all)-k):] {
		l.detach(v.Conn)
		victims = append(victims, v.Conn)
	}
	return victims
}

func (l *Limiter) look(c *Conn, now time.Time) candidate {
	if c.busy.Load() == 0 {
		return candidate{Conn: c, age: time.Duration(l.since(now) - c.served.Load())}
	}
	v := candidate{Conn: c, busy: true, rate: math.Inf(1)}
	if age := time.Duration(l.since(now) - c.began.Load()); age > time.Second { // else it has just begun
		v.rate = float64(c.moved.Load()-c.before.Load()) / age.Seconds()
	}
	return v
}

// worth orders candidates, those first that are to be closed last: with requests in
// flight and the fastest of these, then those that had one last.
func worth(a, b candidate) int {
	switch {
	case a.busy != b.busy && a.busy:
		return -1
	case a.busy != b.busy:
		return 1
	case a.busy:
		return cmp.Compare(b.rate, a.rate)
	}
	return cmp.Compare(a.age, b.age)
}

// warn tells the operator of a lack of room, once a minute. l.mu is held.
func (l *Limiter) warn(now time.Time, why reason, largest *network) {
	if largest == nil || now.Sub(l.warned) < time.Minute {
		return
	}
	l.warned = now
	l.log.Warn("too many connections: closing those that do least", "reason", why.String(), "connections", l.total, "limit", l.opts.Max,
		"network_limit", l.opts.PerNetwork, "largest_network", largest.of.String(), "its_connections", len(largest.conns))
}
