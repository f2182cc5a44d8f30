package bgp

import (
	"context"
	"sync"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// shutdown is the cause that ends a session in order: the router is told the text.
type shutdown struct{ text string }

func (s *shutdown) Error() string { return "session ended by this edge: " + s.text }

// notification is a Cease with subcode Administrative Shutdown (RFC 4486) and the text
// (RFC 9003).
func (s *shutdown) notification() frame {
	text := s.text[:min(len(s.text), 255)]
	f, _ := serialize(packet.NewBGPNotificationMessage( // has no part that can fail
		packet.BGP_ERROR_CEASE, packet.BGP_ERROR_SUB_ADMINISTRATIVE_SHUTDOWN, append([]byte{uint8(len(text))}, text...)))
	return f
}

// gate allows one session at a time with a router, or none. The zero value is open.
type gate struct {
	mu     sync.Mutex
	closed *shutdown               // why no session may exist; nil: open
	opened chan struct{}           // closed when the gate opens; nil: open
	end    context.CancelCauseFunc // of the session that exists; nil: none
	left   chan struct{}           // closed when that session is over
}

// enter waits until a session may exist, and returns a context that ends with the
// session's right to exist, with a *shutdown as its cause, or with ctx. The caller calls
// leave when the session is over. It returns nil when ctx ends first.
func (g *gate) enter(ctx context.Context) context.Context {
	for {
		g.mu.Lock()
		opened := g.opened
		if g.closed == nil {
			var session context.Context
			session, g.end = context.WithCancelCause(ctx)
			g.left = make(chan struct{})
			g.mu.Unlock()
			return session
		}
		g.mu.Unlock()
		select {
		case <-opened:
		case <-ctx.Done():
			return nil
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.end(nil)
	g.end = nil
	close(g.left)
}

// close ends the session, if there is one, and allows none until open. The channel
// returned is closed when there is no session any more.
func (g *gate) close(text string) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed, g.opened = &shutdown{text}, make(chan struct{})
	}
	if g.end == nil {
		none := make(chan struct{})
		close(none)
		return none
	}
	g.end(g.closed)
	return g.left
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		close(g.opened)
		g.closed, g.opened = nil, nil
	}
}

// why returns the reason for which no session may exist, or nil.
func (g *gate) why() *shutdown {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}
