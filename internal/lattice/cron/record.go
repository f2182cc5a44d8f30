package cron

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// kept is a record and the revision it has in the bucket, 0 if there is none.
type kept struct {
	record
	revision uint64
}

// record is what is known of a line.
type record struct {
	Due  time.Time `json:"due"` // the newest time that was fired or given up
	Edge string    `json:"edge"`
	Open bool      `json:"open,omitempty"` // the run has not ended
}

// ended notes that a run is over, whose start left k. A run that was missed meanwhile has changed it.
func (c *Cron) ended(ctx context.Context, kv jetstream.KeyValue, key string, k kept) (kept, error) {
	for {
		k.Open = false
		written, err := write(ctx, kv, key, k)
		if !errors.Is(err, jetstream.ErrKeyExists) { // what a wrong revision is
			return written, err
		}
		if k, err = read(ctx, kv, key); err != nil || k.Edge != c.opts.Lattice.Name() {
			return kept{}, err // another edge leads
		}
	}
}

// read returns what the bucket has of a line.
func read(ctx context.Context, kv jetstream.KeyValue, key string) (k kept, err error) {
	entry, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return kept{}, nil
	}
	if err != nil {
		return kept{}, err
	}
	if err := json.Unmarshal(entry.Value(), &k.record); err != nil {
		return kept{}, fmt.Errorf("%s: %w", key, err)
	}
	k.revision = entry.Revision()
	return k, nil
}

// write fails if the record is not at k's revision any more.
func write(ctx context.Context, kv jetstream.KeyValue, key string, k kept) (kept, error) {
	value, err := json.Marshal(k.record)
	if err != nil {
		return kept{}, err
	}
	if k.revision == 0 {
		k.revision, err = kv.Create(ctx, key, value)
	} else {
		k.revision, err = kv.Update(ctx, key, value, k.revision)
	}
	if err != nil {
		return kept{}, err
	}
	return k, nil
}
