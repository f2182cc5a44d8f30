package messages

import (
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
	attempts     = 3                       // at other edges
	nearer       = 20 * time.Millisecond   // that an edge of the own region may be slower than others

	tokenAt = 2 // among the tokens of a subject
)

// Why an edge that was asked has no answer: another may.
var (
	errSilent = errors.New("the edge that had it is silent")
	errBusy   = errors.New("the edges that serve the folder have as much to do as they may")
)

// Ask has a task done by this edge if it serves the tenant and has room, else by
// one of its region that does, else by one of another. A task whose edge falls silent
// is given to another. The error wraps ErrNobody if no edge could take it, and ctx's.
func (m *Messages) Ask(ctx context.Context, id tenant.ID, t *Task) (*Answer, error) {
	if t.Hops > MaxHops {
		return nil, fmt.Errorf("%d messages that led to one another: a circle?", t.Hops)
	}
	if len(t.Body) > MaxBytes {
		return nil, tooLarge(len(t.Body))
	}
	a, err := m.here(ctx, id, t)
	if err == nil {
		m.metrics.here.Inc()
		return a, nil
	}
	if a, err = m.elsewhere(ctx, id, t, err); err != nil {
		m.metrics.unanswered.Inc()
		return nil, err
	}
	m.metrics.elsewhere.Inc()
	return a, nil
}

// elsewhere has an edge of the lattice do a task that this one does not do, because of err.
func (m *Messages) elsewhere(ctx context.Context, id tenant.ID, t *Task, err error) (*Answer, error) {
	// Conn waits for a lattice that is not up, which ctx may not have the time for.
	conn, failed := m.opts.Lattice.Conn(ctx)
	if failed != nil {
		return nil, failed
	}
	var tried []string
	near := verbAsk + "." + m.opts.Lattice.Domain() // NATS itself does not prefer the region's edges
	to := near
	if !errors.Is(err, ErrNobody) { // NATS would give it to this edge again
		tried, to = []string{m.opts.Lattice.Name()}, ""
	}
	for len(tried) <= attempts {
		if to == "" {
			edge := m.who(ctx, conn, id, tried)
			if edge == "" {
				break
			}
			to = verbAt + "." + edge
		}
		var a *Answer
		var edge string
		a, edge, err = ask(ctx, conn, id, to, t)
		switch {
		case err == nil || ctx.Err() != nil:
			return a, err
		case !errors.Is(err, ErrNobody):
			// NATS may not have noticed yet that the edge is gone, and would give the task again to
			// one that is full: who else says a word now is alive.
			tried, to = append(tried, edge), ""
		case to == near:
			to = verbAsk
		default:
			return nil, err
		}
	}
	return nil, err
}

// who is the first edge to say that it serves the tenant, of those that were not tried; one
// of this region if it does so soon. Empty: none.
func (m *Messages) who(ctx context.Context, conn *nats.Conn, id tenant.ID, tried []string) (edge string) {
	sub, err := conn.SubscribeSync(conn.NewInbox())
	if err != nil {
		return ""
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only where there is no connection any more
	if conn.PublishRequest(subject(id, verbWho), sub.Subject, nil) != nil {
		return ""
	}
	for until := time.Now().Add(silence); ; {
		waiting, cancel := context.WithDeadline(ctx, until)
		reply, err := sub.NextMsgWithContext(waiting)
		cancel()
		if err != nil || reply.Header.Get(stateHeader) != stateHere {
			return edge
		}
		name := string(reply.Data)
		switch {
		case !validEdge(name) || slices.Contains(tried, name):
		case reply.Header.Get(domainHeader) == m.opts.Lattice.Domain():
			return name
		case edge == "":
			edge, until = name, time.Now().Add(nearer)
		}
	}
}

// validEdge reports whether name is one token of a subject.
func validEdge(name string) bool {
	return 0 < len(name) && len(name) <= 128 && !strings.ContainsAny(name, ".*> \t\r\n")
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

// ask gives a task to an edge of the lattice, and says which one took it if it has said so.
func ask(ctx context.Context, conn *nats.Conn, id tenant.ID, to string, t *Task) (a *Answer, edge string, err error) {
	msg := t.msg(subject(id, to))
	msg.Reply = conn.NewInbox()
	sub, err := conn.SubscribeSync(msg.Reply)
	if err != nil {
		return nil, "", err
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only where there is no connection any more
	if err := conn.PublishMsg(msg); err != nil {
		return nil, "", err
	}
	for {
		reply, err := next(ctx, sub)
		if err != nil {
			return nil, edge, err
		}
		switch reply.Header.Get(stateHeader) {
		case stateWorking:
			edge = string(reply.Data)
		case stateDone:
			a, err := parseAnswer(reply)
			return a, edge, err
		case stateBusy:
			return nil, string(reply.Data), errBusy
		case stateNobody, "": // NATS's own word that nobody listens has none
			return nil, edge, ErrNobody
		default: // what a later version may say
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
		reply(m.state(stateHere))
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
		reply(m.state(stateBusy))
		return
	}
	m.start(ctx, func(ctx context.Context) {
		beat, stop := context.WithCancel(ctx)
		var beating sync.WaitGroup
		beating.Go(func() { m.beat(beat, func() { reply(m.state(stateWorking)) }) })
		a, err := m.here(ctx, id, t)
		stop()
		beating.Wait()
		switch {
		case errors.Is(err, ErrNobody):
			reply(m.state(stateNobody))
		case err != nil:
			m.log.Info("a task of another edge failed", "tenant", id, "err", err)
			reply(m.state(stateBusy))
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
