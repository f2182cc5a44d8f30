package messages

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/tenant"
)

// handler runs a tenant's modules for messages that were kept, atOnce at a time: a
// flood of one tenant waits in the stream, and the others' messages pass it.
type handler struct {
	m      *Messages
	id     tenant.ID
	places chan struct{}
}

// take starts the handling of a message when there is room. It blocks until then, or
// until ctx ends.
func (h *handler) take(ctx context.Context, msg jetstream.Msg) {
	if !enter(ctx, h.places) {
		h.settle(msg.Nak())
		return
	}
	if !enter(ctx, h.m.tasks) {
		<-h.places
		h.settle(msg.Nak())
		return
	}
	h.m.start(ctx, func(ctx context.Context) {
		defer func() { <-h.places }()
		h.handle(ctx, msg)
	})
}

// enter takes a place, or reports false once ctx has ended.
func enter(ctx context.Context, places chan struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// settle takes the error of an acknowledgement.
func (h *handler) settle(err error) {
	if err != nil {
		h.m.log.Debug("settle a message", "tenant", h.id, "err", err) // it comes again
	}
}

func (h *handler) handle(ctx context.Context, msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		h.settle(err)
		return
	}
	done := func() { h.m.record.Load().settled(meta.Sequence.Stream, msg.Data()) }
	t, err := parseTask(msg.Headers(), msg.Data())
	if err != nil {
		done()
		h.settle(msg.TermWithReason(err.Error()))
		return
	}
	h.settle(msg.InProgress()) // it has waited for its place
	reason, again := "the edges that had it fell silent", h.m.opts.Again
	times := int(min(meta.NumDelivered, uint64(len(again))+2))
	if times <= len(again)+1 {
		reason = h.m.deliver(ctx, h.id, t)
	}
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryEvery) // ctx may have ended
	defer cancel()
	switch {
	case reason == "":
		h.m.metrics.handled.Inc()
		done()
		h.settle(msg.DoubleAck(settling))
	case times > len(again):
		h.m.metrics.givenUp.Inc()
		h.m.opts.Tell(h.id, slog.LevelError, fmt.Sprintf("the message %s is given up after %d times: %s", t.Subject, len(again)+1, reason))
		done()
		h.settle(msg.TermWithReason(reason))
	default:
		h.m.metrics.failed.Inc()
		h.settle(msg.NakWithDelay(again[times-1]))
	}
}

// deliver runs each subscription that takes the message, and says why not all of them did.
func (m *Messages) deliver(ctx context.Context, id tenant.ID, t *Task) (reason string) {
	manifest := m.manifest(id)
	if manifest == nil {
		return "this edge does not serve the folder any more"
	}
	taken := false
	for _, s := range manifest.Subscriptions {
		if !s.Subject.Matches(t.Subject) {
			continue
		}
		taken = true
		one := *t
		one.Path = s.Path
		a, err := m.patiently(ctx, id, &one)
		switch {
		case err != nil:
			return err.Error()
		case a.Code >= 500 || a.Code == 429:
			return fmt.Sprintf("%s answered %d", s.Path, a.Code)
		}
	}
	if !taken { // another edge may have a newer release, or this one in a moment
		return "no [[subscribe]] takes it"
	}
	return ""
}

// patiently runs a task when the edge has room for it, so that a crowd is no failure.
func (m *Messages) patiently(ctx context.Context, id tenant.ID, t *Task) (*Answer, error) {
	for {
		a, err := m.opts.Run(ctx, id, t)
		if err == nil {
			return a, nil
		}
		select {
		case <-time.After(roomEvery):
		case <-ctx.Done():
			return nil, err
		}
	}
}
