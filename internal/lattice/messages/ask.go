package messages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/terrane/terrane/tenant"
)

const (
	workingEvery = time.Second
	silence      = 2500 * time.Millisecond // of an edge that is given up
	attempts     = 3

	tokenAt = 2 // among the tokens of a subject
)

// errSilent is where an edge took a task and was not heard of again.
var errSilent = errors.New("the edge that had it is silent")

// Ask has a task done by this edge if it serves the tenant and has room, else by
// the nearest that does. A task whose edge falls silent is given to another. The
// error wraps ErrNobody if no edge could take it, and ctx's.
func (m *Messages) Ask(ctx context.Context, id tenant.ID, t *Task) (*Answer, error) {
	if t.Hops > MaxHops {
		return nil, fmt.Errorf("%d messages that led to one another: a circle?", t.Hops)
	}
	if len(t.Body) > MaxBytes {
		return nil, tooLarge(len(t.Body))
	}
	if a, err := m.here(ctx, id, t); err == nil {
		m.metrics.here.Inc()
		return a, nil
	}
	a, err := m.elsewhere(ctx, id, t)
	if err != nil {
		m.metrics.unanswered.Inc()
		return nil, err
	}
	m.metrics.elsewhere.Inc()
	return a, nil
}

// elsewhere has an edge of the lattice do a task.
func (m *Messages) elsewhere(ctx context.Context, id tenant.ID, t *Task) (*Answer, error) {
	// Conn waits for a lattice that is not up, which ctx may not have the time for.
	conn, err := m.opts.Lattice.Conn(ctx)
	if err != nil {
		return nil, err
	}
	to := verbAsk
	for range attempts {
		var a *Answer
		if a, err = ask(ctx, conn, id, to, t); err == nil || !errors.Is(err, errSilent) {
			return a, err
		}
		// NATS may not have noticed yet that the edge is gone: whoever answers now is alive.
		edge, err := who(ctx, conn, id)
		if err != nil {
			return nil, err
		}
		to = verbAt + "." + edge
	}
	return nil, err
}

// who is the first edge that says that it serves the tenant.
func who(ctx context.Context, conn *nats.Conn, id tenant.ID) (edge string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, silence, errSilent)
	defer cancel()
	reply, err := conn.RequestWithContext(ctx, subject(id, verbWho), nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return "", ErrNobody
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return "", err
	case reply.Header.Get(stateHeader) != stateHere || !validEdge(reply.Data):
		return "", fmt.Errorf("an edge called %.80q", reply.Data)
	}
	return string(reply.Data), nil
}

// validEdge reports whether name is one token of a subject.
func validEdge(name []byte) bool {
	return 0 < len(name) && len(name) <= 128 && !bytes.ContainsAny(name, ".*> \t\r\n")
}

// here does a task at this edge.
func (m *Messages) here(ctx context.Context, id tenant.ID, t *Task) (*Answer, error) {
	manifest := m.manifest(id)
	if manifest == nil {
		return nil, ErrNobody
	}
	if t.Subject != "" {
		i := slices.IndexFunc(manifest.Subscriptions, func(s tenant.Subscription) bool { return s.Subject.Matches(t.Subject) })
		if i < 0 {
			return nil, ErrNobody
		}
		one := *t
		one.Path = manifest.Subscriptions[i].Path
		t = &one
	}
	return m.opts.Run(ctx, id, t)
}

// ask gives a task to an edge of the lattice.
func ask(ctx context.Context, conn *nats.Conn, id tenant.ID, to string, t *Task) (*Answer, error) {
	msg := t.msg(subject(id, to))
	msg.Reply = conn.NewInbox()
	sub, err := conn.SubscribeSync(msg.Reply)
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only where there is no connection any more
	if err := conn.PublishMsg(msg); err != nil {
		return nil, err
	}
	for {
		reply, err := next(ctx, sub)
		if err != nil {
			return nil, err
		}
		switch reply.Header.Get(stateHeader) {
		case stateWorking:
		case stateDone:
			return parseAnswer(reply)
		case stateBusy:
			return nil, errors.New("the edges that serve the folder have as much to do as they may")
		default: // NATS's own word that nobody listens among them
			return nil, ErrNobody
		}
	}
}

func next(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	limit, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	reply, err := sub.NextMsgWithContext(limit)
	switch {
	case err == nil:
		return reply, nil
	case errors.Is(err, nats.ErrNoResponders):
		return nil, ErrNobody
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limit.Err() != nil:
		return nil, errSilent
	}
	return nil, err
}

// answer does what another edge asks for.
func (m *Messages) answer(ctx context.Context, msg *nats.Msg) {
	tokens := strings.Split(msg.Subject, ".")
	m.mu.Lock()
	id := m.tokens[tokens[tokenAt]]
	m.mu.Unlock()
	reply := func(r *nats.Msg) {
		if err := msg.RespondMsg(r); err != nil {
			m.log.Debug("answer an edge", "tenant", id, "err", err)
		}
	}
	if tokens[tokenAt+1] == verbWho {
		here := state(stateHere)
		here.Data = []byte(m.opts.Lattice.Name())
		reply(here)
		return
	}
	t, err := parseTask(msg.Header, msg.Data)
	if err != nil {
		m.log.Warn("a task that makes no sense", "tenant", id, "err", err)
		return
	}
	select {
	case m.tasks <- struct{}{}:
	default:
		reply(state(stateBusy))
		return
	}
	m.start(ctx, func(ctx context.Context) {
		beat, stop := context.WithCancel(ctx)
		var beating sync.WaitGroup
		beating.Go(func() { m.beat(beat, func() { reply(state(stateWorking)) }) })
		a, err := m.here(ctx, id, t)
		stop()
		beating.Wait()
		switch {
		case errors.Is(err, ErrNobody):
			reply(state(stateNobody))
		case err != nil:
			m.log.Info("a task of another edge failed", "tenant", id, "err", err)
			reply(state(stateBusy))
		case a.size() > MaxBytes:
			reply((&Answer{Code: 502, Body: []byte(tooLarge(a.size()).Error())}).msg())
		default:
			reply(a.msg())
		}
	})
}

// beat calls tell until ctx ends, at once and then regularly.
func (m *Messages) beat(ctx context.Context, tell func()) {
	tick := time.NewTicker(workingEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		tell()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// size is what the answer takes on its way, in bytes.
func (a *Answer) size() int {
	n := len(a.Body)
	for name, values := range a.Header {
		for _, v := range values {
			n += len(name) + len(v) + 8
		}
	}
	return n
}
