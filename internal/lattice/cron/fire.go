package cron

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/internal/lattice/messages"
)

// fire runs the lines that are due. Those that it has no time for wait for the next
// tick, and so do those that find maxRuns under way. ok is false if the records fail.
func (c *Cron) fire(ctx context.Context, kv jetstream.KeyValue) (ok bool) {
	now, began := c.opts.Now().UTC(), time.Now()
	for _, l := range c.current() {
		if l.known && (now.Before(l.next) && !l.ahead(now) || len(c.runs) == cap(c.runs) && now.Sub(l.next) < late) {
			continue
		}
		if err := c.due(ctx, kv, l, now); err != nil {
			c.log.Warn("cron", "tenant", l.tenant, "schedule", l.schedule, "err", err)
			l.known = false
			return false // the store is in trouble, or another edge leads
		}
		if time.Since(began) > atATime {
			return true
		}
	}
	return true
}

// due fires a line if its time has come. An error leaves it as it was.
func (c *Cron) due(ctx context.Context, kv jetstream.KeyValue, l *line, now time.Time) error {
	ctx2, cancel := context.WithTimeout(ctx, lease/3)
	defer cancel()
	running := l.running()
	if !running && l.end != nil {
		l.kept, l.end = *l.end, nil
		l.known = l.known && l.revision != 0
	}
	if !l.known || running {
		var err error
		if l.kept, err = read(ctx2, kv, l.key); err != nil {
			return err
		}
	}
	r := l.record
	if l.revision == 0 || l.ahead(now) { // it is new, or a clock was put back: its past does not count
		r.Due = now
	}
	if !l.known && r.Open && !running {
		c.tell(l, r.Due, slog.LevelWarn, "cut short: the edge "+r.Edge+", which led, left before the run ended")
		r.Open = false
	}
	at, missed := l.newest(r.Due, now)
	fires, why := false, ""
	if !at.IsZero() {
		r.Due = at
		if fires, why = c.may(l, now.Sub(at)); !fires {
			missed++
		}
	}
	if missed > 0 {
		c.metrics.missed.Add(float64(missed))
		c.tell(l, r.Due, slog.LevelWarn, fmt.Sprintf("missed, the last of %d: %s", missed, why))
	}
	r.Edge, r.Open = c.opts.Lattice.Name(), r.Open || fires
	if r != l.record || l.revision == 0 {
		var err error
		if l.kept, err = write(ctx2, kv, l.key, kept{r, l.revision}); err != nil {
			if fires {
				<-c.runs
			}
			return err
		}
	}
	l.known, l.next = true, l.times.Next(r.Due)
	if fires {
		c.start(ctx, kv, l)
	}
	return nil
}

// noLeader is why a time has passed without a run.
const noLeader = "no edge led, or the clock was put forward"

// may reports whether a line that has been due for so long runs, and has then taken
// one of c.runs; or why it does not.
func (c *Cron) may(l *line, since time.Duration) (runs bool, why string) {
	switch {
	case since >= late && len(c.runs) == cap(c.runs):
		return false, fmt.Sprintf("%d lines ran all the time", maxRuns)
	case since >= late:
		return false, noLeader
	case l.running():
		return false, "the run before it goes on"
	}
	select {
	case c.runs <- struct{}{}:
		return true, noLeader
	default:
		return false, fmt.Sprintf("%d lines run already", maxRuns)
	}
}

// tell tells the tenant of the run that was due at a time.
func (c *Cron) tell(l *line, due time.Time, level slog.Level, text string) {
	c.opts.Tell(l.tenant, level, fmt.Sprintf("cron %q: %s at %s: %s", l.schedule, l.path, due.Format(time.RFC3339), text))
}

// start runs a line, and gives back its place among c.runs.
func (c *Cron) start(ctx context.Context, kv jetstream.KeyValue, l *line) {
	busy, end, due := make(chan struct{}), new(kept), l.Due
	l.busy, l.end = busy, end
	k := l.kept
	c.all.Go(func() {
		defer func() { close(busy); <-c.runs }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), runTime)
		defer cancel()
		a, err := c.opts.Ask(ctx, l.tenant, &messages.Task{Cron: l.schedule, Path: l.path, Due: due})
		switch {
		case err != nil:
			c.metrics.failed.Inc()
			c.tell(l, due, slog.LevelError, err.Error())
		case a.Code >= 400:
			c.metrics.failed.Inc()
			c.tell(l, due, slog.LevelError, fmt.Sprintf("answered %d", a.Code))
		default:
			c.metrics.done.Inc()
		}
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), patient) // ctx may have ended
		defer cancel()
		if *end, err = c.ended(writing, kv, l.key, k); err != nil {
			c.log.Debug("cron", "tenant", l.tenant, "err", err) // it may be told as cut short
		}
	})
}
