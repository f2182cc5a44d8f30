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

// maxPending bounds the messages of a tenant that wait in a region.
const maxPending = 2000

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
	l := g.m.opts.Lattice
	js, err := l.JetStream(ctx)
	if err != nil {
		return err
	}
	if err := g.room(ctx, js); err != nil {
		return err
	}
	t := &Task{Subject: msg.Subject, Body: msg.Body, Hops: msg.Hops}
	_, err = js.PublishMsg(ctx, t.msg(keptSubject(g.id, l.Domain(), string(msg.Subject))), jetstream.WithExpectStream(streamName))
	return err
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
func (g *guests) room(ctx context.Context, js jetstream.JetStream) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.asked) > time.Second {
		consumer, err := js.Consumer(ctx, streamName, token(g.id))
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
		g.pending, g.asked = 0, time.Now()
		if err == nil {
			info := consumer.CachedInfo()
			g.pending = info.NumPending + uint64(info.NumAckPending)
		}
	}
	if g.pending >= maxPending {
		return fmt.Errorf("%d messages wait already: want fewer than %d", g.pending, maxPending)
	}
	g.pending++
	return nil
}
