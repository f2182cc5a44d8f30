package state

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

// hooks are what tests replace before Run, to make clocks, lines and servers misbehave.
type hooks interface {
	// now is the time by this edge's clock.
	now() time.Time
	// send sends a write and returns the answer.
	send(ctx context.Context, nc *nats.Conn, m *nats.Msg) (*nats.Msg, error)
	// readHome reads a subject from a copy in the home region. See Store.getUpTo.
	readHome(ctx context.Context, nc *nats.Conn, subject string) (r raw, upTo uint64, err error)
}

// noHooks is what runs outside tests.
type noHooks struct{ s *Store }

func (noHooks) now() time.Time { return time.Now() }

func (noHooks) send(ctx context.Context, nc *nats.Conn, m *nats.Msg) (*nats.Msg, error) {
	return nc.RequestMsgWithContext(ctx, m)
}

func (h noHooks) readHome(ctx context.Context, nc *nats.Conn, subject string) (r raw, upTo uint64, err error) {
	return h.s.getUpTo(ctx, nc, subject)
}
