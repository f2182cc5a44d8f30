package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/tenant"
)

// Task is a request that no visitor made: a message or a run of a cron line.
type Task struct {
	Path string
	Body []byte
	// Subject is the message's; Cron the schedule. One of them is empty.
	Subject tenant.Subject
	Cron    string
	Due     time.Time // of a run of a cron line; zero: not known
	// Hops counts the messages that led to this one.
	Hops int
}

// taskHost is the host that a task's guest sees: no domain leads to a task.
const taskHost = "task.terrane.invalid"

// Headers by which a guest knows a task. Visitors' are removed (ofEdges).
const (
	subjectHeader = "Terrane-Subject"
	cronHeader    = "Terrane-Cron"
	dueHeader     = "Terrane-Cron-Due"
)

// ErrBusy is Do's where another edge, or this one in a moment, may do the task: the
// tenant has as many requests in flight as it may, or the server drains.
var ErrBusy = errors.New("this edge has no room for it now")

// Do has the tenant's live release answer a task, within the limits of a visitor's
// request other than the rate. The error is ErrBusy, or that there is no such release
// here; what the guest makes of the task is a response. One of more than
// hostcalls.MessageMax is a 502.
func (s *Server) Do(ctx context.Context, id tenant.ID, t *Task) (code int, h http.Header, body []byte, err error) {
	at, ok := s.opts.Sites.byTenant.Load(id)
	if !ok {
		return 0, nil, nil, fmt.Errorf("no store of this edge has a release of %q", id)
	}
	method := http.MethodPost
	if t.Subject == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+taskHost+t.Path, bytes.NewReader(t.Body))
	if err != nil {
		return 0, nil, nil, err
	}
	if t.Subject != "" {
		r.Header[subjectHeader] = []string{string(t.Subject)}
	} else {
		r.Header[cronHeader] = []string{t.Cron}
		if !t.Due.IsZero() {
			r.Header[dueHeader] = []string{t.Due.UTC().Format(time.RFC3339)}
		}
	}
	w := &answer{header: http.Header{}}
	busy := true // unless it runs
	s.visit(w, r, func(ctx context.Context, v *visit) {
		v.host, v.task = taskHost, t
		v.place.site = at.(*site)
		if v.place.release = v.place.site.acquire(); v.place.release == nil {
			return
		}
		v.answer(ctx)
		busy = v.refused
	})
	switch {
	case busy:
		return 0, nil, nil, ErrBusy
	case w.full:
		return http.StatusBadGateway, http.Header{}, fmt.Appendf(nil, "the answer has more than %d bytes", hostcalls.MessageMax), nil
	}
	return w.code, w.header, w.body.Bytes(), nil
}

// answer keeps a response of at most hostcalls.MessageMax: files are larger.
type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
	full   bool
}

var errFull = errors.New("the answer is too large")

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(code int) { a.code = code }

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if a.full = a.full || a.body.Len()+len(b) > hostcalls.MessageMax; a.full {
		return 0, errFull
	}
	return a.body.Write(b)
}

// SetReadDeadline and SetWriteDeadline serve http.ResponseController: nothing is slow here.
func (a *answer) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is as SetReadDeadline.
func (a *answer) SetWriteDeadline(time.Time) error { return nil }

// Flush serves responses in chunks.
func (a *answer) Flush() {}
