// Package compare compares what an edge's index has with what the other edges' have, range by
// range: what another edge has and this one lacks is a difference. It knows no NATS: an Asker
// brings the questions to the other edges, and Comparer.Answer answers theirs.
//
// Keys are hashed with a salt that each comparison draws, so that an answer tells nothing to
// whom does not have the same key.
package compare

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/ask"
	"github.com/terrane/terrane/internal/lattice/state/index"
	"github.com/terrane/terrane/internal/lattice/state/integrity"
)

const (
	edgesMost   = 64   // that answer one comparison
	rangesMost  = 4    // that are listed of one edge in one comparison
	entriesMost = 4000 // entries of an answer
	tries       = 3
	saltMost    = 64
	saltLeast   = 8

	caughtUpTimeout = time.Second
)

// Asker asks all edges, as ask.Asker does. It is safe for concurrent use.
type Asker interface {
	All(ctx context.Context, part string, question []byte, n int) iter.Seq2[ask.Answer, error]
}

// Part is the part of questions that Answer answers.
const Part = "state"

// Options are what New takes. All but Asker and Logger are needed.
type Options struct {
	Bucket    string
	Edge      string // this one
	Asker     Asker  // nil: Compare does nothing
	Index     func() *index.Index
	Now       func() int64 // by the lattice's clock
	LeaderHas func(ctx context.Context, seq uint64) (bool, error)
	Logger    *slog.Logger // nil discards
}

// Comparer compares one bucket. It is safe for concurrent use.
type Comparer struct {
	o   Options
	log *slog.Logger

	mu      sync.Mutex
	differs string // see Difference
}

// New returns a Comparer. It starts nothing.
func New(o Options) *Comparer {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Comparer{o: o, log: o.Logger}
}

// query asks for an edge's digests, or for the entries of one range of one edge.
type query struct {
	Bucket string `json:"bucket"`
	Salt   []byte `json:"salt"`
	Edge   string `json:"edge,omitempty"`
	Range  int    `json:"range,omitempty"`
}

// reply is as of a sequence.
type reply struct {
	At      uint64             `json:"at"`
	Digests []integrity.Digest `json:"digests,omitempty"`
	Entries []byte             `json:"entries,omitempty"`
	Partial bool               `json:"partial,omitempty"` // the range has more
}

// Answer answers another edge that compares its state with this one's. It returns nil for
// a question that is for another bucket or edge, or while this edge does not know.
func (c *Comparer) Answer(_ context.Context, question []byte) (any, error) {
	var q query
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, err
	}
	if len(q.Salt) < saltLeast || len(q.Salt) > saltMost || q.Range < 0 || q.Range >= integrity.Ranges {
		return nil, errors.New("a comparison of state with a wrong salt or range")
	}
	x := c.o.Index()
	if q.Bucket != c.o.Bucket || q.Edge != "" && q.Edge != c.o.Edge || !x.IsLoaded() {
		return nil, nil
	}
	a := reply{At: x.Last()}
	entries := integrity.Entries(x, c.o.Now, integrity.Hasher(q.Salt))
	if q.Edge == "" {
		a.Digests = integrity.Digests(entries)
		return &a, nil
	}
	var list []integrity.Entry
	for e := range entries {
		if e.Range() != q.Range || e.Expires != 0 || e.Seq > a.At {
			continue
		}
		if a.Partial = len(list) == entriesMost; a.Partial {
			break
		}
		list = append(list, e)
	}
	a.Entries = integrity.Pack(list)
	return &a, nil
}

// Compare asks all edges, and notes which have what this one lacks. again reports whether the
// leader has it too: then it is this edge's index that lacks it.
func (c *Comparer) Compare(ctx context.Context) (again bool, err error) {
	if c.o.Asker == nil {
		return false, nil
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return false, err
	}
	peers, err := c.askPeers(ctx, query{Bucket: c.o.Bucket, Salt: salt})
	if err != nil {
		return false, err
	}
	differs := map[string]int{}
	for edge, theirs := range peers {
		x := c.o.Index()
		if edge == c.o.Edge || len(theirs.Digests) != integrity.Ranges || !c.caughtUp(ctx, x, theirs.At) {
			continue
		}
		ours, listed := integrity.Digests(integrity.Entries(x, c.o.Now, integrity.Hasher(salt))), 0
		for _, i := range mathrand.Perm(len(ours)) { //nolint:gosec // where much changes, all have their turn
			if ours[i] == theirs.Digests[i] {
				continue
			}
			if listed++; listed > rangesMost {
				break
			}
			n, provable, err := c.compareRange(ctx, x, edge, salt, i)
			if err != nil {
				return false, err
			}
			differs[edge] += n
			again = again || provable
		}
	}
	c.differences(differs)
	return again, nil
}

// compareRange returns how many entries of another edge this one lacks.
func (c *Comparer) compareRange(ctx context.Context, x *index.Index, edge string, salt []byte, i int) (n int, provable bool, err error) {
	peers, err := c.askPeers(ctx, query{Bucket: c.o.Bucket, Salt: salt, Edge: edge, Range: i})
	if err != nil {
		return 0, false, err
	}
	theirs := peers[edge]
	list, err := integrity.Unpack(theirs.Entries)
	if err != nil || !c.caughtUp(ctx, x, theirs.At) {
		return 0, false, err
	}
	var loss *integrity.Loss
	for range tries { // what is missing may have been replaced, and the replacement be on its way
		want := make(map[integrity.Key]integrity.Entry, len(list))
		for _, e := range list {
			want[e.Key] = e
		}
		if loss = integrity.Missing(c.o.Now(), want, integrity.Entries(x, c.o.Now, integrity.Hasher(salt))); loss.Len() == 0 {
			return 0, false, nil
		}
		if err := lattice.Pause(ctx, time.Second); err != nil {
			return 0, false, err
		}
	}
	for _, seq := range loss.Keys {
		if provable, _ = c.o.LeaderHas(ctx, seq); provable {
			break
		}
	}
	return loss.Len(), provable, nil
}

// caughtUp waits a moment for an index to be as far as another edge's.
func (c *Comparer) caughtUp(ctx context.Context, x *index.Index, at uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, caughtUpTimeout)
	defer cancel()
	return x.Wait(ctx, at) == nil
}

func (c *Comparer) askPeers(ctx context.Context, q query) (map[string]reply, error) {
	question, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	peers := map[string]reply{}
	for answer, err := range c.o.Asker.All(ctx, Part, question, edgesMost) {
		var a *reply
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
func (c *Comparer) differences(now map[string]int) {
	var texts []string
	for edge, n := range now {
		if n > 0 {
			texts = append(texts, fmt.Sprintf("%s has %d entries that this edge lacks", edge, n))
		}
	}
	slices.Sort(texts)
	text := strings.Join(texts, ", ")
	c.mu.Lock()
	old := c.differs
	c.differs = text
	c.mu.Unlock()
	switch {
	case text != "" && old != text:
		c.log.Error("state differs between edges", "bucket", c.o.Bucket, "difference", text)
	case text == "" && old != "":
		c.log.Info("state is the same at all edges again", "bucket", c.o.Bucket)
	}
}

// Difference says which edges have state that this one lacks, as of the last comparison;
// empty if none.
func (c *Comparer) Difference() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.differs
}
