package messages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/tenant"
)

// Bounds of the messages of a tenant that wait in a region: maxPending of up to
// smallSize, fewer of larger ones. What a tenant fills of the stream is so at most
// maxPending * smallSize * ln(maxPending), an eighth.
const (
	maxPending = 2000
	smallSize  = 8 << 10

	keepTime    = 8 * time.Second       // for a message to be kept; a new leader's election fits in
	fullEvery   = 50 * time.Millisecond // between two looks whether there is room again
	leaderEvery = 50 * time.Millisecond
)

// mayPend is how many may wait when one of size bytes comes.
func mayPend(size int) uint64 { return uint64(maxPending * smallSize / max(size, smallSize)) }

// Of is what the tenant's guests have. manifest is that of their release.
func (m *Messages) Of(id tenant.ID, manifest *tenant.Manifest) hostcalls.Messages {
	return &guests{m: m, id: id, manifest: manifest}
}

// guests implements hostcalls.Messages for a release.
type guests struct {
	m        *Messages
	id       tenant.ID
	manifest *tenant.Manifest

	mu      sync.Mutex
	pending uint64    // as far as this edge knows
	asked   time.Time // when it asked
}

// Request implements hostcalls.Messages.
func (g *guests) Request(ctx context.Context, msg *hostcalls.Message) (*hostcalls.Response, error) {
	if err := g.taken(msg.Subject); err != nil {
		return nil, err
	}
	a, err := g.m.Ask(ctx, g.id, &Task{Subject: msg.Subject, Body: msg.Body, Hops: msg.Hops})
	if err != nil {
		return nil, err
	}
	return &hostcalls.Response{Code: a.Code, Header: a.Header, Body: a.Body}, nil
}

// Publish implements hostcalls.Messages.
func (g *guests) Publish(ctx context.Context, msg *hostcalls.Message) error {
	switch {
	case len(msg.Body) > MaxBytes:
		return tooLarge(len(msg.Body))
	case msg.Hops > MaxHops:
		return fmt.Errorf("%d messages that led to one another: a circle?", msg.Hops)
	}
	if err := g.taken(msg.Subject); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	js, err := g.m.jetStream(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", hostcalls.ErrUnavailable, err)
	}
	if err := g.room(ctx, js, len(msg.Body)); err != nil {
		return err
	}
	r := g.m.record.Load()
	if err := r.err(); err != nil {
		return fmt.Errorf("%w: %w", hostcalls.ErrUnavailable, err)
	}
	t := &Task{Subject: msg.Subject, Body: msg.Body, Hops: msg.Hops}
	ack, err := js.PublishMsg(ctx, t.msg(keptSubject(g.id, g.m.opts.Lattice.Domain(), string(msg.Subject))),
		jetstream.WithExpectStream(g.m.stream()), jetstream.WithRetryWait(leaderEvery), jetstream.WithRetryAttempts(int(keepTime/leaderEvery)))
	if err != nil {
		return fmt.Errorf("%w: %w", hostcalls.ErrUnavailable, err)
	}
	r.accepted(ack.Sequence, msg.Body)
	g.m.metrics.published.Inc()
	return nil
}

// jetStream does not ask whether the region's JetStream answers, as that of Lattice does.
func (m *Messages) jetStream(ctx context.Context) (jetstream.JetStream, error) {
	conn, err := m.opts.Lattice.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return jetstream.New(conn)
}

// taken reports whether a module of the release takes the subject.
func (g *guests) taken(subject tenant.Subject) error {
	if slices.ContainsFunc(g.manifest.Subscriptions, func(s tenant.Subscription) bool { return s.Subject.Matches(subject) }) {
		return nil
	}
	return fmt.Errorf("%w: no [[subscribe]] of %s takes %q", ErrNobody, tenant.ManifestName, subject)
}

// room refuses a message where too many wait already. What other edges have published
// within the last second it may not know yet.
func (g *guests) room(ctx context.Context, js jetstream.JetStream, size int) error {
	most := mayPend(size)
	g.mu.Lock()
	asks := time.Since(g.asked) > time.Second || g.pending >= most && time.Since(g.asked) > fullEvery
	if asks {
		g.asked = time.Now() // the others need not wait for this one
	}
	g.mu.Unlock()
	if asks {
		limit, cancel := context.WithTimeout(ctx, time.Second)
		pending, err := g.m.waiting(limit, js, g.id)
		cancel()
		if err == nil { // else nobody leads: nothing is kept until somebody does, which the publishing waits for
			g.mu.Lock()
			g.pending = pending
			g.mu.Unlock()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pending >= most {
		return fmt.Errorf("%d messages wait already: want fewer than %d for one of %d bytes", g.pending, most, size)
	}
	g.pending++
	return nil
}

// waiting counts the tenant's messages that no module has handled yet, in this region.
func (m *Messages) waiting(ctx context.Context, js jetstream.JetStream, id tenant.ID) (uint64, error) {
	consumer, err := js.Consumer(ctx, m.stream(), token(id))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	info := consumer.CachedInfo()
	return info.NumPending + uint64(info.NumAckPending), nil
}

// Waiting counts the messages of all tenants that no module has handled yet, in this region.
func (m *Messages) Waiting(ctx context.Context) (uint64, error) {
	js, err := m.jetStream(ctx)
	if err != nil {
		return 0, err
	}
	stream, err := js.Stream(ctx, m.stream())
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.Msgs, nil
}
