package certstest

import (
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
	moved  sync.Cond // what follows has changed
	target string
	conns  map[net.Conn]bool
	held   [2]bool // by way
}

// Ways through a gate.
const (
	there = iota // from those that dial it
	back
)

// NewGate is open until the test ends, and leads nowhere yet.
func NewGate(t testing.TB) *Gate {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed below
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{ln: ln, conns: make(map[net.Conn]bool)}
	g.moved.L = &g.mu
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
	g.moved.Broadcast()
}

// Hold lets connections be open while nothing passes, there or back, until it is called again.
func (g *Gate) Hold(toTarget, fromTarget bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = [2]bool{there: toTarget, back: fromTarget}
	g.moved.Broadcast()
}

// passes waits until something may pass on a connection, and reports whether it still can.
func (g *Gate) passes(c net.Conn, way int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.held[way] && g.conns[c] {
		g.moved.Wait()
	}
	return g.conns[c]
}

// pass copies one way of a connection.
func (g *Gate) pass(c, to, from net.Conn, way int) {
	for buf := make([]byte, 32<<10); ; {
		n, err := from.Read(buf)
		if !g.passes(c, way) {
			return
		}
		if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
			return
		}
	}
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
		g.pass(c, up, c, there)
		_ = up.(*net.TCPConn).CloseWrite()
	}()
	g.pass(c, c, up, back)
	_, _ = c.Close(), up.Close()
	g.mu.Lock()
	delete(g.conns, c)
	delete(g.conns, up)
	g.moved.Broadcast()
	g.mu.Unlock()
	<-done
}
