package cron

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/terrane/terrane/tenant"
)

// line is one [[cron]] of a tenant that fires in this region.
type line struct {
	tenant   tenant.ID
	schedule string
	path     string
	times    cron.Schedule
	key      string

	// What follows is the leader's; it belongs to Run's goroutine.
	known bool // whether next, and what the bucket has, are
	next  time.Time
	kept
	busy chan struct{} // closed when the last run has ended; nil: there was none
	end  *kept         // what that left in the bucket, read once busy is closed
}

// key stands for a line in the bucket.
func key(id tenant.ID, spec tenant.Cron) string {
	sum := sha256.Sum256([]byte(string(id) + "\x00" + spec.Schedule + "\x00" + spec.Path))
	return "line." + hex.EncodeToString(sum[:16])
}

func (l *line) running() bool {
	if l.busy == nil {
		return false
	}
	select {
	case <-l.busy:
		return false
	default:
		return true
	}
}

// ahead reports whether the line was last due at a time that is further ahead than the clocks
// of edges may be apart: an edge fired it whose clock was wrong, or this clock was put back.
func (l *line) ahead(now time.Time) bool { return l.Due.After(now.Add(apart)) }

// newest is the last time after last that has come, and how many more have. A line
// has at most one time a minute: those of a day are counted.
func (l *line) newest(last, now time.Time) (at time.Time, more int) {
	if day := now.Add(-24 * time.Hour); last.Before(day) {
		last = day
	}
	for next := l.times.Next(last); !next.IsZero() && !next.After(now); next = l.times.Next(next) {
		if !at.IsZero() {
			more++
		}
		at = next
	}
	return at, more
}
