package certstest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Gate is a port of 127.0.0.1 that forwards connections to where it is told to, or closes them.
type Gate struct {
	ln   net.Listener
	Seen atomic.Int32 // connections so far

	mu     sync.Mutex
	target string
	conns  map[net.Conn]bool
}

// NewGate is open until the test ends, and leads nowhere yet.
func NewGate(t testing.TB) *Gate {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed below
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{ln: ln, conns: make(map[net.Conn]bool)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			g.Seen.Add(1)
			wg.Go(func() { g.forward(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		g.To("")
		wg.Wait()
	})
	return g
}

// Port is where it listens.
func (g *Gate) Port() int { return g.ln.Addr().(*net.TCPAddr).Port }

// Shut closes what comes.
func (g *Gate) Shut() { g.To("") }

// To forwards to addr from now on, and closes the connections to where the gate led before.
func (g *Gate) To(addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.target = addr
	for c := range g.conns {
		_ = c.Close()
	}
	clear(g.conns)
}

// open returns a connection to the target, or nil.
func (g *Gate) open(c net.Conn) net.Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.target == "" {
		return nil
	}
	up, err := net.Dial("tcp", g.target) //nolint:noctx // loopback
	if err != nil {
		return nil
	}
	g.conns[c], g.conns[up] = true, true
	return up
}

func (g *Gate) forward(c net.Conn) {
	defer func() { _ = c.Close() }()
	up := g.open(c)
	if up == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(up, c)
		_ = up.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(c, up)
	_, _ = c.Close(), up.Close()
	<-done
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
	delete(g.conns, up)
}
