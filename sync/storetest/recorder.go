// Package storetest holds what every store must do, as tests that any origin can
// be put through, and a Publisher that tells what went live.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/tenant"
)

// Patience is how long a test waits for what must happen.
const Patience = 4 * time.Minute

// Recorder is a Publisher that keeps what is live. It refuses modules that do not
// begin like one.
type Recorder struct {
	// Files are those of the Syncer. Set them before Run.
	Files tenantsync.Files
	// Hold, if set, is called before a release is judged, outside all locks.
	Hold func(context.Context, *tenant.Snapshot) error
	// Told, if set, is called after each change, under the Recorder's lock.
	Told func(Event)

	mu      sync.Mutex
	changed chan struct{} // closed at each change
	live    map[tenant.ID]*tenant.Snapshot
	log     []Event
}

// Event is one thing the Recorder was told, or nil Snapshot for a removal.
type Event struct {
	ID       tenant.ID
	Snapshot *tenant.Snapshot
	At       time.Time
}

// Publish implements tenantsync.Publisher.
func (r *Recorder) Publish(ctx context.Context, s *tenant.Snapshot) error {
	if r.Hold != nil {
		if err := r.Hold(ctx, s); err != nil {
			return err
		}
	}
	for name, f := range s.Files {
		data, err := r.read(f.Hash)
		if err != nil {
			return err
		}
		if int64(len(data)) != f.Size {
			return fmt.Errorf("%s has %d bytes, the snapshot says %d", name, len(data), f.Size)
		}
	}
	for _, name := range s.Modules() {
		if data, err := r.read(s.Files[name].Hash); err != nil || !bytes.HasPrefix(data, []byte("\x00asm")) {
			return fmt.Errorf("%w: %s is no module", tenantsync.ErrRefused, name)
		}
	}
	r.note(s.ID, s)
	return nil
}

// Remove implements tenantsync.Publisher.
func (r *Recorder) Remove(_ context.Context, id tenant.ID) { r.note(id, nil) }

func (r *Recorder) note(id tenant.ID, s *tenant.Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live == nil {
		r.live = map[tenant.ID]*tenant.Snapshot{}
	}
	r.live[id] = s
	if s == nil {
		delete(r.live, id)
	}
	r.log = append(r.log, Event{ID: id, Snapshot: s, At: time.Now()})
	if r.Told != nil {
		r.Told(r.log[len(r.log)-1])
	}
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// Events returns all that was told so far.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Event(nil), r.log...)
}

// Live returns what is live now.
func (r *Recorder) Live() map[tenant.ID]*tenant.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.live)
}

func (r *Recorder) wait() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

// Content reads a file of what is live; "" if there is none.
func (r *Recorder) Content(id tenant.ID, name string) string {
	s := r.Live()[id]
	if s == nil {
		return ""
	}
	f, ok := s.Files[name]
	if !ok {
		return ""
	}
	data, err := r.read(f.Hash)
	if err != nil {
		return ""
	}
	return string(data)
}

// read is the content of a file, which must have the hash.
func (r *Recorder) read(h tenant.Hash) ([]byte, error) {
	f, err := r.Files.Open(h)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	if err == nil && sha256.Sum256(data) != h {
		err = fmt.Errorf("%s: %w", h, tenant.ErrDamaged)
	}
	return data, errors.Join(err, f.Close())
}

// Edge is a running Syncer with its Recorder.
type Edge struct {
	*tenantsync.Syncer
	*Recorder
	cancel context.CancelFunc
	done   chan error
}

// Start runs a Syncer until the test ends or Stop is called.
func Start(tb testing.TB, o tenantsync.Options) *Edge {
	tb.Helper()
	e := &Edge{Recorder: &Recorder{}, done: make(chan error, 1)}
	if r, ok := o.Publisher.(*Recorder); ok {
		e.Recorder = r
	}
	o.Publisher, e.Files = e.Recorder, tenantsync.NewFiles(o.Data)
	s, err := tenantsync.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	e.Syncer = s
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	go func() { e.done <- s.Run(ctx) }()
	tb.Cleanup(func() { e.Stop(tb) })
	return e
}

// Stop ends the Syncer and waits for it. It may be called twice.
func (e *Edge) Stop(tb testing.TB) {
	tb.Helper()
	if e.cancel == nil {
		return
	}
	e.cancel()
	e.cancel = nil
	select {
	case err := <-e.done:
		if err != nil {
			tb.Errorf("Run: %v", err)
		}
	case <-time.After(Patience):
		tb.Error("Run has not returned")
	}
}

// Await waits until cond holds. It is asked again whenever something goes live, and
// from time to time for what only Status shows.
func (e *Edge) Await(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	deadline := time.After(Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		changed := e.wait()
		if cond() {
			return
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("never: %s; status %+v", what, e.describe())
		}
	}
}

func (e *Edge) describe() string {
	st := e.Status()
	var out strings.Builder
	fmt.Fprintf(&out, "stores %+v", st.Stores)
	for _, t := range st.Tenants {
		fmt.Fprintf(&out, "\n%s live %+v refused %+v waiting %q", t.ID, t.Live, t.Refused, t.Waiting)
	}
	return out.String()
}

// AwaitContent waits until a file of a tenant is live with the content.
func (e *Edge) AwaitContent(tb testing.TB, id tenant.ID, name, want string) {
	tb.Helper()
	e.Await(tb, fmt.Sprintf("%s of %s is %.40q", name, id, want), func() bool { return e.Content(id, name) == want })
}

// AwaitMirrored waits until all stores are mirrored.
func (e *Edge) AwaitMirrored(tb testing.TB) {
	tb.Helper()
	select {
	case <-e.Mirrored():
	case err := <-e.done:
		e.done <- err
		tb.Fatalf("Run: %v", err)
	case <-time.After(Patience):
		tb.Fatalf("never mirrored: %s", e.describe())
	}
}

// AwaitRefusal waits until the tenant's newest state is refused, and returns why.
func (e *Edge) AwaitRefusal(tb testing.TB, id tenant.ID) tenantsync.Refusal {
	tb.Helper()
	var got tenantsync.Refusal
	e.Await(tb, "a refusal of "+string(id), func() bool {
		t, _ := e.Tenant(id)
		if t.Refused != nil {
			got = *t.Refused
		}
		return t.Refused != nil
	})
	return got
}

// AwaitLook waits until the store has looked at its origin n more times.
func (e *Edge) AwaitLook(tb testing.TB, n int) {
	tb.Helper()
	for range n {
		last := e.Status().Stores[0].LastLook
		e.Nudge("")
		e.Await(tb, "another look", func() bool { return e.Status().Stores[0].LastLook.After(last) })
	}
}

// ErrHost is an error that is no refusal.
var ErrHost = errors.New("the host is out of something")
