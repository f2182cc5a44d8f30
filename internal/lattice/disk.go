package lattice

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

const (
	diskInterval = 250 * time.Millisecond
	maxReserve   = 256 << 20 // bytes that state leaves free on its disk, or a sixteenth of it
)

// DiskLow reports whether the disk under the embedded server's state is nearly full:
// what is written further may fail, and take the reads with it.
func (l *Lattice) DiskLow() bool { return l.diskLow.Load() }

// tend watches the disk until ctx ends. The server gives state up when a write failed,
// until it starts anew: so it does when there is space.
func (l *Lattice) tend(ctx context.Context, token string) {
	for wait := diskInterval; pause(ctx, wait) == nil; {
		l.measure()
		s := l.embedded()
		disabled := !s.JetStreamEnabled()
		if l.diskLow.Load() || !disabled && !l.broken.Load() && !l.forgotten.Load() || disabled && s.JetStreamConfig() != nil { // the last: it is about to
			wait = diskInterval
			continue
		}
		if l.broken.Swap(false) {
			l.log.Warn("the lattice's server is restarted: a write to its disk had failed")
		} else {
			l.log.Warn("the lattice's server is restarted: it had given up its state")
		}
		stop(s)
		if retry(ctx, func() error { return l.start(token) }, l.failed) != nil {
			return
		}
		l.failed(nil)
		wait = min(2*wait, 30*time.Second) // if it does not help
	}
}

func (l *Lattice) measure() {
	var fs unix.Statfs_t
	if err := unix.Statfs(l.opts.Dir, &fs); err != nil {
		return
	}
	free, reserve := fs.Bavail*uint64(fs.Bsize), min(maxReserve, fs.Blocks*uint64(fs.Bsize)/16)
	was := l.diskLow.Load()
	if was {
		reserve += reserve / 4
	}
	low := free < reserve
	if l.diskLow.Store(low); low == was {
		return
	}
	if low {
		l.log.Error("the disk is nearly full: state is not written until there is space", "dir", l.opts.Dir, "free", free, "reserve", reserve)
	} else {
		l.log.Info("the disk has space again", "dir", l.opts.Dir, "free", free)
	}
}

// pause waits, and returns ctx's error if that ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
