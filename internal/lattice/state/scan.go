package state

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/state/compare"
	"github.com/terrane/terrane/internal/lattice/state/index"
	"github.com/terrane/terrane/internal/lattice/state/integrity"
)

const (
	scanBytes    = 16 << 20 // a second: what the server reads for a scan
	scanPlaces   = 32       // tries to have a scan's consumer on this edge
	scanIdle     = 3        // seconds without a message, after which no more come
	lookAgain    = 200 * time.Millisecond
	copyAgain    = 5 * time.Second // between scans while this edge's copy is damaged
	resyncsMost  = 3               // of this edge's copy within resyncsIn
	resyncsIn    = time.Hour
	leaderSample = 64 // entries that the leader is asked for before this copy is made again
)

// errRecheck ends following, so that the index is made again and compared.
var errRecheck = fmt.Errorf("the state is compared again: %w", errMissedDeletes)

func (s *Store) wakeScan() {
	select {
	case s.guard.again <- struct{}{}:
	default:
	}
}

// scanOften compares this edge's copy of the bucket with its index, at the start and then
// every opts.Scan, until ctx ends. A damaged copy is made again from the others.
func (s *Store) scanOften(ctx context.Context, js jetstream.JetStream) error {
	if s.guard.ledger.Load() == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	for wait := true; wait && !s.keys().IsLoaded(); {
		select {
		case <-s.guard.again: // this copy may be the one that lacks what the record has
			wait = false
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		if s.guard.recheck.Swap(false) {
			return errRecheck
		}
		wait := s.opts.Scan
		bad, err := s.scan(ctx, js)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			s.log.Debug("scan of the state failed", "bucket", s.opts.Bucket, "err", err)
			wait = copyAgain
		case bad == nil:
			s.copyProblem("")
			s.guard.mu.Lock()
			s.guard.scanned = time.Now()
			s.guard.mu.Unlock()
		case s.mirrors():
			s.log.Warn("this region's copy of the state is damaged, and is made again", "bucket", s.opts.Bucket, "missing", len(bad.items))
			return errRecheck
		case s.single.Load() || s.lattice.External():
			if d := s.unreadable(ctx, bad); d != nil {
				_ = s.damaged(d) // the scan goes on
			}
		default:
			wait = copyAgain
			if err := s.heal(ctx, js, bad); err != nil {
				s.copyProblem(err.Error())
			}
		}
		if s.damage() != nil {
			wait = min(wait, verifyAgain)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.guard.again:
		case <-ctx.Done():
		}
		timer.Stop()
		if s.damage() != nil && ctx.Err() == nil {
			return errRecheck
		}
	}
}

// damagedCopy is what a scan misses; nothing, if there is no copy.
type damagedCopy struct {
	items []missing
	at    uint64 // the sequence before which it stopped, 0 if it did not
}

type missing struct {
	token, key string
	seq        uint64
}

// stored is a message that a scan has seen.
type stored struct {
	seq uint64
	sum uint32 // of its write
}

// scan reads this edge's copy and returns what it lacks of the index, nil if nothing.
func (s *Store) scan(ctx context.Context, js jetstream.JetStream) (*damagedCopy, error) {
	stream, err := js.Stream(ctx, s.stream())
	if err != nil {
		return nil, err
	}
	info := stream.CachedInfo()
	own := info.Config.Replicas > 1 && !s.lattice.External()
	if own && !current(info, s.lattice.Name()) {
		if s.lattice.Lacks(s.stream()) && s.guard.lacking.Swap(true) { // at a start it may come a moment later
			return &damagedCopy{}, nil
		}
		return nil, errors.New("this edge has no current copy")
	}
	s.guard.lacking.Store(false)
	cons, err := s.scanner(ctx, js, own, info.Config.Replicas)
	if err != nil {
		return nil, err
	}
	defer func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = js.DeleteConsumer(within, s.stream(), cons.CachedInfo().Name) // it ends by itself soon
	}()
	end := info.State.LastSeq
	seen, stopped, err := s.readAll(ctx, cons, end)
	if err != nil {
		return nil, err
	}
	x := s.keys()
	if x.Last() < end {
		within, cancel := context.WithTimeout(ctx, s.opts.Timeout)
		defer cancel()
		if err := x.Wait(within, end); err != nil {
			return nil, err
		}
	}
	bad := &damagedCopy{items: s.absent(x, seen, end), at: stopped}
	if len(bad.items) == 0 {
		return nil, nil //nolint:nilnil // nothing is missing
	}
	return bad, nil
}

// current reports whether an edge has all of a stream.
func current(info *jetstream.StreamInfo, name string) bool {
	c := info.Cluster
	return c != nil && (c.Leader == name || slices.ContainsFunc(c.Replicas, func(p *jetstream.PeerInfo) bool {
		return p.Name == name && p.Current && !p.Offline && p.Lag == 0
	}))
}

