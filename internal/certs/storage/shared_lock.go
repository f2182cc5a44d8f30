package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/terrane/terrane/hostcalls"
)

// sharedLock is a lock of this process.
type sharedLock struct {
	id   []byte // of this hold
	at   uint64 // version; of the goroutine until stop has returned
	stop func() // of keepLease
}

// Lock waits until the lock is free, its holder's lease ran out, or ctx ends.
func (s *Shared) Lock(ctx context.Context, name string) error {
	key, id := sharedLocks+name, []byte(rand.Text()+" ")
	var seen uint64
	var since time.Time
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait for lock %s: %w", name, err)
		}
		e, err := s.kv.Get(ctx, key)
		if err != nil && !errors.Is(err, hostcalls.ErrNotFound) {
			return fmt.Errorf("lock %s: %w", name, err)
		}
		if e.Version != seen {
			seen, since = e.Version, time.Now()
		}
		if e.Version == 0 || time.Since(since) >= s.lease {
			at, err := s.kv.Put(ctx, key, id, e.Version, time.Time{})
			if err == nil {
				s.hold(name, &sharedLock{id: id, at: at}) //nolint:contextcheck // the lease lasts for longer than the call
				return nil
			}
			if !errors.Is(err, hostcalls.ErrConflict) {
				return fmt.Errorf("lock %s: %w", name, err)
			}
		}
		timer := time.NewTimer(lockPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// hold keeps the lease from running out.
func (s *Shared) hold(name string, l *sharedLock) {
	l.stop = keepLease(s.lease, func(ctx context.Context, n int) bool { return s.beat(ctx, sharedLocks+name, l, n) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[name] = l
}

// beat changes the lock, and reports whether it may still be ours.
func (s *Shared) beat(ctx context.Context, key string, l *sharedLock, n int) bool {
	ctx, cancel := context.WithTimeout(ctx, s.lease/4)
	defer cancel()
	at, err := s.kv.Put(ctx, key, strconv.AppendInt(bytes.Clone(l.id), int64(n), 10), l.at, time.Time{})
	if err == nil {
		l.at = at
		return true
	}
	if !errors.Is(err, hostcalls.ErrConflict) {
		return true // it is tried again
	}
	return s.found(ctx, key, l)
}

// found looks whether the lock is ours at another version: that of a change whose
// confirmation was lost.
func (s *Shared) found(ctx context.Context, key string, l *sharedLock) bool {
	e, err := s.kv.Get(ctx, key)
	if err == nil && bytes.HasPrefix(e.Value, l.id) {
		l.at = e.Version
		return true
	}
	return err != nil && !errors.Is(err, hostcalls.ErrNotFound)
}

// Unlock releases a lock that this process holds.
func (s *Shared) Unlock(ctx context.Context, name string) error {
	s.mu.Lock()
	l, ok := s.held[name]
	delete(s.held, name)
	s.mu.Unlock()
	if !ok {
		return fmt.Errorf("unlock %s: it is not held", name)
	}
	l.stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.lease)
	defer cancel()
	key := sharedLocks + name
	err := s.kv.Delete(ctx, key, l.at)
	if errors.Is(err, hostcalls.ErrConflict) && s.found(ctx, key, l) {
		err = s.kv.Delete(ctx, key, l.at)
	}
	if err == nil || errors.Is(err, hostcalls.ErrConflict) || errors.Is(err, hostcalls.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("unlock %s: %w", name, err)
}
