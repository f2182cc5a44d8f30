package state

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/state/index"
	"github.com/terrane/terrane/internal/statemove"
	"github.com/terrane/terrane/tenant"
)

// salvaged is the suffix of the file, next to the ledger, with what Repair has read before
// it made the stream again. It is an export, as 'terrane kv import' reads it, and is there
// while it is needed.
const salvaged = ".salvaged.jsonl"

// repairGap is how many sequences a repair skips: barrier writes may still take some of them
// between the look at the last one and the removal of the stream.
const repairGap = 1000

var errRepairing = errors.New("state: it is being repaired")

// Repair does what can be done about damage, and says what it did. What other edges have
// is fetched from them without being asked for. With acceptLoss the bucket goes on
// without what is missing, and with versions that were not given out before; a missing
// key can then be imported again from an export.
func (s *Store) Repair(ctx context.Context, acceptLoss bool) (string, error) {
	l, d := s.guard.ledger.Load(), s.damage()
	if l == nil {
		return "", fmt.Errorf("state: there is no record of the bucket %s yet", s.opts.Bucket)
	}
	if acceptLoss && s.mirrors() {
		s.guard.recheck.Store(true)
		s.wakeScan()
		return s.opts.Bucket + ": this region's copy is made again", nil
	}
	if d == nil {
		return s.lookAgain(ctx)
	}
	if !acceptLoss {
		s.wakeScan()
		return "", fmt.Errorf("%s: %s. If edges that have it are down, start them. Else run 'terrane lattice repair --accept-loss', which keeps what is there, "+
			"and then 'terrane kv import' with the newest export, which adds what is missing", s.opts.Bucket, d.Reason)
	}
	if !s.guard.repairing.CompareAndSwap(false, true) {
		return "", errRepairing
	}
	defer s.guard.repairing.Store(false)
	n, err := s.rebuild(ctx)
	if err != nil {
		return "", fmt.Errorf("%s: what could be read is in %s, for 'terrane kv import': %w", s.opts.Bucket, s.opts.Ledger+salvaged, err)
	}
	s.guard.found.Store(nil)
	s.log.Warn("state goes on without what was lost", "bucket", s.opts.Bucket, "lost", d.loss.Len(), "kept", n)
	return fmt.Sprintf("%s: goes on with %d entries, without %d", s.opts.Bucket, n, d.loss.Len()), nil
}

// lookAgain compares now what is compared every so often.
func (s *Store) lookAgain(ctx context.Context) (string, error) {
	again, err := s.comparer.Compare(ctx)
	if err != nil {
		return "", err
	}
	if again {
		s.guard.recheck.Store(true)
	}
	s.wakeScan()
	if err := s.Healthy(); err != nil {
		return "", err
	}
	return s.opts.Bucket + ": nothing is missing; this edge's copy is compared again now", nil
}

// rebuild makes the stream again with what can be read of it: NATS does not write to a
// stream that has broken messages.
func (s *Store) rebuild(ctx context.Context) (n int, err error) {
	path := s.opts.Ledger + salvaged
	if err := s.salvage(ctx, path); err != nil {
		return 0, err
	}
	nc, err := s.conn(ctx)
	if err != nil {
		return 0, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, err
	}
	l, x := s.guard.ledger.Load(), s.keys()
	config := s.config()
	config.FirstSeq = max(l.Last(), x.Last(), s.home.Load()) + repairGap
	if err := l.Forget(); err != nil {
		return 0, err
	}
	if err := js.DeleteStream(ctx, s.stream()); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, err
	}
	if _, err := js.CreateStream(ctx, config); err != nil {
		return 0, err
	}
	if n, err = s.restore(ctx, path); err != nil {
		return n, err
	}
	return n, os.Remove(path)
}

// salvage writes what can be read to a file, unless an earlier attempt has.
func (s *Store) salvage(ctx context.Context, path string) error {
	if complete(path) {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the edge's data folder
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	lines, n := json.NewEncoder(out), int64(0)
	for token, t := range s.keys().Tenants() {
		id, decoded := base64.RawURLEncoding.DecodeString(token[1:])
		err = errors.Join(err, decoded)
		k := &kv{store: s, token: token}
		for it := range t.All(s.now) {
			if err != nil {
				break
			}
			e, lost := k.salvage(ctx, &it)
			if lost != nil {
				continue
			}
			n++
			err = lines.Encode(statemove.Line{Tenant: tenant.ID(id), Entry: statemove.NewEntry(it.Key, e)})
		}
	}
	err = errors.Join(err, ctx.Err())
	if err == nil {
		err = lines.Encode(statemove.Line{Entries: &n})
	}
	return errors.Join(err, out.Flush(), f.Sync(), f.Close())
}

// salvage reads an entry, from memory or from any copy that has it.
func (k *kv) salvage(ctx context.Context, it *index.Item) (e hostcalls.KVEntry, err error) {
	s := k.store
	e = hostcalls.KVEntry{Version: it.Seq, Expires: s.local(it.Expires)}
	if value, ok := s.cache.Get(k.token, it.Key, it.Seq); ok {
		e.Value = value
		return e, nil
	}
	nc, err := s.conn(ctx)
	if err != nil {
		return e, err
	}
	for range 10 {
		within, cancel := context.WithTimeout(ctx, 2*time.Second)
		r, err := s.getLast(within, nc, k.subject(it.Key))
		cancel()
		if err == nil && r.seq >= it.Seq {
			e.Value = r.value
			return e, nil
		}
		if s.single.Load() && err == nil {
			break // nobody else has it
		}
	}
	return e, errBehind
}

// complete reports whether a salvage was written to its end.
func complete(path string) bool {
	done := false
	err := eachLine(path, func(l *statemove.Line) error {
		done = done || l.Entries != nil
		return nil
	})
	return err == nil && done
}

// restore writes what was salvaged to the new stream.
func (s *Store) restore(ctx context.Context, path string) (n int, err error) {
	err = eachLine(path, func(l *statemove.Line) error {
		if l.Entries != nil {
			return nil
		}
		r := raw{value: l.Bytes()}
		header := nats.Header{}
		if l.Expires != nil {
			r.expires = s.shared(*l.Expires)
			if r.expires <= s.now() {
				return nil
			}
			header.Set(hdrExpires, strconv.FormatInt(r.expires, 10))
			header.Set(hdrTTL, strconv.FormatInt(max(0, r.expires-s.now())/int64(time.Second)+2, 10))
		}
		k := &kv{store: s, token: tenantToken(string(l.Tenant)), session: s.session(tenantToken(string(l.Tenant)))}
		within, cancel := context.WithTimeout(ctx, 4*s.opts.Timeout)
		defer cancel()
		seq, err := k.write(within, l.Text(), header, r.value, 0, 0)
		if errors.Is(err, hostcalls.ErrConflict) {
			return nil // an earlier attempt has written it
		}
		if err != nil {
			return err
		}
		r.seq, r.write = seq, header.Get(hdrWrite)
		k.apply(l.Text(), &r)
		n++
		return nil
	})
	return n, err
}

func eachLine(path string, do func(*statemove.Line) error) error {
	f, err := os.Open(path) //nolint:gosec // the edge's data folder
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was read
	for lines := json.NewDecoder(bufio.NewReader(f)); ; {
		var l statemove.Line
		if err := lines.Decode(&l); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := do(&l); err != nil {
			return err
		}
	}
}