// scanner makes a consumer that reads, with own, the copy of this edge. NATS places it at
// random among the copies, but not at the edge that leads JetStream.
func (s *Store) scanner(ctx context.Context, js jetstream.JetStream, own bool, copies int) (jetstream.Consumer, error) {
	c := jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverAllPolicy, HeadersOnly: true,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: inactive,
	}
	for range scanPlaces {
		if own && s.lattice.LeadsJetStream() {
			return s.movedScanner(ctx, js, c, copies)
		}
		cons, err := js.CreateConsumer(ctx, s.stream(), c)
		if err != nil {
			return nil, err
		}
		if c := cons.CachedInfo().Cluster; !own || c != nil && c.Leader == s.lattice.Name() {
			return cons, nil
		}
		if err := js.DeleteConsumer(ctx, s.stream(), cons.CachedInfo().Name); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("no consumer was placed on this edge")
}

// movedScanner makes a consumer that all copies could serve, and has this edge lead it.
func (s *Store) movedScanner(ctx context.Context, js jetstream.JetStream, c jetstream.ConsumerConfig, copies int) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	c.Replicas = copies
	cons, err := js.CreateConsumer(ctx, s.stream(), c)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{"placement": map[string]string{"preferred": s.lattice.Name()}})
	if err != nil {
		return nil, err
	}
	for {
		info, err := cons.Info(ctx)
		if err == nil && info.Cluster != nil && info.Cluster.Leader == s.lattice.Name() {
			return cons, nil
		}
		if err == nil && info.Cluster != nil && info.Cluster.Leader != "" {
			_, err = js.Conn().RequestWithContext(ctx, s.api(false)+"CONSUMER.LEADER.STEPDOWN."+s.stream()+"."+cons.CachedInfo().Name, body)
		}
		if waited := lattice.Pause(ctx, 100*time.Millisecond); waited != nil {
			return nil, errors.Join(errors.New("no consumer was placed on this edge"), err, waited)
		}
	}
}

// readAll reads up to a sequence. stopped is where a server gives nothing more though
// there is more.
func (s *Store) readAll(ctx context.Context, cons jetstream.Consumer, end uint64) (seen []stored, stopped uint64, err error) {
	it, err := cons.Messages(jetstream.PullMaxMessages(1000), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullExpiry/4))
	if err != nil {
		return nil, 0, err
	}
	defer it.Stop()
	bytes, begun, at := int64(0), time.Now(), uint64(0)
	for idle := 0; at < end; {
		m, err := next(ctx, it)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			if idle++; idle >= scanIdle {
				return seen, at + 1, nil
			}
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		meta, err := m.Metadata()
		if err != nil {
			return nil, 0, err
		}
		idle, at = 0, meta.Sequence.Stream
		seen = append(seen, stored{at, integrity.Sum(m.Headers().Get(hdrWrite))})
		size, _ := strconv.Atoi(m.Headers().Get(hdrSize))
		bytes += int64(size) + 256
		if early := time.Duration(bytes)*time.Second/scanBytes - time.Since(begun); early > 50*time.Millisecond {
			if err := lattice.Pause(ctx, early); err != nil {
				return nil, 0, err
			}
		}
	}
	return seen, 0, nil
}

// absent are the entries of an index, up to a sequence, that were not seen.
func (s *Store) absent(x *index.Index, seen []stored, end uint64) (bad []missing) {
	for token, t := range x.Tenants() {
		for it := range t.All(s.now) {
			i, found := slices.BinarySearchFunc(seen, it.Seq, func(a stored, seq uint64) int { return cmp.Compare(a.seq, seq) })
			if it.Seq > end || found && seen[i].sum == it.Sum {
				continue
			}
			if now, _ := t.Get(it.Key, s.now()); now.Seq == it.Seq { // not replaced meanwhile
				bad = append(bad, missing{token, it.Key, it.Seq})
			}
		}
	}
	return bad
}

// unreadable are those of the missing entries that cannot be read by themselves either.
func (s *Store) unreadable(ctx context.Context, bad *damagedCopy) *DamageError {
	l := s.guard.ledger.Load()
	loss := &integrity.Loss{Keys: map[integrity.Key]uint64{}, Tenants: map[uint64]struct{}{}}
	for _, m := range bad.items {
		nc, err := s.conn(ctx)
		if err != nil {
			return nil
		}
		within, cancel := context.WithTimeout(ctx, s.opts.Timeout)
		r, err := s.getLast(within, nc, "$KV."+s.opts.Bucket+"."+m.token+"."+keyToken(m.key))
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if now, _ := s.keys().Tenant(m.token).Get(m.key, s.now()); now.Seq != m.seq || err == nil && r.seq >= m.seq {
			continue
		}
		k := l.Hash(m.token, m.key)
		loss.Keys[k] = m.seq
		loss.Tenants[k.Tenant] = struct{}{}
	}
	if loss.Len() == 0 {
		if bad.at == 0 {
			return nil
		}
		return &DamageError{loss: loss, Reason: fmt.Sprintf("the server stops reading before the sequence %d", bad.at)}
	}
	return &DamageError{loss: loss, Reason: fmt.Sprintf("%d entries that were acknowledged cannot be read", loss.Len())}
}

