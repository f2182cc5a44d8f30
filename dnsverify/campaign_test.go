package dnsverify

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/dnsverify/dnstest"
	"github.com/terrane/terrane/internal/campaign"
	"github.com/terrane/terrane/tenant"
)

// evil is a resolver in front of a good one, which answers late, never, or with
// garbage, each by chance.
type evil struct {
	ln    net.PacketConn
	good  netip.AddrPort
	quiet atomic.Bool // it answers truly

	mu     sync.Mutex
	random *rand.Rand
}

func newEvil(t *testing.T, good netip.AddrPort) *evil {
	t.Helper()
	ln, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &evil{ln: ln, good: good, random: rand.New(rand.NewPCG(1, 2))}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			buf := make([]byte, 4096)
			n, from, err := ln.ReadFrom(buf)
			if err != nil {
				return
			}
			wg.Go(func() { e.answer(buf[:n], from) })
		}
	})
	t.Cleanup(func() {
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
	return e
}

func (e *evil) answer(query []byte, to net.Addr) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(e.good))
	if err != nil {
		return
	}
	defer conn.Close() //nolint:errcheck // nothing is kept
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	answer := make([]byte, 4096)
	if _, err = conn.Write(query); err != nil {
		return
	}
	n, err := conn.Read(answer)
	if err != nil {
		return
	}
	for _, a := range e.spoil(answer[:n]) {
		_, _ = e.ln.WriteTo(a, to)
	}
}

// spoil makes of a true answer what is sent.
func (e *evil) spoil(answer []byte) [][]byte {
	if e.quiet.Load() {
		return [][]byte{answer}
	}
	e.mu.Lock()
	way, late := e.random.IntN(6), time.Duration(e.random.IntN(200))*time.Millisecond
	garbage := slices.Clone(answer)
	for range 1 + e.random.IntN(6) {
		at := 2 + e.random.IntN(len(garbage)-2) // it guesses the id right
		garbage[at] = byte(e.random.IntN(256))
	}
	cut := garbage[:2+e.random.IntN(len(garbage)-2)]
	e.mu.Unlock()
	switch way {
	case 0: // never
		return nil
	case 1:
		<-time.After(late)
		return [][]byte{answer}
	case 2:
		return [][]byte{cut}
	case 3: // a flood, and then the truth
		return append(slices.Repeat([][]byte{garbage}, 50), answer)
	default:
		return [][]byte{garbage}
	}
}

// TestCampaignDNS asks resolvers that answer with garbage, late or never for many names.
// Each question ends in time, no name is verified by garbage, and the
// first true answers are believed.
func TestCampaignDNS(t *testing.T) {
	tries := campaign.Tries(150, 10_000)
	const timeout = 200 * time.Millisecond
	good := dnstest.Start(t)
	setAlice(t, good)
	one, two := newEvil(t, good.Addr()), newEvil(t, good.Addr())
	one.quiet.Store(true)
	two.quiet.Store(true)
	unbounded := Rate{Every: time.Nanosecond, Burst: 1 << 20}
	v := newVerifier(t, func(o *Options) {
		o.Timeout, o.MinTTL = timeout, 100*time.Millisecond
		o.PerSource, o.PerDomain, o.Overall = unbounded, unbounded, unbounded
	}, addrPort(t, one.ln), addrPort(t, two.ln))
	check(t, v.Verify(t.Context(), host), tenant.Verified, alice)
	run(t, v)
	one.quiet.Store(false)
	two.quiet.Store(false)

	names := make(chan int)
	var longest atomic.Int64
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for i := range names {
				begun := time.Now()
				name := tenant.Host(fmt.Sprintf("h%d.example.net", i))
				if got := v.Verify(t.Context(), name); got.Standing == tenant.Verified {
					t.Errorf("%s, which has no records, is verified: %+v", name, got)
				}
				if took := int64(time.Since(begun)); took > longest.Load() {
					longest.Store(took)
				}
			}
		})
	}
	for i := range tries {
		names <- i
	}
	close(names)
	workers.Wait()
	if took := time.Duration(longest.Load()); took > 100*timeout { // CNAMEs, retries and a busy machine included
		t.Errorf("a question took %v", took)
	}

	one.quiet.Store(true)
	two.quiet.Store(true)
	good.MustSet(t, "new.example.com.", "A 192.0.2.10")
	good.MustSet(t, "_terrane.new.example.com.", `TXT "kbp=/git/bob"`)
	check(t, v.Verify(t.Context(), "new.example.com"), tenant.Verified, "/git/bob")
	campaign.Row(t, "resolvers that answer with garbage, late or never", tries, "0 hosts verified by it, each question ended, the truth believed at once")
}

func addrPort(t *testing.T, ln net.PacketConn) netip.AddrPort {
	t.Helper()
	addr, ok := ln.LocalAddr().(*net.UDPAddr)
	if !ok {
		t.Fatal("not UDP")
	}
	return addr.AddrPort()
}
