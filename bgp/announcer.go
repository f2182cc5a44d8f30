package bgp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Announcer announces the prefixes of its Options while they are healthy and
// not draining. Its methods are safe for concurrent use.
type Announcer struct {
	opts Options
	log  *slog.Logger
	wake chan struct{} // something below mu changed, or a session did

	mu      sync.Mutex
	running bool
	healthy bool
	reason  string        // why not healthy
	drain   bool          // asked for by Drain
	drained chan struct{} // closed when withdrawn after the drain; nil: no drain
	status  Status
}

const (
	retryStart = 5 * time.Second
	retryCall  = time.Second
	refresh    = time.Second // of what only time changes in Status
)

// New returns an Announcer that is unhealthy until SetHealth says otherwise. It starts
// nothing; call Run. Its error joins every fault of the options (Options.Check).
func New(opts Options) (*Announcer, error) {
	if err := opts.Check(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	a := &Announcer{
		opts: opts, log: opts.Logger, wake: make(chan struct{}, 1), reason: "no word about its health yet",
		status: Status{State: Stopped, Since: time.Now(), Prefixes: opts.Prefixes, Neighbors: idleNeighbors(&opts)},
	}
	if opts.DrainFile != "" {
		switch _, err := os.Stat(opts.DrainFile); {
		case err == nil:
			a.drain = true
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("bgp: is this edge drained? %w", err)
		}
	}
	if opts.Metrics != nil {
		if err := opts.Metrics.Register(newCollector(a.Status)); err != nil {
			return nil, fmt.Errorf("bgp: %w", err)
		}
	}
	return a, nil
}

// SetHealth says whether the edge can serve; reason says why not. It does not
// wait: a loss withdraws at once, and Status tells when that is done.
func (a *Announcer) SetHealth(ok bool, reason string) {
	a.mu.Lock()
	if ok {
		reason = ""
	}
	a.healthy, a.reason = ok, reason
	a.mu.Unlock()
	a.poke()
}

// Drain withdraws the prefixes in order and returns when routers had time to
// follow, or with the context's error: the drain goes on then. It holds until
// Undrain, over restarts if there is a DrainFile; that this could not be written is
// an error that does not stop the drain.
func (a *Announcer) Drain(ctx context.Context) error {
	a.mu.Lock()
	if !a.drain {
		a.drain, a.drained = true, make(chan struct{})
	}
	drained := a.drained
	if !a.running {
		drained = nil // nothing is announced
	}
	a.mu.Unlock()
	a.poke()
	saved := a.remember()
	if drained == nil {
		return saved
	}
	select {
	case <-drained:
	case <-ctx.Done():
		return errors.Join(ctx.Err(), saved)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.drain {
		return errUndrained
	}
	return saved
}

var errUndrained = errors.New("bgp: the drain was taken back")

// Undrain ends a drain, even before it is complete. It does not wait for routers.
func (a *Announcer) Undrain() error {
	a.mu.Lock()
	a.drain = false
	a.releaseDrain()
	a.mu.Unlock()
	a.poke()
	return a.remember()
}

// remember makes DrainFile say what is so. Calls that race end with the truth.
func (a *Announcer) remember() error {
	if a.opts.DrainFile == "" {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.drain {
		if err := os.Remove(a.opts.DrainFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("bgp: drained again after a restart: %w", err)
		}
		return nil
	}
	if err := os.WriteFile(a.opts.DrainFile, []byte("drained; terrane undrain removes this\n"), 0o600); err != nil {
		return fmt.Errorf("bgp: drained, but not after a restart: %w", err)
	}
	return nil
}

// Status is the current state.
func (a *Announcer) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status.clone()
}

func (a *Announcer) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

var errRunning = errors.New("bgp: Run was called twice at a time")

// Run speaks BGP until the context ends. It then withdraws in order, closes the
// sessions, and returns nil; that takes ShutdownWait and WithdrawWait, and the latter
// once more if visitors still come.
func (a *Announcer) Run(ctx context.Context) error {
	a.mu.Lock()
	if a.running {
		a.mu.Unlock()
		return errRunning
	}
	a.running = true
	a.mu.Unlock()
	defer a.stopped()

	speaker := a.start(ctx)
	if speaker == nil {
		return nil // the context ended first
	}
	// The last words of a session are spoken after ctx ended.
	last := context.WithoutCancel(ctx)
	tick := time.NewTimer(0)
	defer tick.Stop()
	r := run{a: a, speaker: speaker, tick: tick}
	defer func() { r.speaker.stop(last) }()
	done := ctx.Done()
	for {
		select {
		case <-done:
			done = nil
			r.stopping = true
		case <-a.wake:
		case <-r.tick.C:
		}
		if r.step(last, time.Now()) {
			return nil
		}
		if r.stuck {
			// It may announce what should be withdrawn: its sessions end now.
			a.log.Error("bgp speaker is stuck and started anew", "reason", a.Status().Reason)
			r.speaker.abandon(last)
			if speaker = a.start(ctx); speaker == nil {
				return nil
			}
			r = run{a: a, speaker: speaker, tick: tick, stopping: r.stopping}
		}
	}
}

// start tries until there is a speaker, or nil when the context ended.
func (a *Announcer) start(ctx context.Context) table {
	if a.opts.silent() {
		return told{}
	}
	for {
		s, err := startSpeaker(ctx, &a.opts, a.poke)
		if err == nil {
			return s
		}
		if ctx.Err() != nil {
			return nil
		}
		a.publish(Status{State: Starting, Reason: err.Error(), Neighbors: idleNeighbors(&a.opts)})
		retry := time.NewTimer(retryStart)
		select {
		case <-ctx.Done():
			retry.Stop()
			return nil
		case <-retry.C:
		}
	}
}

func (a *Announcer) stopped() {
	a.publish(Status{State: Stopped, Neighbors: idleNeighbors(&a.opts)})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running = false
	a.releaseDrain()
}

// releaseDrain lets Drain return. It needs mu.
func (a *Announcer) releaseDrain() {
	if a.drained != nil {
		close(a.drained)
		a.drained = nil
	}
}

// publish makes s the status, and tells of it if it says anything new.
func (a *Announcer) publish(s Status) {
	a.mu.Lock()
	old := a.status
	s.Since, s.Prefixes = old.Since, a.opts.Prefixes
	if s.State != old.State {
		s.Since = time.Now()
	}
	a.status = s
	a.mu.Unlock()
	if !s.differs(old) {
		return
	}
	if s.State != old.State || s.Reason != old.Reason {
		a.log.Info("announcement changed", "state", s.State, "reason", s.Reason, "prefixes", a.opts.Prefixes)
	}
	for i, n := range s.Neighbors {
		if o := old.Neighbors[i]; n.Established != o.Established || n.Reason != o.Reason {
			a.log.Info("bgp neighbor changed", "neighbor", n.Address, "established", n.Established, "reason", n.Reason)
		}
	}
	if a.opts.OnChange != nil {
		a.opts.OnChange(s.clone())
	}
}
