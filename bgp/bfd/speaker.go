package bfd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/internal/fault"
)

// Options for New.
type Options struct {
	Peers    []Peer
	OnChange func(PeerStatus) // called by a session's goroutine; must not block
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
}

// Peer is a router.
type Peer struct {
	Address      netip.Addr
	LocalAddress netip.Addr    // zero: the system's choice
	Interval     time.Duration // both ways, 10 ms to 10 s; 0: 300 ms
	Multiplier   uint8         // packets that may be missed; 0: 3
}

// PeerStatus is one session.
type PeerStatus struct {
	Address netip.Addr `json:"address"`
	State   State      `json:"state"`
	Since   time.Time  `json:"since"`
	Reason  string     `json:"reason,omitempty"` // why it is not up
}

// Speaker has sessions with its peers. Its methods are safe for concurrent use.
type Speaker struct {
	opts Options
	log  *slog.Logger
	up   *prometheus.GaugeVec

	mu     sync.Mutex
	status []PeerStatus
}

const (
	port       = 3784 // RFC 5881 4
	firstPort  = 49152
	retryBind  = 5 * time.Second
	queue      = 16 // packets per session; a full queue drops, as the network would
	maxMessage = 256
)

const (
	defaultInterval   = 300 * time.Millisecond
	defaultMultiplier = 3
)

func (o Options) withDefaults() Options {
	o.Peers = slices.Clone(o.Peers)
	for i := range o.Peers {
		p := &o.Peers[i]
		p.Address = p.Address.Unmap()
		p.Interval = cmp.Or(p.Interval, defaultInterval)
		p.Multiplier = cmp.Or(p.Multiplier, defaultMultiplier)
	}
	return o
}

// Check returns every fault in o, joined: each is a *fault.Fault with a key such as
// "peer[0].interval".
func (o Options) Check() error {
	o = o.withDefaults()
	var f fault.List
	for i, p := range o.Peers {
		key := fmt.Sprintf("peer[%d].", i)
		switch {
		case !p.Address.IsValid() || p.Address.IsUnspecified() || p.Address.IsMulticast():
			f.Add(key+"address", "want the address of the router")
		case slices.ContainsFunc(o.Peers[:i], func(q Peer) bool { return q.Address == p.Address }):
			f.Add(key+"address", "%v is listed twice", p.Address)
		}
		if p.Interval < 10*time.Millisecond || p.Interval > 10*time.Second {
			f.Add(key+"interval", "%v: want 10ms to 10s", p.Interval)
		}
		if p.LocalAddress.IsValid() && p.LocalAddress.Is4() != p.Address.Is4() {
			f.Add(key+"local_address", "%v: want an address of the family of %v", p.LocalAddress, p.Address)
		}
	}
	return f.Err()
}

// New returns a Speaker with a session per peer. It starts nothing; call Run. Its error
// joins every fault of the options (Options.Check).
func New(opts Options) (*Speaker, error) {
	if err := opts.Check(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	s := &Speaker{opts: opts, log: opts.Logger, up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "terrane_bfd_up", Help: "1 while the BFD session is up.",
	}, []string{"neighbor"})}
	for _, p := range opts.Peers {
		s.status = append(s.status, PeerStatus{Address: p.Address, State: Down, Since: time.Now(), Reason: "no word from the router yet"})
		s.up.WithLabelValues(p.Address.String()).Set(0)
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if opts.Metrics != nil {
		if err := opts.Metrics.Register(s.up); err != nil {
			return nil, fmt.Errorf("bfd: %w", err)
		}
	}
	return s, nil
}

// Status is the current state of all sessions.
func (s *Speaker) Status() []PeerStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.status)
}

// Run speaks until the context ends, and returns nil. A port that is taken is
// tried again, and told in Status.
func (s *Speaker) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := s.speak(ctx)
		if err == nil {
			return nil
		}
		for i := range s.opts.Peers {
			s.set(i, Down, err.Error())
		}
		retry := time.NewTimer(retryBind)
		select {
		case <-ctx.Done():
		case <-retry.C:
		}
		retry.Stop()
	}
	return nil
}

