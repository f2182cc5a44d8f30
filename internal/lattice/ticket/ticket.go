package ticket

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	subjects   = "terrane.ticket."
	maxMessage = 4 << 10 // bytes
	minSecret  = 32      // bytes
)

// Lattice is what tickets need of one.
type Lattice interface {
	Conn(ctx context.Context) (*nats.Conn, error)
	Name() string
}

// Options are what New takes.
type Options struct {
	Lattice Lattice
	Secret  []byte // that all edges share, of at least 32 bytes
	// Set is called with the keys when they change: the first encrypts, all decrypt. It
	// is not called before another edge could tell its own.
	Set    func(keys [][32]byte)
	Period time.Duration // for how long a key encrypts; default 12 h
	Logger *slog.Logger  // nil discards
}

// Tickets keeps the keys of an edge in step with those of the others.
type Tickets struct {
	o    Options
	log  *slog.Logger
	aead cipher.AEAD
	ring ring // of Run's goroutine
	set  [][32]byte
}

// message is what edges tell each other, sealed.
type message struct {
	Ask  bool  `json:"ask,omitempty"` // the sender wants to know everyone's
	Keys []key `json:"keys"`
}

// New starts nothing.
func New(o Options) (*Tickets, error) {
	if len(o.Secret) < minSecret {
		return nil, fmt.Errorf("ticket: the secret has at least %d bytes", minSecret)
	}
	if o.Period <= 0 {
		o.Period = 12 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	secret, err := hkdf.Key(sha256.New, o.Secret, nil, "terrane lattice session tickets", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &Tickets{o: o, log: o.Logger, aead: aead, ring: ring{period: o.Period}}, err
}

// Run keeps the keys in step until ctx ends.
func (t *Tickets) Run(ctx context.Context) error {
	conn, err := t.o.Lattice.Conn(ctx)
	if err != nil {
		return nil //nolint:nilerr // ctx has ended
	}
	heard := make(chan *nats.Msg, 64)
	sub, err := conn.ChanSubscribe(subjects+"*", heard)
	if err != nil {
		return err
	}
	t.tell(conn, true)
	const beat = time.Second // at most this often are keys told because another edge lacks them
	tick := time.NewTicker(beat)
	defer tick.Stop()
	asked := false
	for n := 1; ; {
		select {
		case <-ctx.Done():
			return sub.Unsubscribe()
		case m := <-heard:
			asked = t.hear(strings.TrimPrefix(m.Subject, subjects), m.Data, time.Now()) || asked
			t.apply(time.Now())
		case now := <-tick.C:
			n++ // the first beat passes before a key is made: others may have one
			if t.ring.trim(now); t.ring.due(now) {
				t.ring.rotate(now)
				asked = true
			}
			if asked || n%5 == 0 {
				t.tell(conn, false)
				asked = false
			}
			t.apply(now)
		}
	}
}

// apply sets the keys if they are others.
func (t *Tickets) apply(now time.Time) {
	if list := t.ring.ordered(now); len(list) > 0 && !slices.Equal(list, t.set) {
		t.set = list
		t.o.Set(list)
	}
}

func (t *Tickets) tell(conn *nats.Conn, ask bool) {
	data, err := json.Marshal(message{ask, t.ring.keys})
	if err == nil {
		err = conn.Publish(subjects+t.o.Lattice.Name(), t.seal(data))
	}
	if err != nil {
		t.log.Debug("session-ticket keys were not told", "err", err)
	}
}

func (t *Tickets) seal(data []byte) []byte { return t.aead.Seal(nil, nil, data, []byte(subjects)) } //nolint:gosec // the nonce is random

// hear takes a message, and reports whether it wants an answer.
func (t *Tickets) hear(edge string, box []byte, now time.Time) (answer bool) {
	if edge == t.o.Lattice.Name() {
		return false
	}
	m, err := t.open(box)
	if err != nil {
		t.log.Warn("an edge's session-ticket keys are refused", "edge", edge, "err", err)
		return false
	}
	changed, lacks := t.ring.merge(m.Keys, now)
	return changed || lacks || m.Ask
}

func (t *Tickets) open(box []byte) (m message, err error) {
	if len(box) > maxMessage {
		return m, errors.New("the message is too long")
	}
	data, err := t.aead.Open(nil, nil, box, []byte(subjects))
	if err != nil {
		return m, errors.New("they are sealed under another secret: give all edges the same tls.key")
	}
	return m, json.Unmarshal(data, &m)
}
