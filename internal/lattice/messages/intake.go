package messages

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/tenant"
)

const (
	streamName = "terrane_msg"
	streamSize = 1 << 30 // bytes in a region, of all tenants
	maxAge     = 24 * time.Hour
	deliveries = 5
	atOnce     = 8 // messages of one tenant at one edge
)

// backOff is how long a message waits after each time that it was not handled.
func backOff() []time.Duration {
	return []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute}
}

// intake is what Run's goroutine has subscribed to.
type intake struct {
	m      *Messages
	conn   *nats.Conn
	asks   chan *nats.Msg      // of all tenants
	js     jetstream.JetStream // nil until there is a stream
	open   map[tenant.ID]*subscriber
	failed string // what was logged last
}

// subscriber takes one tenant's tasks.
type subscriber struct {
	asks     []*nats.Subscription
	messages jetstream.ConsumeContext // nil: none yet
}

// follow subscribes to what the tenants want now. What fails is tried again by the
// next call.
func (in *intake) follow(ctx context.Context) {
	in.m.mu.Lock()
	want := make(map[tenant.ID]bool, len(in.m.tenants)) // whether it has subscriptions
	for id, manifest := range in.m.tenants {
		want[id] = len(manifest.Subscriptions) > 0
	}
	in.m.mu.Unlock()
	var errs []error
	if in.js == nil {
		errs = append(errs, in.makeStream(ctx))
	}
	for id, s := range in.open {
		if takes, ok := want[id]; !ok || !takes && s.messages != nil {
			s.close()
			delete(in.open, id)
		}
	}
	for id, takes := range want {
		errs = append(errs, in.subscribe(ctx, id, takes))
	}
	reason := ""
	if err := errors.Join(errs...); err != nil && ctx.Err() == nil {
		reason = err.Error()
	}
	if reason != "" && reason != in.failed {
		in.m.log.Warn("messages do not arrive yet", "err", reason)
	}
	in.failed = reason
}

// makeStream makes sure of the region's stream.
func (in *intake) makeStream(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, retryEvery)
	defer cancel()
	l := in.m.opts.Lattice
	js, err := l.JetStream(ctx)
	if err != nil {
		return err
	}
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:      streamName,
		Subjects:  []string{"terrane.msg.*.pub." + l.Domain() + ".>"},
		Retention: jetstream.WorkQueuePolicy,
		Discard:   jetstream.DiscardNew,
		MaxBytes:  streamSize,
		MaxAge:    maxAge,
		Replicas:  l.Replicas(),

		MaxMsgSize: MaxBytes + 4<<10,
	})
	if err == nil {
		in.js = js
	}
	return err
}

func (in *intake) subscribe(ctx context.Context, id tenant.ID, takes bool) error {
	s := in.open[id]
	if s == nil {
		asks, err := in.listen(id)
		s = &subscriber{asks: asks}
		if err != nil {
			s.close()
			return err
		}
		in.open[id] = s
	}
	if !takes || s.messages != nil || in.js == nil {
		return nil
	}
	var err error
	s.messages, err = in.consume(ctx, id)
	return err
}

// listen subscribes to the tenant's requests.
func (in *intake) listen(id tenant.ID) (all []*nats.Subscription, err error) {
	for _, to := range []struct{ subject, queue string }{
		{subject(id, verbAsk), "edges"}, {subject(id, verbWho), ""}, {subject(id, verbAt+"."+in.m.opts.Lattice.Name()), ""},
	} {
		sub, err := in.conn.ChanQueueSubscribe(to.subject, to.queue, in.asks)
		if err != nil {
			return all, err
		}
		all = append(all, sub)
	}
	return all, nil
}

// consume takes the tenant's messages from the stream. Edges of the region share the
// consumer.
func (in *intake) consume(ctx context.Context, id tenant.ID) (jetstream.ConsumeContext, error) {
	ctx2, cancel := context.WithTimeout(ctx, retryEvery)
	defer cancel()
	consumer, err := in.js.CreateOrUpdateConsumer(ctx2, streamName, jetstream.ConsumerConfig{
		Durable:       token(id),
		Metadata:      map[string]string{"tenant": string(id)},
		FilterSubject: keptSubject(id, in.m.opts.Lattice.Domain(), ">"),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       in.m.opts.Wait + 30*time.Second,
		MaxDeliver:    deliveries,
		MaxAckPending: 256,
	})
	if err != nil {
		return nil, fmt.Errorf("consume the messages of %s: %w", id, err)
	}
	return consumer.Consume(func(msg jetstream.Msg) { in.m.handle(ctx, id, msg) },
		jetstream.PullMaxMessages(atOnce),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			in.m.log.Debug("messages", "tenant", id, "err", err)
		}))
}

// answer does what other edges ask for, until ctx ends.
func (in *intake) answer(ctx context.Context) {
	for {
		select {
		case msg := <-in.asks:
			in.m.answer(ctx, msg)
		case <-ctx.Done():
			return
		}
	}
}

func (in *intake) close() {
	for _, s := range in.open {
		s.close()
	}
}

// close waits until nothing is called any more.
func (s *subscriber) close() {
	for _, sub := range s.asks {
		_ = sub.Unsubscribe() // fails only where there is no connection any more
	}
	if s.messages != nil {
		s.messages.Stop()
		<-s.messages.Closed()
	}
}

// handle runs the tenant's modules for a message that was kept.
func (m *Messages) handle(ctx context.Context, id tenant.ID, msg jetstream.Msg) {
	settle := func(err error) {
		if err != nil {
			m.log.Debug("settle a message", "tenant", id, "err", err) // it comes again
		}
	}
	t, err := parseTask(msg.Headers(), msg.Data())
	if err != nil {
		settle(msg.TermWithReason(err.Error()))
		return
	}
	started := m.start(ctx, func(ctx context.Context) {
		reason := m.deliver(ctx, id, t)
		if reason == "" {
			settle(msg.DoubleAck(ctx))
			return
		}
		meta, err := msg.Metadata()
		if err != nil {
			settle(err)
			return
		}
		if meta.NumDelivered >= deliveries {
			m.opts.Tell(id, slog.LevelError, fmt.Sprintf("the message %s is given up after %d times: %s", t.Subject, deliveries, reason))
			settle(msg.TermWithReason(reason))
			return
		}
		settle(msg.NakWithDelay(backOff()[meta.NumDelivered-1]))
	})
	if !started {
		settle(msg.NakWithDelay(time.Second))
	}
}

// deliver runs each subscription that takes the message, and says why not all of them did.
func (m *Messages) deliver(ctx context.Context, id tenant.ID, t *Task) (reason string) {
	manifest := m.manifest(id)
	if manifest == nil {
		return "this edge does not serve the folder any more"
	}
	for _, s := range manifest.Subscriptions {
		if !s.Subject.Matches(t.Subject) {
			continue
		}
		one := *t
		one.Path = s.Path
		a, err := m.opts.Run(ctx, id, &one)
		switch {
		case err != nil:
			return err.Error()
		case a.Code >= 500 || a.Code == 429:
			return fmt.Sprintf("%s answered %d", s.Path, a.Code)
		}
	}
	return ""
}
