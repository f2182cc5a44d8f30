package bfd

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestUnmarshalRefuses(t *testing.T) {
	good := packet{state: Up, multiplier: 3, mine: 1, yours: 2, minTx: 300_000, minRx: 300_000}
	if got, err := unmarshal(good.marshal()); err != nil || got != good {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, tt := range []struct {
		name   string
		change func([]byte) []byte
		want   error
	}{
		{"empty", func([]byte) []byte { return nil }, errShort},
		{"short", func(b []byte) []byte { return b[:23] }, errShort},
		{"length beyond the datagram", func(b []byte) []byte { b[3] = 25; return b }, errShort},
		{"length of less than a packet", func(b []byte) []byte { b[3] = 23; return b }, errShort},
		{"version", func(b []byte) []byte { b[0] = 2 << 5; return b }, errVersion},
		{"authentication", func(b []byte) []byte { b[1] |= 4; return b }, errAuth},
		{"multipoint", func(b []byte) []byte { b[1] |= 1; return b }, errMultiple},
		{"multiplier", func(b []byte) []byte { b[2] = 0; return b }, errFields},
		{"discriminator", func(b []byte) []byte { copy(b[4:8], make([]byte, 4)); return b }, errFields},
		{"up without ours", func(b []byte) []byte { copy(b[8:12], make([]byte, 4)); return b }, errUnbound},
	} {
		if _, err := unmarshal(tt.change(good.marshal())); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(packet{state: Up, multiplier: 3, mine: 1, yours: 2}.marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := unmarshal(b)
		if err != nil {
			return
		}
		if again, err := unmarshal(p.marshal()); err != nil || again != p {
			t.Errorf("%+v became %+v, %v", p, again, err)
		}
	})
}

// pair is two sessions joined by channels that can be cut.
type pair struct {
	in       [2]chan packet
	cut      atomic.Bool
	state    [2]atomic.Int32
	diag     [2]atomic.Int32
	sent     [2]atomic.Int64
	lastPoll atomic.Bool
}

func newPair(t *testing.T) (*pair, [2]context.CancelFunc) {
	t.Helper()
	p := &pair{in: [2]chan packet{make(chan packet, queue), make(chan packet, queue)}}
	var cancels [2]context.CancelFunc
	done := make(chan struct{})
	for i := range 2 {
		send := func(b []byte) {
			p.sent[i].Add(1)
			got, err := unmarshal(b)
			if err != nil {
				t.Error(err)
			}
			p.lastPoll.Store(got.poll)
			if !p.cut.Load() {
				select {
				case p.in[1-i] <- got:
				default:
				}
			}
		}
		s := newSession(Peer{Interval: 100 * time.Millisecond, Multiplier: 3}, uint32(i+1), send, func(state State, diag uint8) {
			p.state[i].Store(int32(state))
			p.diag[i].Store(int32(diag))
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancels[i] = cancel
		go func() {
			s.run(ctx, p.in[i])
			done <- struct{}{}
		}()
	}
	t.Cleanup(func() {
		for i := range 2 {
			cancels[i]()
			<-done
		}
	})
	return p, cancels
}

func (p *pair) states() [2]State { return [2]State{State(p.state[0].Load()), State(p.state[1].Load())} }

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cancels := newPair(t)
		pass(3 * time.Second)
		if p.states() != [2]State{Up, Up} {
			t.Fatalf("states = %v", p.states())
		}
		if p.lastPoll.Load() {
			t.Error("still polling")
		}
		before := p.sent[0].Load()
		pass(10 * time.Second)
		if n := p.sent[0].Load() - before; n < 100 || n > 140 {
			t.Errorf("%d packets in 10 s, want one per 75 to 100 ms", n)
		}

		p.cut.Store(true)
		pass(199 * time.Millisecond) // the last packet may be 100 ms old
		p.cut.Store(false)
		pass(100 * time.Millisecond)
		if p.states() != [2]State{Up, Up} {
			t.Errorf("after a short break: %v", p.states())
		}
		p.cut.Store(true)
		pass(301 * time.Millisecond)
		if p.states() != [2]State{Down, Down} || p.diag[0].Load() != diagExpired {
			t.Errorf("after a long break: %v, diagnostic %d", p.states(), p.diag[0].Load())
		}
		p.cut.Store(false)
		pass(5 * time.Second)
		if p.states() != [2]State{Up, Up} {
			t.Errorf("after the break: %v", p.states())
		}
		cancels[0]() // says AdminDown
		synctest.Wait()
		if State(p.state[1].Load()) != Down || p.diag[1].Load() != diagSignalled {
			t.Errorf("after the end of the other: %v, diagnostic %d", p.states()[1], p.diag[1].Load())
		}
	})
}