// heal makes this edge's copy again from the others', if they are complete.
func (s *Store) heal(ctx context.Context, js jetstream.JetStream, bad *damagedCopy) error {
	why := fmt.Sprintf("this edge's copy of %s lacks %d entries", s.opts.Bucket, len(bad.items))
	if len(bad.items) == 0 {
		why = "this edge cannot read its copy of " + s.opts.Bucket
	}
	stream, err := js.Stream(ctx, s.stream())
	if err != nil {
		return fmt.Errorf("%s: %w", why, err)
	}
	c, self := stream.CachedInfo().Cluster, s.lattice.Name()
	if c == nil || c.Leader == "" {
		return fmt.Errorf("%s, and nobody leads", why)
	}
	if c.Leader == self {
		return errors.Join(fmt.Errorf("%s, and it leads", why), s.lattice.Follower(s.stream()))
	}
	for _, p := range c.Replicas {
		if p.Name != self && (p.Offline || !p.Current) {
			return fmt.Errorf("%s, and %s is not current: start it", why, p.Name)
		}
	}
	for i, m := range bad.items {
		if i >= leaderSample {
			break
		}
		has, err := s.leaderHas(ctx, m.seq)
		if err == nil && !has {
			err = fmt.Errorf("it lacks the sequence %d too", m.seq)
		}
		if err != nil {
			s.guard.recheck.Store(true) // it may be replaced, or be missing everywhere
			return fmt.Errorf("%s, and the leader %s: %w", why, c.Leader, err)
		}
	}
	if !s.mayResync() {
		return fmt.Errorf("%s, though it was made again %d times: replace its disk", why, resyncsMost)
	}
	s.log.Warn("this edge's copy of the state is damaged, and is made again", "bucket", s.opts.Bucket, "missing", len(bad.items))
	if err := s.lattice.Resync(ctx, s.stream(), c.RaftGroup); err != nil {
		return fmt.Errorf("%s: %w", why, err)
	}
	s.metrics.resyncs.Inc()
	return fmt.Errorf("%s: it is made again", why)
}

// mayResync bounds how often the copy is made again.
func (s *Store) mayResync() bool {
	s.guard.mu.Lock()
	defer s.guard.mu.Unlock()
	s.guard.resyncs = slices.DeleteFunc(s.guard.resyncs, func(t time.Time) bool { return time.Since(t) > resyncsIn })
	if len(s.guard.resyncs) >= resyncsMost {
		return false
	}
	s.guard.resyncs = append(s.guard.resyncs, time.Now())
	return true
}

// codeNoMessage is JetStream's error code for a sequence that has no message, or a broken one.
const codeNoMessage = 10037

// leaderHas asks who leads whether it can read a message, by its sequence.
func (s *Store) leaderHas(ctx context.Context, seq uint64) (bool, error) {
	nc, err := s.conn(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	body, err := json.Marshal(map[string]any{"seq": seq, "no_hdr": true})
	if err != nil {
		return false, err
	}
	m, err := nc.RequestWithContext(ctx, s.api(false)+"STREAM.MSG.GET."+s.stream(), body)
	if err != nil {
		return false, err
	}
	var answer struct {
		Error *struct {
			Code        int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return false, err
	}
	if answer.Error == nil {
		return true, nil
	}
	if answer.Error.Code == codeNoMessage {
		return false, nil
	}
	return false, errors.New(answer.Error.Description)
}

// copyProblem notes what is wrong with this edge's copy, empty for nothing.
func (s *Store) copyProblem(why string) {
	if old := s.guard.copy.Swap(&why); old != nil && *old == why || old == nil && why == "" {
		return
	}
	if why != "" {
		s.log.Warn("this edge's copy of the state is not complete", "bucket", s.opts.Bucket, "reason", why)
	} else {
		s.log.Info("this edge's copy of the state is complete again", "bucket", s.opts.Bucket)
	}
}

// compareOften compares this edge's index with those of the others, until ctx ends.
func (s *Store) compareOften(ctx context.Context) error {
	for wait := s.opts.Compare / 10; lattice.Pause(ctx, wait) == nil; wait = s.opts.Compare {
		if !s.keys().IsLoaded() {
			continue
		}
		if again, err := s.comparer.Compare(ctx); err != nil {
			s.log.Debug("state was not compared with the other edges'", "bucket", s.opts.Bucket, "err", err)
		} else if again {
			return errRecheck
		}
	}
	return ctx.Err()
}

// ComparePart is the part of questions that Answer answers.
const ComparePart = compare.Part

// Answer answers another edge that compares its state with this one's.
func (s *Store) Answer(ctx context.Context, question []byte) (any, error) {
	return s.comparer.Answer(ctx, question)
}

// Difference says which edges have state that this one lacks, as of the last comparison;
// empty if none.
func (s *Store) Difference() string { return s.comparer.Difference() }
