package state

import (
	"context"
	"sync/atomic"
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

// Absent has the first answers of home's copies lack what is asked for, and counts all.
func Absent(s *Store, first int32, answers *atomic.Int32) {
	s.copies = func(get copies) copies {
		return func(ctx context.Context, nc *nats.Conn, subject string) (raw, uint64, error) {
			r, upTo, err := get(ctx, nc, subject)
			if answers.Add(1) <= first {
				r = raw{}
			}
			return r, upTo, err
		}
	}
}
