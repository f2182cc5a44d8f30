package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// A lock is a folder of numbered files, of which the highest counts. Its holder
// changes it several times in a lease, and writes released to it in the end. Whoever
// finds it released, or unchanged for a lease of his own clock, may create the next
// number: exclusive creation lets one of them win, and no clocks need to agree. The
// highest file stays, or numbers would come again.
const (
	lockDir  = ".locks"
	released = "released........" // as long as a beat
	lockPoll = 100 * time.Millisecond
)

// heldLock is a lock of this process.
type heldLock struct {
	file string
	stop func() // of keepLease
}

// lockWatch is what a waiter saw of the highest file, and since when.
type lockWatch struct {
	file, content string
	since         time.Time
}

// Lock waits until the lock is free, its holder's lease ran out, or ctx ends.
func (f *Folder) Lock(ctx context.Context, name string) error {
	dir := filepath.Join(f.dir, lockDir, url.PathEscape(name))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var seen lockWatch
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait for lock %s: %w", name, err)
		}
		file, err := f.tryLock(dir, &seen)
		if err != nil {
			return fmt.Errorf("lock %s: %w", name, err)
		}
		if file != "" {
			f.hold(name, file) //nolint:contextcheck // the lease lasts for longer than the call
			return nil
		}
		timer := time.NewTimer(lockPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// tryLock returns the file that holds the lock now, or "".
func (f *Folder) tryLock(dir string, seen *lockWatch) (string, error) {
	highest, err := highestLock(dir)
	if err != nil {
		return "", err
	}
	if highest > 0 {
		now := lockWatch{file: lockFile(dir, highest), since: time.Now()}
		content, err := os.ReadFile(now.file)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil // there is a higher one
		} else if err != nil {
			return "", err
		}
		now.content = string(content)
		if now.content != released {
			if now.file != seen.file || now.content != seen.content {
				*seen = now
			}
			if now.since.Sub(seen.since) < f.lease {
				return "", nil
			}
		}
	}
	own := lockFile(dir, highest+1)
	file, err := os.OpenFile(own, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // inside the folder
	if errors.Is(err, fs.ErrExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	_, err = file.WriteString(beat(0))
	if err = errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	// This number may be an old one, which others have passed and removed.
	after, err := highestLock(dir)
	if err != nil || after != highest+1 {
		return "", errors.Join(err, os.Remove(own))
	}
	for n := highest; n > 0; n-- {
		if os.Remove(lockFile(dir, n)) != nil {
			break
		}
	}
	return own, nil
}

// hold keeps the lease from running out.
func (f *Folder) hold(name, file string) {
	l := &heldLock{file: file, stop: keepLease(f.lease, func(_ context.Context, n int) bool {
		return !errors.Is(overwrite(file, beat(n)), fs.ErrNotExist)
	})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[name] = l
}

// Unlock releases a lock that this process holds.
func (f *Folder) Unlock(_ context.Context, name string) error {
	f.mu.Lock()
	l, ok := f.held[name]
	delete(f.held, name)
	f.mu.Unlock()
	if !ok {
		return fmt.Errorf("unlock %s: it is not held", name)
	}
	l.stop()
	if err := overwrite(l.file, released); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unlock %s: %w", name, err)
	}
	return nil
}

// highestLock is the highest number in dir, or 0.
func highestLock(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	highest := 0
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			highest = max(highest, n)
		}
	}
	return highest, nil
}

func lockFile(dir string, n int) string { return filepath.Join(dir, strconv.Itoa(n)) }

func beat(n int) string { return fmt.Sprintf("%0*d", len(released), n) }

// overwrite changes a file that exists, in place.
func overwrite(name, content string) error {
	file, err := os.OpenFile(name, os.O_WRONLY, 0) //nolint:gosec // inside the folder
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	return errors.Join(err, file.Close())
}
