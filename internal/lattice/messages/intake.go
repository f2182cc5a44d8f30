package messages

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/tenant"
)

const (
	streamName = "terrane_msg"
	streamSize = 1 << 30 // bytes in a region, of all tenants
	maxAge     = 24 * time.Hour
	atOnce     = 8 // messages of one tenant at one edge
	roomEvery  = 200 * time.Millisecond
	pullTime   = 10 * time.Second
	pullBeat   = 2 * time.Second // of who leads the stream: after two that are missing, another is looked for
)

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
	stop     context.CancelFunc       // of waiting for room, with messages
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
	for id := range want {
		errs = append(errs, in.listen(id))
	}
	for id, takes := range want {
		if !takes || in.js == nil {
			continue
		}
		if err := in.consume(ctx, id); err != nil {
			errs = append(errs, err)
			break // the others would wait for the same stream, each for its time
		}
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
	replicas, err := l.ReplicasOf(ctx, js, in.m.stream())
	if err != nil {
		return err
	}
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:      in.m.stream(),
		Subjects:  []string{"terrane.msg.*.pub." + l.Domain() + ".>"},
		Retention: jetstream.WorkQueuePolicy,
		Discard:   jetstream.DiscardNew,
		MaxBytes:  streamSize,
		MaxAge:    maxAge,
		Replicas:  replicas,

		MaxMsgSize: MaxBytes + 4<<10,
	})
	if err == nil {
		in.js = js
	}
	return err
}

// listen subscribes to the tenant's requests, unless that is done.
func (in *intake) listen(id tenant.ID) error {
	if in.open[id] != nil {
		return nil
	}
	s, l := &subscriber{}, in.m.opts.Lattice
	for _, to := range []struct{ subject, queue string }{
		{subject(id, verbAsk+"."+l.Domain()), "edges"}, {subject(id, verbAsk), "edges"},
		{subject(id, verbWho), ""}, {subject(id, verbAt+"."+l.Name()), ""},
	} {
		sub, err := in.conn.ChanQueueSubscribe(to.subject, to.queue, in.asks)
		if err != nil {
			s.close()
			return err
		}
		s.asks = append(s.asks, sub)
	}
	in.open[id] = s
	return nil
}

// consume takes the tenant's messages from the stream, unless that is done. Edges of
// the region share the consumer, which goes when the tenant's last message has.
func (in *intake) consume(ctx context.Context, id tenant.ID) error {
	s := in.open[id]
	if s == nil {
		return nil
	}
	if s.messages != nil {
		select {
		case <-s.messages.Closed(): // the stream or the consumer was deleted
			s.stop()
		default:
			return nil
		}
	}
	s.messages = nil
	limit, cancel := context.WithTimeout(ctx, retryEvery)
	defer cancel()
	l := in.m.opts.Lattice
	// Replicas remember what is in hand: on their disks it would cost more than the messages
	// do. When all of them die at once, it is delivered again.
	inMemory := l.Replicas() > 1
	if old, err := in.js.Consumer(limit, in.m.stream(), token(id)); err == nil {
		inMemory = old.CachedInfo().Config.MemoryStorage // which cannot be changed: an older edge has made it
	}
	consumer, err := in.js.CreateOrUpdateConsumer(limit, in.m.stream(), jetstream.ConsumerConfig{
		Durable:       token(id),
		Metadata:      map[string]string{"tenant": string(id)},
		FilterSubject: keptSubject(id, l.Domain(), ">"),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       in.m.opts.Wait + min(in.m.opts.Wait, 30*time.Second),
		MaxAckPending: 256,
		MemoryStorage: inMemory,

		InactiveThreshold: maxAge + time.Hour,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		in.js = nil
	}
	if err != nil {
		return fmt.Errorf("consume the messages of %s: %w", id, err)
	}
	h := &handler{m: in.m, id: id, places: make(chan struct{}, atOnce)}
	waiting, stop := context.WithCancel(ctx)
	s.messages, err = consumer.Consume(func(msg jetstream.Msg) { h.take(waiting, msg) },
		jetstream.PullMaxMessages(atOnce), jetstream.PullExpiry(pullTime), jetstream.PullHeartbeat(pullBeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			in.m.log.Debug("messages", "tenant", id, "err", err)
		}))
	if err != nil {
		stop()
		return err
	}
	s.stop = stop
	return nil
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

// close waits until nothing is called any more. What it has got and not begun, others get.
func (s *subscriber) close() {
	for _, sub := range s.asks {
		_ = sub.Unsubscribe() // fails only where there is no connection any more
	}
	if s.messages != nil {
		s.stop()
		s.messages.Drain()
		select {
		case <-s.messages.Closed():
		case <-time.After(retryEvery): // cut off
		}
	}
}
