package stream

import (
	"context"
	"errors"
	"time"

	"github.com/terrane/terrane/hostcalls/wasi/abi"
)

// Waiter is what a guest waits for. What makes it ready calls abi.State.Wake, unless it is a
// Timer.
type Waiter interface {
	// Ready is called by the request's goroutine.
	Ready() bool
}

// Pollable is the resource of that name.
type Pollable struct{ Waiter }

// Drop implements abi.Resource.
func (*Pollable) Drop() {}

// Timer is ready from a point in time on.
type Timer struct{ At time.Time }

// Ready implements Waiter.
func (t *Timer) Ready() bool { return !time.Now().Before(t.At) }

// Always is ready.
type Always struct{}

// Ready implements Waiter.
func (Always) Ready() bool { return true }

// Wait waits until ready is true, which it asks again after each abi.State.Wake and at the
// time until, if that is not zero.
func Wait(ctx context.Context, s *abi.State, until time.Time, ready func() bool) error {
	if ready() {
		return ctx.Err()
	}
	s.Idle()
	var alarm <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		alarm = t.C
	}
	for !ready() {
		select {
		case <-s.Woken():
		case <-alarm:
			// A timer has no earlier clock than the one that is asked, but it fires once.
			alarm = time.After(time.Millisecond)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

func waitFor(ctx context.Context, s *abi.State, w Waiter) error {
	return Wait(ctx, s, alarmOf(w), w.Ready)
}

// alarmOf is when a Timer is ready, zero for other Waiters.
func alarmOf(w Waiter) time.Time {
	if t, ok := w.(*Timer); ok {
		return t.At
	}
	return time.Time{}
}

func pollable(c *abi.Call) (*Pollable, error) { return abi.Lent[*Pollable](c, 0) }

func pollableReady(_ context.Context, c *abi.Call) error {
	p, err := pollable(c)
	if err != nil {
		return err
	}
	return c.ReturnBool(p.Ready())
}

func pollableBlock(ctx context.Context, c *abi.Call) error {
	p, err := pollable(c)
	if err != nil {
		return err
	}
	return waitFor(ctx, c.State, p.Waiter)
}

var (
	errNothing = errors.New("the list is empty: nothing could ever be ready")
	errTooMany = errors.New("the list has more than 4096 pollables")
)

const maxPoll = 4096

func poll(ctx context.Context, c *abi.Call) error {
	in, err := c.Items(0, 0)
	switch {
	case err != nil:
		return err
	case in.Len() == 0:
		return errNothing
	case in.Len() > maxPoll:
		return errTooMany
	}
	part := partOf(c.State)
	all := part.polled[:0]
	var first time.Time
	for i := range in.Len() {
		p, err := abi.Get[*Pollable](c.State, in.At(i).U32())
		if err != nil {
			return err
		}
		all = append(all, p.Waiter)
		if at := alarmOf(p.Waiter); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	part.polled = all
	err = Wait(ctx, c.State, first, part.anyReady)
	if err == nil {
		list := c.Result().List(len(part.found))
		for n, i := range part.found {
			list.At(n).Put(uint64(i))
		}
	}
	return err
}

// part is what this package keeps for a request.
type part struct {
	polled   []Waiter
	found    []int       // which of them are ready
	anyReady func() bool // finds them
}

func partOf(s *abi.State) *part { return abi.PartOf(s, abi.PartIO, newPart) }

func newPart(*abi.State) *part {
	p := &part{}
	p.anyReady = func() bool {
		p.found = p.found[:0]
		for i, w := range p.polled {
			if w.Ready() {
				p.found = append(p.found, i)
			}
		}
		return len(p.found) > 0
	}
	return p
}

// Idle implements abi.Part.
func (*part) Idle() {}

// Answer implements abi.Part.
func (*part) Answer() {}

// Close implements abi.Part.
func (p *part) Close() {
	clear(p.polled)
	p.polled = p.polled[:0]
}

// Subscribe returns a pollable for w, as a child of the handle in core parameter 0.
func Subscribe(c *abi.Call, w Waiter) error { return c.ReturnNew(&Pollable{w}, c.U32(0)) }
