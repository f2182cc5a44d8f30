package conns

import (
	"errors"
	"os"
	"sync"
	"time"
)

// lazyDeadline is the deadline of one direction of a connection. It is handed to the
// connection only when that makes an operation end earlier; an operation that ends too
// early is resumed.
type lazyDeadline struct {
	set func(time.Time) error // hands it to the connection

	mu      sync.Mutex
	want    time.Time // zero: none
	has     time.Time // what the connection has; zero: none
	waiting int       // operations under way
}

func (d *lazyDeadline) change(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.want = t
	if d.waiting == 0 {
		return nil
	}
	return d.hasten()
}

func (d *lazyDeadline) begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting++
	if err := d.hasten(); err != nil {
		d.waiting--
		return err
	}
	return nil
}

func (d *lazyDeadline) end() {
	d.mu.Lock()
	d.waiting--
	d.mu.Unlock()
}

// hasten hands over a deadline that is earlier than the connection's. d.mu is held.
func (d *lazyDeadline) hasten() error {
	if d.want.IsZero() || !d.has.IsZero() && !d.want.Before(d.has) {
		return nil
	}
	d.has = d.want
	return d.set(d.want)
}

// early reports whether err comes from a deadline that no longer applies, and hands over
// the one that does.
func (d *lazyDeadline) early(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.want.IsZero() && !time.Now().Before(d.want) {
		return false
	}
	d.has = d.want
	return d.set(d.want) == nil
}
