package tenant

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// Pin says that an operator chose a tenant's release by hand. It holds while the
// tenant's folder has the content that the operator turned away from, and ends when
// other content goes live.
type Pin struct {
	Over   Hash      `json:"over,omitzero"`    // content of the folder that is not served; zero: it was never read whole
	By     string    `json:"by,omitempty"`     // who asked for it, as the client said
	Reason string    `json:"reason,omitempty"` // in the operator's words
	Edge   string    `json:"edge,omitempty"`   // that was asked
	At     time.Time `json:"at"`               // by that edge's clock
}

// Summary says in words why a release is live that is not what the folder has. A nil Pin
// is one whose reason is not known.
func (p *Pin) Summary() string {
	if p == nil {
		return "pinned"
	}
	s := "pinned " + p.At.Local().Format(time.DateTime)
	if p.By != "" {
		s += " by " + p.By
	}
	if p.Edge != "" {
		s += " at " + p.Edge
	}
	if p.Reason != "" {
		s += fmt.Sprintf(" (%s)", p.Reason)
	}
	return s + " until the folder changes"
}

// Newer reports whether p was made after q. Either may be nil, which is older than all.
func (p *Pin) Newer(q *Pin) bool {
	switch {
	case p == nil:
		return false
	case q == nil:
		return true
	case !p.At.Equal(q.At):
		return p.At.After(q.At)
	}
	return p.Edge > q.Edge
}

// Served is what an edge serves of a tenant: a fact that edges compare. A Pin may come
// with the content that the folder has: an earlier choice that was taken back.
type Served struct {
	ID       ID        `json:"id"`
	Revision Revision  `json:"revision"`
	Time     time.Time `json:"time"` // of the release
	Content  Hash      `json:"content"`
	Pin      *Pin      `json:"pin,omitempty"`
}

// Pinned reports whether s is served instead of what the folder has.
func (s Served) Pinned() bool { return s.Pin != nil && s.Pin.Over != s.Content }

// Sum identifies what is served, and by which choice. Revisions of equal content are alike.
func (s Served) Sum() Sum {
	b := append([]byte(s.ID), 0)
	b = append(b, s.Content[:]...)
	if s.Pin != nil {
		b = binary.BigEndian.AppendUint64(b, uint64(s.Pin.At.UnixNano()))
		b = append(append(b, s.Pin.Over[:]...), s.Pin.Edge...)
	}
	sum := sha256.Sum256(b)
	return Sum(sum[:len(Sum{})])
}

// Sum is a digest of one or many Served, in any order.
type Sum [16]byte

// Add takes one more into the digest, or out of it.
func (s *Sum) Add(other Sum) {
	for i := range s {
		s[i] ^= other[i]
	}
}

// MarshalText implements encoding.TextMarshaler by hexadecimal digits.
func (s Sum) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(s[:])), nil }

// UnmarshalText implements encoding.TextUnmarshaler, the reverse of MarshalText.
func (s *Sum) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(s)) {
		return fmt.Errorf("digest of %d characters, want %d", len(text), hex.EncodedLen(len(s)))
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// Buckets is how many parts the tenants of a store are compared in.
const Buckets = 256

// Bucket is the part that the tenant belongs to.
func (id ID) Bucket() int { return int(sha256.Sum256([]byte(id))[0]) }

// ServedStore sums up what an edge serves of the tenants of a store.
type ServedStore struct {
	Prefix string
	// Partial: an edge has only the tenants that domains have led to it, so that those of
	// two edges differ.
	Partial bool
	Tenants int
	Buckets [Buckets]Sum // see ID.Bucket
}

// Sum is the sum of all buckets.
func (s *ServedStore) Sum() (sum Sum) {
	for _, b := range s.Buckets {
		sum.Add(b)
	}
	return sum
}
