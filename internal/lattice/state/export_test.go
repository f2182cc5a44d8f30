package state

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

// SetClock gives an edge another clock, before it runs.
func SetClock(s *Store, clock func() time.Time) { s.clock = clock }

// Offset is what an edge has measured of its clock.
func Offset(s *Store) time.Duration { return time.Duration(s.offset.Load()) }

// Intercept has the edge's writes pass through a function, before it runs.
func Intercept(s *Store, through func(send func(context.Context, *nats.Msg) (*nats.Msg, error)) func(context.Context, *nats.Msg) (*nats.Msg, error)) {
	s.request = func(send request) request { return through(send) }
}
