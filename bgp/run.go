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
	stop(ctx context.Context)
	abandon(ctx context.Context) // stop, if it does not answer
}

// told is the table of another speaker, which follows Status by itself.
type told struct{}

func (told) announce(context.Context, bool) error       { return nil }
func (told) withdraw(context.Context) error             { return nil }
func (told) anyEstablished() bool                       { return true }
func (told) neighbors(bool, time.Time) []NeighborStatus { return nil }
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
	if wait := r.until.Sub(now); wait > 0 {
		next = min(next, wait)
	}
	r.tick.Reset(next)

	s := Status{State: Announcing, Reason: failure}
	gone := r.phase == withdrawn && !now.Before(r.until) && failure == ""
	switch {
	case (drain || r.stopping) && !gone:
		s.State = Draining
	case drain || r.stopping:
		s.State = Drained
	case !healthy:
		s.State = Unhealthy
	}
	if s.Reason == "" {
		s.Reason = r.why(healthy, why, drain)
	}
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
			return leaving
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
	r.phase, r.until = target, now
	if heard {
		r.until = now.Add(wait)
	}
	if target == leaving && !heard {
		return r.move(ctx, now, leaving)
	}
	return nil
}
