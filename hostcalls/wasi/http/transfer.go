package http

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/terrane/terrane/hostcalls/wasi/abi"
)

// chunk is how much of a body is in memory between a guest and its upstream.
const chunk = 64 << 10

// upload is the body of an outbound request while it is written: a guest writes, a Fetcher reads.
type upload struct {
	s *abi.State

	mu    sync.Mutex
	more  sync.Cond // for the reader
	buf   []byte
	ended bool
	err   error // why it has ended
	gone  bool  // the reader
}

func newUpload(s *abi.State, begun []byte) *upload {
	u := &upload{s: s, buf: begun}
	u.more.L = &u.mu
	return u
}

var errGone = errors.New("the upstream takes no more of the body")

func (u *upload) budget() (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return 0, ErrorCode{kind: connectionTerminated}
	}
	return max(0, chunk-len(u.buf)), nil
}

func (u *upload) write(b []byte) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return errGone
	}
	u.buf = append(u.buf, b...)
	u.more.Signal()
	return nil
}

// end ends the body: with an error it is not complete.
func (u *upload) end(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.ended {
		u.ended, u.err = true, err
		u.more.Broadcast()
	}
}

// Read implements io.Reader, for the Fetcher.
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.buf) == 0 && !u.ended && !u.gone {
		u.more.Wait()
	}
	switch {
	case u.gone:
		return 0, errGone
	case len(u.buf) > 0:
		n := copy(p, u.buf)
		u.buf = u.buf[:copy(u.buf, u.buf[n:])]
		u.s.Wake()
		return n, nil
	case u.err != nil:
		return 0, u.err
	}
	return 0, io.EOF
}

// Close implements io.Closer: the Fetcher reads no more.
func (u *upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gone = true
	u.more.Broadcast()
	u.s.Wake()
	return nil
}

// download is the Source of an outbound request's response. It reads a chunk at a time, in a
// goroutine for which Close of the part waits.
type download struct {
	p       *part
	body    io.ReadCloser
	cancel  context.CancelCauseFunc
	between time.Duration
	buf     []byte // nil until it is first read
	rest    []byte // of buf: what the guest has not read. It is the guest's goroutine's while busy is false

	mu     sync.Mutex
	busy   bool
	err    error
	closed bool
}

func newDownload(r *incomingResponse) *download {
	return &download{p: r.p, body: r.resp.Body, cancel: r.cancel, between: r.between}
}

// Read implements stream.Source.
func (d *download) Read(n int) ([]byte, error) {
	if !d.Ready() {
		return nil, nil
	}
	if len(d.rest) == 0 {
		return nil, d.err
	}
	b := d.rest[:min(n, len(d.rest))]
	d.rest = d.rest[len(b):]
	return b, nil
}

// Ready implements stream.Waiter. Where nothing is there it lets a chunk be read.
func (d *download) Ready() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy {
		return false
	}
	if len(d.rest) > 0 || d.err != nil {
		return true
	}
	if d.buf == nil {
		if d.err = d.p.exchange().Hold(chunk); d.err != nil {
			return true
		}
		d.buf = make([]byte, chunk)
	}
	d.busy = true
	d.p.background.Go(d.fill)
	return false
}

func (d *download) fill() {
	var timer *time.Timer
	if d.between > 0 {
		timer = time.AfterFunc(d.between, func() { d.cancel(ErrorCode{kind: connectionReadTimeout}) })
	}
	n, err := 0, error(nil)
	for n == 0 && err == nil {
		n, err = d.body.Read(d.buf)
	}
	if timer != nil && !timer.Stop() && err != nil {
		err = ErrorCode{kind: connectionReadTimeout}
	}
	d.mu.Lock()
	d.rest, d.err, d.busy = d.buf[:n], err, false
	closed := d.closed
	d.mu.Unlock()
	if closed {
		_ = d.body.Close() // nobody reads it
	}
	d.p.s.Wake()
}

// Close implements stream.Source.
func (d *download) Close() {
	d.mu.Lock()
	busy, already := d.busy, d.closed
	d.closed = true
	d.mu.Unlock()
	if already {
		return
	}
	d.cancel(errDropped)
	if !busy {
		_ = d.body.Close() // nobody reads it
		if d.buf != nil {
			_ = d.p.exchange().Hold(-chunk) // less always fits
		}
	}
}
