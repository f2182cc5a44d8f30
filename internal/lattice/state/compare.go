package state

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/ask"
	"github.com/terrane/terrane/internal/lattice/state/integrity"
)

const (
	compareEdges  = 64   // that answer one comparison
	compareRanges = 4    // that are listed of one edge in one comparison
	compareMost   = 4000 // entries of an answer
	compareTries  = 3
	saltMost      = 64
	saltLeast     = 8
)

// Asker asks all edges, as ask.Asker does.
type Asker interface {
	All(ctx context.Context, part string, question []byte, n int) iter.Seq2[ask.Answer, error]
}

// ComparePart is the part of questions that Answer answers.
const ComparePart = "state"

// compareQuestion asks for an edge's digests, or for the entries of one range of one edge.
type compareQuestion struct {
	Bucket string `json:"bucket"`
	Salt   []byte `json:"salt"`
	Edge   string `json:"edge,omitempty"`
	Range  int    `json:"range,omitempty"`
}

// compareAnswer is as of a sequence.
type compareAnswer struct {
	At      uint64             `json:"at"`
	Digests []integrity.Digest `json:"digests,omitempty"`
	Entries []byte             `json:"entries,omitempty"`
	Partial bool               `json:"partial,omitempty"` // the range has more
}

// Answer answers another edge that compares its state with this one's. It returns nil for
// a question that is for another bucket or edge, or while this edge does not know.
func (s *Store) Answer(_ context.Context, question []byte) (any, error) {
	var q compareQuestion
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, err
	}
	if len(q.Salt) < saltLeast || len(q.Salt) > saltMost || q.Range < 0 || q.Range >= integrity.Ranges {
		return nil, errors.New("a comparison of state with a wrong salt or range")
	}
	x := s.index.now.Load()
	if q.Bucket != s.opts.Bucket || q.Edge != "" && q.Edge != s.lattice.Name() || !x.done() {
		return nil, nil
	}
	a := compareAnswer{At: x.last()}
	entries := s.entries(x, integrity.Hasher(q.Salt))
	if q.Edge == "" {
		a.Digests = integrity.Digests(entries)
		return &a, nil
	}
	var list []integrity.Entry
	for e := range entries {
		if e.Range() != q.Range || e.Expires != 0 || e.Seq > a.At {
			continue
		}
		if a.Partial = len(list) == compareMost; a.Partial {
			break
		}
		list = append(list, e)
	}
	a.Entries = integrity.Pack(list)
	return &a, nil
}

// compareOften compares this edge's state with that of the others, until ctx ends.
func (s *Store) compareOften(ctx context.Context) error {
	for wait := s.opts.Compare / 10; lattice.Pause(ctx, wait) == nil; wait = s.opts.Compare {
		if s.opts.Asker == nil || !s.index.now.Load().done() {
			continue
		}
		if again, err := s.compare(ctx); err != nil {
			s.log.Debug("state was not compared with the other edges'", "bucket", s.opts.Bucket, "err", err)
		} else if again {
			return errRecheck
		}
	}
	return ctx.Err()
}

// compare asks all edges, and notes which have what this one lacks. again is whether the
// leader has it too: then it is this edge's index that lacks it.
func (s *Store) compare(ctx context.Context) (again bool, err error) {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return false, err
	}
	peers, err := s.askPeers(ctx, compareQuestion{Bucket: s.opts.Bucket, Salt: salt})
	if err != nil {
		return false, err
	}
	differs := map[string]int{}
	for edge, theirs := range peers {
		x := s.index.now.Load()
		if edge == s.lattice.Name() || len(theirs.Digests) != integrity.Ranges || !s.caughtUp(ctx, x, theirs.At) {
			continue
		}
		ours, listed := integrity.Digests(s.entries(x, integrity.Hasher(salt))), 0
		for _, i := range mathrand.Perm(len(ours)) { //nolint:gosec // where much changes, all have their turn
			if ours[i] == theirs.Digests[i] {
				continue
			}
			if listed++; listed > compareRanges {
				break
			}
			n, provable, err := s.compareRange(ctx, x, edge, salt, i)
			if err != nil {
				return false, err
			}
			differs[edge] += n
			again = again || provable
		}
	}
	s.differences(differs)
	return again, nil
}

// compareRange returns how many entries of another edge this one lacks.
func (s *Store) compareRange(ctx context.Context, x *index, edge string, salt []byte, i int) (n int, provable bool, err error) {
	peers, err := s.askPeers(ctx, compareQuestion{Bucket: s.opts.Bucket, Salt: salt, Edge: edge, Range: i})
	if err != nil {
		return 0, false, err
	}
	theirs := peers[edge]
	list, err := integrity.Unpack(theirs.Entries)
	if err != nil || !s.caughtUp(ctx, x, theirs.At) {
		return 0, false, err
	}
	var loss *integrity.Loss
	for range compareTries { // what is missing may have been replaced, and the replacement be on its way
		want := make(map[integrity.Key]integrity.Entry, len(list))
		for _, e := range list {
			want[e.Key] = e
		}
		if loss = integrity.Missing(s.now(), want, s.entries(x, integrity.Hasher(salt))); loss.Len() == 0 {
			return 0, false, nil
		}
		if err := lattice.Pause(ctx, time.Second); err != nil {
			return 0, false, err
		}
	}
	for _, seq := range loss.Keys {
		if provable, _ = s.leaderHas(ctx, seq); provable {
			break
		}
	}
	return loss.Len(), provable, nil
}

// caughtUp waits a little for an index to be as far as another edge's.
func (s *Store) caughtUp(ctx context.Context, x *index, at uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, freshTimeout)
	defer cancel()
	return x.reached(ctx, at) == nil
}

func (s *Store) askPeers(ctx context.Context, q compareQuestion) (map[string]compareAnswer, error) {
	question, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	peers := map[string]compareAnswer{}
	for answer, err := range s.opts.Asker.All(ctx, ComparePart, question, compareEdges) {
		var a *compareAnswer
		if err == nil && json.Unmarshal(answer.Data, &a) == nil && a != nil {
			peers[answer.Edge] = *a
		}
		if q.Edge != "" && len(peers) > 0 {
			break
		}
	}
	return peers, nil
}

// differences notes which edges have what this one lacks.
func (s *Store) differences(now map[string]int) {
	var texts []string
	for edge, n := range now {
		if n > 0 {
			texts = append(texts, fmt.Sprintf("%s has %d entries that this edge lacks", edge, n))
		}
	}
	slices.Sort(texts)
	text := strings.Join(texts, ", ")
	s.guard.mu.Lock()
	old := s.guard.differs
	s.guard.differs = text
	s.guard.mu.Unlock()
	switch {
	case text != "" && old != text:
		s.log.Error("state differs between edges", "bucket", s.opts.Bucket, "difference", text)
	case text == "" && old != "":
		s.log.Info("state is the same at all edges again", "bucket", s.opts.Bucket)
	}
}

// Difference says which edges have state that this one lacks, as of the last comparison;
// empty if none.
func (s *Store) Difference() string {
	s.guard.mu.Lock()
	defer s.guard.mu.Unlock()
	return s.guard.differs
}