// inbox is what the receiving goroutines need of a session.
type inbox struct {
	addr    netip.Addr
	mine    uint32
	packets chan packet
}

func (s *Speaker) speak(ctx context.Context) error {
	conns := make(map[netip.AddrPort]*receiver)
	defer func() {
		for _, r := range conns {
			_ = r.conn.Close()
		}
	}()
	var inboxes []inbox
	var out []net.Conn
	defer func() {
		for _, c := range out {
			_ = c.Close()
		}
	}()
	for i, p := range s.opts.Peers {
		at := netip.AddrPortFrom(p.LocalAddress, port)
		if !p.LocalAddress.IsValid() {
			at = netip.AddrPortFrom(netip.IPv4Unspecified(), port)
			if p.Address.Is6() {
				at = netip.AddrPortFrom(netip.IPv6Unspecified(), port)
			}
		}
		if conns[at] == nil {
			r, err := listen(ctx, at)
			if err != nil {
				return err
			}
			conns[at] = r
		}
		conn, err := dial(ctx, p)
		if err != nil {
			return err
		}
		out = append(out, conn)
		// Distinct by its low bits, not to be guessed by its high ones.
		inboxes = append(inboxes, inbox{p.Address, rand.Uint32()<<8 | uint32(i+1)&0xff, make(chan packet, queue)}) //nolint:gosec // TTL 255 is the protection
	}
	var receivers, sessions sync.WaitGroup
	for _, r := range conns {
		receivers.Go(func() { receive(r, inboxes) })
	}
	for i, p := range s.opts.Peers {
		session := newSession(p, inboxes[i].mine,
			func(b []byte) { _, _ = out[i].Write(b) },
			func(state State, diag uint8) { s.set(i, state, reason(state, diag)) })
		sessions.Go(func() { session.run(ctx, inboxes[i].packets) })
	}
	sessions.Wait()
	for _, r := range conns {
		_ = r.conn.Close()
	}
	receivers.Wait()
	return nil
}

// receive sorts packets to their sessions until the socket closes.
func receive(r *receiver, inboxes []inbox) {
	b := make([]byte, maxMessage)
	for {
		n, from, ttl, err := r.read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || ttl != 255 { // RFC 5881 5
			continue
		}
		p, err := unmarshal(b[:n])
		if err != nil {
			continue
		}
		for _, in := range inboxes {
			if in.addr == from.Unmap() && (p.yours == 0 || p.yours == in.mine) {
				select {
				case in.packets <- p:
				default:
				}
			}
		}
	}
}

func (s *Speaker) set(i int, state State, why string) {
	s.mu.Lock()
	st := &s.status[i]
	if st.State == state && st.Reason == why {
		s.mu.Unlock()
		return
	}
	if st.State != state {
		st.Since = time.Now()
	}
	st.State, st.Reason = state, why
	told := *st
	s.mu.Unlock()
	up := 0.0
	if state == Up {
		up = 1
	}
	s.up.WithLabelValues(told.Address.String()).Set(up)
	s.log.Info("bfd session changed", "neighbor", told.Address, "state", state, "reason", why)
	if s.opts.OnChange != nil {
		s.opts.OnChange(told)
	}
}

func reason(state State, diag uint8) string {
	switch {
	case state == Up:
		return ""
	case diag == diagExpired:
		return "the router fell silent"
	case diag == diagSignalled:
		return "the router said that the session is down"
	}
	return "coming up"
}

// dial makes the socket to send from, with a source port of RFC 5881 4.
func dial(ctx context.Context, p Peer) (net.Conn, error) {
	var last error
	for range 32 {
		d := net.Dialer{Control: sendTTL(p.Address.Is4())}
		src := firstPort + rand.IntN(1<<16-firstPort) //nolint:gosec // any free one will do
		d.LocalAddr = &net.UDPAddr{IP: p.LocalAddress.AsSlice(), Port: src}
		conn, err := d.DialContext(ctx, "udp", net.JoinHostPort(p.Address.String(), strconv.Itoa(port)))
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, fmt.Errorf("bfd: %w", last)
}
