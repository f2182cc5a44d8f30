package state

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

type clockHook struct {
	hooks
	clock func() time.Time
}

func (h clockHook) now() time.Time { return h.clock() }

// SetClock gives an edge another clock, before it runs.
func SetClock(s *Store, clock func() time.Time) { s.hooks = clockHook{s.hooks, clock} }

// Offset is what an edge has measured of its clock.
func Offset(s *Store) time.Duration { return time.Duration(s.offset.Load()) }

// Send sends a write and returns the answer.
type Send = func(context.Context, *nats.Msg) (*nats.Msg, error)

type sendHook struct {
	hooks
	through func(Send) Send
}

func (h sendHook) send(ctx context.Context, nc *nats.Conn, m *nats.Msg) (*nats.Msg, error) {
	return h.through(func(ctx context.Context, m *nats.Msg) (*nats.Msg, error) { return h.hooks.send(ctx, nc, m) })(ctx, m)
}

// Intercept has the edge's writes pass through a function, before it runs.
func Intercept(s *Store, through func(Send) Send) { s.hooks = sendHook{s.hooks, through} }

type absentHook struct {
	hooks
	first   int32
	answers *atomic.Int32
}

func (h absentHook) readHome(ctx context.Context, nc *nats.Conn, subject string) (raw, uint64, error) {
	r, upTo, err := h.hooks.readHome(ctx, nc, subject)
	if h.answers.Add(1) <= h.first {
		r = raw{}
	}
	return r, upTo, err
}

// Absent has the first answers of home's copies lack what is asked for, and counts all.
func Absent(s *Store, first int32, answers *atomic.Int32) {
	s.hooks = absentHook{s.hooks, first, answers}
}
