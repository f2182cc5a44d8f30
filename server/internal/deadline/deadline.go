// Package deadline has a context with a deadline whose timer starts only when Done is first
// called. Err compares the clock instead, so that a guest which never waits, and is held to its
// time by an engine that polls Err, costs no timer.
//
// It replaces context.WithDeadline on the path of each request that runs a module:
// BenchmarkContext shows what that saves.
package deadline

import (
	"context"
	"sync"
	"time"
)

// Context is a context.Context that ends at a time, or when its parent or End does. It is safe
// for concurrent use.
type Context struct {
	context.Context // the parent
	at              time.Time

	mu     sync.Mutex
	timed  context.Context // with the timer; nil until Done is called; guarded by mu
	cancel context.CancelFunc
	ended  bool // guarded by mu
}

// New returns a child of parent that ends at a time. Its caller calls End.
func New(parent context.Context, at time.Time) *Context { return &Context{Context: parent, at: at} }

// Deadline implements context.Context.
func (d *Context) Deadline() (time.Time, bool) { return d.at, true }

// Err implements context.Context. It reads the clock as long as there is no timer.
func (d *Context) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.timed != nil:
		return d.timed.Err()
	case d.ended:
		return context.Canceled
	case !time.Now().Before(d.at):
		return context.DeadlineExceeded
	}
	return d.Context.Err()
}

// Done implements context.Context.
func (d *Context) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed == nil {
		d.timed, d.cancel = context.WithDeadline(d.Context, d.at)
		if d.ended {
			d.cancel()
		}
	}
	return d.timed.Done()
}

// Value implements context.Context. It leads package context to the timer's
// context, so that derived ones need no goroutine.
func (d *Context) Value(key any) any {
	d.mu.Lock()
	ctx := d.timed
	d.mu.Unlock()
	if ctx == nil {
		ctx = d.Context
	}
	return ctx.Value(key)
}

// End frees the timer, and ends contexts derived from d.
func (d *Context) End() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.cancel != nil {
		d.cancel()
	}
}
