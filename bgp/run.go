package bgp

import (
	"context"
	"errors"
	"time"
)

// phase is what the speaker's table holds of our prefixes.
type phase uint8

const (
	withdrawn phase = iota
	announced
	leaving // announced with GRACEFUL_SHUTDOWN
	unsure  // a call failed half way
)

// table is where our prefixes are announced from.
type table interface {
	announce(ctx context.Context, leaving bool) error
	withdraw(ctx context.Context) error
	anyEstablished() bool // reports whether a router would hear a change
	neighbors(announcing bool, now time.Time) []NeighborStatus
	hangUp(text string) // ends the sessions, and allows none until connect
	connect()
	stop(ctx context.Context)
	abandon(ctx context.Context) // stop, if it does not answer
}

// told is the table of another speaker, which follows Status by itself.
type told struct{}

func (told) announce(context.Context, bool) error       { return nil }
func (told) withdraw(context.Context) error             { return nil }
func (told) anyEstablished() bool                       { return true }
func (told) neighbors(bool, time.Time) []NeighborStatus { return nil }
func (told) hangUp(string)                              {}
func (told) connect()                                   {}
func (told) stop(context.Context)                       {}
func (told) abandon(context.Context)                    {}

// run is the state of one call of Run.
type run struct {
	a        *Announcer
	speaker  table
	tick     *time.Timer
	stopping bool
	stuck    bool // the speaker does not answer any more

	phase phase
	until time.Time // leaving: when to withdraw; withdrawn: when routers have followed
	watch watch
}

// watch looks for visitors after a withdrawal that a router heard.
type watch struct {
	from     time.Time // when it begins; zero: nothing was withdrawn
	counting bool
	first    uint64 // Visitors.Arrived then
	late     uint64 // visitors since
	ended    bool   // the sessions, because of them
}

// lateWatch is the part of WithdrawWait after which a visitor is late.
const lateWatch = 2

// verify ends the sessions if visitors still come when routers should have followed the
// withdrawal.
func (r *run) verify(now time.Time) {
	o, w := &r.a.opts, &r.watch
	if o.Visitors == nil || r.phase != withdrawn || w.from.IsZero() || now.Before(w.from) {
		return
	}
	count := o.Visitors.Arrived()
	if !w.counting {
		w.counting, w.first = true, count
	}
	w.late = count - w.first
	if w.late == 0 || w.ended || o.KeepSessions || now.Before(r.until) {
		return
	}
	r.a.log.Warn("visitors still come after the withdrawal: ending the bgp sessions", "visitors", w.late)
	r.speaker.hangUp("withdrawn, and visitors still come")
	*w = watch{from: now.Add(o.WithdrawWait / lateWatch), ended: true}
	r.until = now.Add(o.WithdrawWait)
}

// step brings the table closer to what is wanted, publishes the status, sets
// the timer, and reports whether Run is over.
func (r *run) step(ctx context.Context, now time.Time) bool {
	a := r.a
	a.mu.Lock()
	healthy, why, drain := a.healthy, a.reason, a.drain
	a.mu.Unlock()

	next := refresh
	failure := ""
	if err := r.move(ctx, now, r.target(healthy, drain)); err != nil {
		failure = err.Error() + ": trying again"
		next = retryCall
		r.stuck = errors.Is(err, errStuck)
	}
	r.verify(now)
	for _, at := range []time.Time{r.until, r.watch.from} {
		if wait := at.Sub(now); wait > 0 {
			next = min(next, wait)
		}
	}
	r.tick.Reset(next)

	s := Status{State: Announcing, Reason: failure}
	gone := r.phase == withdrawn && !now.Before(r.until) && failure == ""
	switch {
	case (drain || r.stopping) && r.phase == withdrawn && !gone:
		s.State = Withdrawing
	case (drain || r.stopping) && !gone:
		s.State = Draining
	case drain || r.stopping:
		s.State = Drained
	case !healthy:
		s.State = Unhealthy
	}
	if s.Reason == "" {
		s.Reason = r.why(healthy, why, drain) + r.watch.result()
	}
	s.SessionsEnded, s.LateVisitors = r.watch.ended, r.watch.late
	s.Neighbors = r.speaker.neighbors(r.phase == announced, now)
	a.publish(s)
	if drain && gone {
		a.mu.Lock()
		a.releaseDrain()
		a.mu.Unlock()
	}
	// A speaker that is stuck is stopped all the same: the end of its sessions withdraws.
	return r.stopping && (gone || failure != "")
}

// result says what the watch has found, to be appended to the reason of the withdrawal.
func (w *watch) result() string {
	switch {
	case w.ended && w.late > 0:
		return "; visitors come although the sessions are ended: another route leads here"
	case w.ended:
		return "; the sessions are ended, as visitors came after the withdrawal"
	case w.late > 0:
		return "; visitors still come"
	}
	return ""
}

func (r *run) why(healthy bool, why string, drain bool) string {
	switch {
	case r.stopping:
		return "shutting down"
	case drain:
		return "drained by the operator"
	case !healthy:
		return why
	}
	return ""
}

// target is the phase to be in. Only an edge that is healthy leaves slowly.
func (r *run) target(healthy, drain bool) phase {
	switch {
	case !healthy:
		return withdrawn
	case drain || r.stopping:
		switch r.phase {
		case announced:
			if r.a.opts.anyGraceful() {
				return leaving
			}
			return withdrawn
		case unsure:
			return withdrawn
		}
		return r.phase
	}
	return announced
}

// move goes to the target phase, and on from leaving to withdrawn in time.
func (r *run) move(ctx context.Context, now time.Time, target phase) error {
	if target == leaving && r.phase == leaving && !now.Before(r.until) {
		target = withdrawn
	}
	if target == r.phase {
		return nil
	}
	if r.watch.ended && target == announced {
		r.speaker.connect()
	}
	heard := r.speaker.anyEstablished() // else there is nobody to wait for
	var err error
	var wait time.Duration
	switch target {
	case announced:
		err = r.speaker.announce(ctx, false)
	case leaving:
		err = r.speaker.announce(ctx, true)
		wait = r.a.opts.ShutdownWait
	case withdrawn:
		err = r.speaker.withdraw(ctx)
		wait = r.a.opts.WithdrawWait
	}
	if err != nil {
		r.phase = unsure
		return err
	}
	r.phase, r.until, r.watch = target, now, watch{}
	if heard {
		r.until = now.Add(wait)
	}
	if heard && target == withdrawn {
		r.watch.from = now.Add(wait / lateWatch)
	}
	if target == leaving && !heard {
		return r.move(ctx, now, leaving)
	}
	return nil
}