func TestNewNamesAllFaults(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	_, err := New(Options{Peers: []Peer{{}, {Address: a, Interval: time.Millisecond}, {Address: a}, {Address: netip.MustParseAddr("192.0.2.2"), LocalAddress: netip.IPv6Loopback()}}})
	for _, want := range []string{"peer[0].address: want", "peer[1].interval: 1ms: want", "peer[2].address: 192.0.2.1 is listed twice", "peer[3].local_address: ::1: want an address of the family of 192.0.2.2"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

// start runs a speaker on a loopback address towards another.
func start(t *testing.T, local, remote string) (<-chan PeerStatus, func()) {
	t.Helper()
	changes := make(chan PeerStatus, 64)
	s, err := New(Options{
		Peers:    []Peer{{Address: netip.MustParseAddr(remote), LocalAddress: netip.MustParseAddr(local), Interval: 300 * time.Millisecond}}, // a busy machine is late
		OnChange: func(p PeerStatus) { changes <- p },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop := func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return changes, stop
}

func await(t *testing.T, changes <-chan PeerStatus, want func(PeerStatus) bool) {
	t.Helper()
	deadline := time.After(4 * time.Minute)
	for {
		select {
		case s := <-changes:
			if want(s) {
				return
			}
		case <-deadline:
			t.Fatal("never")
		}
	}
}

func TestSpeakersOnLoopback(t *testing.T) {
	one, stopOne := start(t, "127.0.0.51", "127.0.0.52")
	two, _ := start(t, "127.0.0.52", "127.0.0.51")
	up := func(s PeerStatus) bool { return s.State == Up }
	await(t, one, up)
	await(t, two, up)
	stopOne()
	await(t, two, func(s PeerStatus) bool { return s.State == Down && strings.Contains(s.Reason, "session is down") })
}

func TestPortTaken(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.53:3784")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	changes, _ := start(t, "127.0.0.53", "127.0.0.54")
	await(t, changes, func(s PeerStatus) bool { return strings.Contains(s.Reason, "address already in use") })
}

// TestSlowPoll: FRR keeps its slow pace after it has announced a faster one, until
// its poll is answered.
func TestSlowPoll(t *testing.T) {
	s := newSession(Peer{Interval: 100 * time.Millisecond, Multiplier: 3}, 1, func([]byte) {}, func(State, uint8) {})
	p := packet{state: Init, multiplier: 3, mine: 2, yours: 1, minTx: 1_000_000, minRx: 100_000}
	for _, tt := range []struct {
		poll  bool
		minTx uint32
		want  time.Duration
	}{{false, 1_000_000, 3 * time.Second}, {true, 100_000, 3 * time.Second}, {false, 100_000, 300 * time.Millisecond}, {true, 200_000, 600 * time.Millisecond}} {
		p.poll, p.minTx = tt.poll, tt.minTx
		if s.receive(p); s.detect != tt.want {
			t.Errorf("poll %v, %d µs: detected after %v, want %v", tt.poll, tt.minTx, s.detect, tt.want)
		}
		p.state = Up
	}
}
