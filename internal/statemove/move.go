package statemove

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/tenant"
)

const (
	atOnce     = 16 // entries on their way out of a store, or into one
	listed     = 1000
	patience   = time.Minute     // of one entry of an import, while the store fails
	readyWait  = 2 * time.Minute // of an import for the store
	retryEvery = 100 * time.Millisecond
	aliveEvery = time.Second
)

// Store is where state is.
type Store struct {
	Of  func(id tenant.ID, strict bool) hostcalls.KV
	All func(context.Context) ([]tenant.ID, error) // that have state
	// Ready waits until writes are confirmed, and says which generation of the store that
	// is. Nil: it always is ready.
	Ready func(context.Context) (generation string, err error)
}

// Export sends the entries of one tenant, or of all if id is empty, and the last line.
func (s Store) Export(ctx context.Context, id tenant.ID, send func(*Line) error) error {
	ids := []tenant.ID{id}
	if id == "" {
		var err error
		if ids, err = s.All(ctx); err != nil {
			return err
		}
	}
	n := int64(0)
	for _, id := range ids {
		err := s.export(ctx, id, func(m *Line) error {
			n++
			return send(m)
		})
		if err != nil {
			err = fmt.Errorf("%s: %w", id, err)
			return errors.Join(err, send(&Line{Error: err.Error()}))
		}
	}
	return send(&Line{Entries: &n})
}

func (s Store) export(ctx context.Context, id tenant.ID, send func(*Line) error) error {
	kv := s.Of(id, true) // those that read at once share what that costs
	var sending sync.Mutex
	one := func(ctx context.Context, key string) error {
		entry, err := kv.Get(ctx, key)
		if errors.Is(err, hostcalls.ErrNotFound) {
			return nil // it has gone since
		}
		if err != nil {
			return err
		}
		sending.Lock()
		defer sending.Unlock()
		return send(&Line{Tenant: id, Entry: NewEntry(key, entry)})
	}
	if err := one(ctx, ""); err != nil { // lists begin behind it
		return err
	}
	for after := ""; ; {
		keys, err := kv.List(ctx, "", after, listed)
		if err != nil || len(keys) == 0 {
			return err
		}
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(atOnce)
		for _, key := range keys {
			group.Go(func() error { return one(ctx, key) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		after = keys[len(keys)-1]
	}
}

// Result is what became of the entries of an import.
type Result struct {
	Imported, Kept, Differ, Expired atomic.Int64
}

// String is for people.
func (n *Result) String() string {
	text := fmt.Sprintf("%d entries imported, %d were there already, %d have expired", n.Imported.Load(), n.Kept.Load(), n.Expired.Load())
	if differ := n.Differ.Load(); differ > 0 {
		text += fmt.Sprintf("; %d of those that were there have other values, which stay (--replace replaces them)", differ)
	}
	return text
}

// Import stores the entries of an export, and returns when they are confirmed. What is there
// is kept, unless it is to be replaced. alive is called every second and before each entry;
// its error ends the import. The Result is there with an error too.
func (s Store) Import(ctx context.Context, lines io.Reader, replace bool, alive func() error) (*Result, error) {
	n := new(Result)
	generation, err := s.ready(ctx, alive)
	if err != nil {
		return n, err
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	end, err := Read(lines, func(m *Line) error {
		if err := errors.Join(within.Err(), alive()); err != nil {
			return err
		}
		group.Go(func() error { return s.importEntry(within, m, replace, n) })
		return nil
	})
	if stored := group.Wait(); stored != nil {
		return n, stored // the cause of the other
	}
	if err != nil {
		return n, err
	}
	if *end.Entries != n.Imported.Load()+n.Kept.Load()+n.Expired.Load() {
		return n, InputError{fmt.Errorf("it should have %d entries: lines are missing", *end.Entries)}
	}
	now, err := s.ready(ctx, alive)
	if err == nil && now != generation {
		err = errors.New("the state was removed and made again meanwhile: nothing is certain of what was imported")
	}
	return n, err
}

// ready waits until the store is, for as long as an import does.
func (s Store) ready(ctx context.Context, alive func() error) (generation string, err error) {
	if s.Ready == nil {
		return "", nil
	}
	for end := time.Now().Add(readyWait); ; {
		if err := alive(); err != nil {
			return "", err
		}
		attempt, cancel := context.WithTimeout(ctx, aliveEvery)
		generation, err = s.Ready(attempt)
		cancel()
		if err == nil || ctx.Err() != nil {
			return generation, err
		}
		if time.Now().After(end) {
			return "", fmt.Errorf("the state could not be written for %s: %w", readyWait, err)
		}
		if err := pause(ctx, retryEvery); err != nil {
			return "", err
		}
	}
}

func (s Store) importEntry(ctx context.Context, m *Line, replace bool, n *Result) error {
	var expires time.Time
	if m.Expires != nil {
		expires = *m.Expires
	}
	over := func() bool { return !expires.IsZero() && !time.Now().Before(expires) }
	if over() {
		n.Expired.Add(1)
		return nil
	}
	key, value := m.Text(), m.Bytes()
	where := func(err error) error { return fmt.Errorf("%s: key %.80q: %w", m.Tenant, key, err) }
	if len(key) > hostcalls.KVKeyMax || len(value) > hostcalls.KVValueMax {
		return InputError{where(fmt.Errorf("want a key of at most %d bytes and a value of at most %d", hostcalls.KVKeyMax, hostcalls.KVValueMax))}
	}
	kv := s.Of(m.Tenant, true)
	var version uint64       // of our write
	put, sure := false, true // sure: no write of ours can have been done without an answer
	for end, at := time.Now().Add(patience), uint64(0); ; {
		if !put {
			var err error
			version, err = kv.Put(ctx, key, value, at, expires)
			switch {
			case err == nil:
				put = true
			case errors.Is(err, hostcalls.ErrFull):
				return where(err)
			case !errors.Is(err, hostcalls.ErrConflict):
				sure = false
				if err := again(ctx, end, err); err != nil {
					return where(err)
				}
				continue
			}
		}
		there, err := kv.Get(ctx, key)
		same := err == nil && bytes.Equal(there.Value, value)
		confirmed := put && (there.Version > version || there.Version == version && same) // or written again since
		switch {
		case errors.Is(err, hostcalls.ErrNotFound) && over():
			n.Expired.Add(1)
			return nil
		case errors.Is(err, hostcalls.ErrNotFound) && put:
			return where(errors.New("the write was confirmed, and the key is not there"))
		case errors.Is(err, hostcalls.ErrNotFound):
			at = 0
			if err := again(ctx, end, hostcalls.ErrConflict); err != nil {
				return where(err)
			}
		case err != nil:
			if err := again(ctx, end, err); err != nil {
				return where(err)
			}
		case confirmed, same && !sure:
			n.Imported.Add(1)
			return nil
		case put:
			return where(errors.New("the write was confirmed, and the key has an older value"))
		case replace:
			at = there.Version
		default:
			n.Kept.Add(1)
			if !same {
				n.Differ.Add(1)
			}
			return nil
		}
	}
}

// again waits before another attempt, and returns err when there is no time for one.
func again(ctx context.Context, end time.Time, err error) error {
	if time.Now().After(end) || pause(ctx, retryEvery) != nil {
		return err
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
