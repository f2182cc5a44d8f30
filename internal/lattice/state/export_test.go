package state

import "time"

// SetClock gives an edge another clock, before it runs.
func SetClock(s *Store, clock func() time.Time) { s.clock = clock }

// Offset is what an edge has measured of its clock.
func Offset(s *Store) time.Duration { return time.Duration(s.offset.Load()) }
