package lattice

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"
)

const (
	diskInterval = 250 * time.Millisecond
	metaInterval = time.Second
	maxReserve   = 256 << 20 // bytes that state leaves free on its disk, or a sixteenth of it
)

// DiskLow reports whether the disk under the embedded server's state is nearly full:
// what is written further may fail, and take the reads with it.
func (l *Lattice) DiskLow() bool { return l.diskLow.Load() }

// tend watches the disk until ctx ends. The server gives state up when a write failed,
// until it starts again: so it does when there is space.
func (l *Lattice) tend(ctx context.Context, token string) {
	var kept time.Time
	for wait := diskInterval; ; {
		var ask resync
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		case ask = <-l.resyncs:
		}
		if l.stuck.Load() {
			ask.answer(errStuck)
			continue
		}
		l.measure()
		if time.Since(kept) >= metaInterval {
			if err := l.keepMeta(); err != nil {
				l.log.Debug("cannot copy the configuration of a stream", "err", err)
			}
			kept = time.Now()
		}
		s := l.embedded()
		disabled := !s.JetStreamEnabled()
		if ask.done == nil && (l.diskLow.Load() || !disabled && !l.broken.Load() && !l.forgotten.Load() || disabled && s.JetStreamConfig() != nil) { // the last: it is about to
			wait = diskInterval
			continue
		}
		if err := l.restart(ctx, token, s, &ask); err != nil {
			if ctx.Err() != nil {
				return
			}
			continue
		}
		wait = min(2*wait, 30*time.Second) // if it does not help
	}
}

// restart replaces the server by a new one, without the copy of a stream that is to be
// made again, if any.
func (l *Lattice) restart(ctx context.Context, token string, s *server.Server, ask *resync) error {
	var dirs []string
	if ask.done != nil {
		var err error
		if dirs, err = l.copyOf(s, ask.stream, ask.group); err != nil {
			ask.answer(err)
			return err
		}
		l.log.Warn("lattice server restarts, to fetch its copy of a stream from the other edges", "stream", ask.stream)
	} else {
		reason := "it had given up its state"
		switch {
		case l.forgotten.Load():
			reason = "its cluster has forgotten this edge"
		case l.broken.Load():
			reason = "a write to its disk had failed"
		}
		l.log.Warn("lattice server restarts", "reason", reason)
	}
	err := l.stop(s)
	if err != nil {
		l.failed(err)
		ask.answer(err)
		return err
	}
	for _, dir := range dirs {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	l.broken.Store(false)
	if started := retry(ctx, func() error { return l.start(ctx, token) }, l.failed); started != nil {
		ask.answer(started)
		return started
	}
	l.failed(nil)
	ask.answer(err)
	return nil
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

// Pause waits, and returns ctx's error if that ends first.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
