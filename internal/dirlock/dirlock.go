// Package dirlock keeps two processes from using one folder.
package dirlock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInUse is wrapped by Take's error when another process has the folder.
var ErrInUse = errors.New("in use by another process")

// Lock is a folder that this process has. The kernel gives it back when the process
// dies, or the last child that got File.
type Lock struct{ file *os.File }

// Take takes a folder, and makes it if it is not there. Its caller gives it back with
// Release.
func Take(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator's own data folder
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("data folder %s: %w", dir, err), f.Close())
	}
	return &Lock{f}, nil
}

// Wait is Take that waits for at most d, or until ctx ends, for another process to
// leave the folder.
func Wait(ctx context.Context, dir string, d time.Duration) (*Lock, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); ; {
		l, err := Take(dir)
		if !errors.Is(err, ErrInUse) || time.Now().After(end) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%w (pid %s): give each edge its own", ErrInUse, holder(f))
	}
	if err != nil {
		return err
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if _, err := f.WriteAt([]byte(pid), 0); err != nil { // a full disk: others are not told who has it
		return f.Truncate(0)
	}
	return f.Truncate(int64(len(pid)))
}

func holder(f *os.File) []byte {
	pid := make([]byte, 20)
	n, _ := f.ReadAt(pid, 0)
	return bytes.TrimSpace(pid[:n])
}

// File is for the ExtraFiles of children that use the folder too: they keep it when
// this process is killed.
func (l *Lock) File() *os.File { return l.file }

// Release gives the folder back, also when a child between fork and exec still holds
// the file. It is called once.
func (l *Lock) Release() error {
	return errors.Join(unix.Flock(int(l.file.Fd()), unix.LOCK_UN), l.file.Close())
}
