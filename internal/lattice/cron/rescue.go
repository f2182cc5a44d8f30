package cron

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

const triesAlone = 10 // ticks that an edge alone does not lead, or cannot fire, before it looks at its records

// alone reports whether this edge keeps the only copy of the bucket.
func (c *Cron) alone() bool {
	l := c.opts.Lattice
	return !l.Clustered() && !l.External()
}

// rescue makes the bucket again with what can be read of it, if there are records that
// cannot: NATS neither returns nor replaces them, so that no line would fire any more.
func (c *Cron) rescue(ctx context.Context, js jetstream.JetStream, config *jetstream.KeyValueConfig) error {
	stream, err := js.Stream(ctx, "KV_"+bucket)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	state := stream.CachedInfo().State
	var read []*jetstream.RawStreamMsg
	for next := state.FirstSeq; ; {
		m, err := stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return err
		}
		read = append(read, m)
		next = m.Sequence + 1
	}
	if uint64(len(read)) >= state.Msgs {
		return nil
	}
	c.log.Error("records of cron are damaged: lines that have lost theirs go on from now", "lost", state.Msgs-uint64(len(read)), "kept", len(read))
	if err := js.DeleteKeyValue(ctx, bucket); err != nil {
		return err
	}
	kv, err := js.CreateKeyValue(ctx, *config)
	if err != nil {
		return err
	}
	prefix := len("$KV." + bucket + ".")
	for _, m := range read {
		if m.Header.Get("KV-Operation") != "" || len(m.Subject) <= prefix {
			continue
		}
		if _, err := kv.Put(ctx, m.Subject[prefix:], m.Data); err != nil {
			return fmt.Errorf("restore %s: %w", m.Subject, err)
		}
	}
	return nil
}
