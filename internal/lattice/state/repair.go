package state

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Repair does what can be done about damage, and says what it did. What other edges have
// is fetched from them without being asked for. With acceptLoss the bucket goes on
// without what is missing, and with versions that were not given out before; a missing
// key can then be imported again from an export.
func (s *Store) Repair(ctx context.Context, acceptLoss bool) (string, error) {
	l, d := s.guard.ledger.Load(), s.damage()
	if l == nil {
		return "", fmt.Errorf("state: there is no record of the bucket %s", s.opts.Bucket)
	}
	s.wakeScan()
	if d == nil && s.opts.Asker != nil {
		again, err := s.compare(ctx)
		if err != nil {
			return "", err
		}
		if again {
			s.guard.recheck.Store(true)
		}
	}
	if d == nil {
		if err := s.Healthy(); err != nil {
			return "", err
		}
		return s.opts.Bucket + ": nothing is missing; this edge's copy is compared again now", nil
	}
	if !acceptLoss {
		return "", fmt.Errorf("%s: %s. If edges that have it are down, start them. Else run 'terrane lattice repair --accept-loss', which keeps what is there, "+
			"and then 'terrane kv import' with the newest export, which adds what is missing", s.opts.Bucket, d.Reason)
	}
	if d.gone {
		if err := l.Forget(); err != nil {
			return "", err
		}
		s.guard.accept.Store(true)
		defer s.guard.accept.Store(false)
		s.guard.found.Store(nil)
		x := s.index.now.Load()
		select {
		case <-x.complete:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		return s.opts.Bucket + ": begins again, with nothing", nil
	}
	n, err := s.bury(ctx, d)
	if err == nil {
		err = s.raise(ctx, l.Last())
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.opts.Bucket, err)
	}
	if err := l.Rewrite(l.Created(), s.entries(s.index.now.Load(), l.Hash)); err != nil {
		return "", err
	}
	s.guard.found.CompareAndSwap(d, nil)
	s.log.Warn("state goes on without what was lost", "bucket", s.opts.Bucket, "lost", d.loss.Len(), "deleted", n)
	return fmt.Sprintf("%s: goes on without %d entries", s.opts.Bucket, d.loss.Len()), nil
}

// bury deletes the entries that are there and cannot be read.
func (s *Store) bury(ctx context.Context, d *DamageError) (n int, err error) {
	if d.loss == nil {
		return 0, nil
	}
	l := s.guard.ledger.Load()
	for token, u := range s.index.now.Load().byToken() {
		if _, lost := d.loss.Tenants[l.TenantHash(token)]; !lost {
			continue
		}
		for from, more := "", true; more; {
			items := u.some(from, 1024, s.now())
			for _, it := range items {
				if d.loss.Keys[l.Hash(token, it.key)] != it.seq {
					continue
				}
				h := nats.Header{hdrOp: {opDelete}, hdrTTL: {strconv.Itoa(int(tombstoneTTL / time.Second))}, hdrExpected: {strconv.FormatUint(it.seq, 10)}}
				seq, err := s.publish(ctx, &nats.Msg{Subject: "$KV." + s.opts.Bucket + "." + token + "." + keyToken(it.key), Header: h})
				if err != nil {
					return n, err
				}
				n++
				s.note(token, it.key, &raw{seq: seq, dead: true}, 0)
			}
			if more = len(items) == 1024; more {
				from = items[len(items)-1].key + "\x00"
			}
		}
	}
	return n, nil
}

// raise has the stream give out sequences behind last only, by messages of no meaning.
func (s *Store) raise(ctx context.Context, last uint64) error {
	nc, err := s.conn(ctx)
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(256))
	if err != nil {
		return err
	}
	for {
		stream, err := js.Stream(ctx, s.stream())
		if err != nil {
			return err
		}
		at := stream.CachedInfo().State.LastSeq
		if at >= last {
			return nil
		}
		for range min(last-at, 10_000) {
			if _, err := js.PublishMsgAsync(&nats.Msg{Subject: s.barrierSubject()}); err != nil {
				return err
			}
		}
		select {
		case <-js.PublishAsyncComplete():
		case <-ctx.Done():
			return errors.Join(errors.New("the sequence could not be raised"), ctx.Err())
		}
	}
}
