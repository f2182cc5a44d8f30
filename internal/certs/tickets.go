package certs

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"strconv"
	"time"

	"github.com/terrane/terrane/internal/certs/storage"
	"github.com/terrane/terrane/internal/fault"
)

// Tickets changes the keys of session tickets (RFC 8446 4.6.1) in step with all
// edges that share a secret, so that a session is resumed at any of them. Keys are
// derived from the secret and the time: a key decrypts for three periods, and a key
// that leaks opens no other. The secret opens them all: keep it as the certificates'.
type Tickets struct {
	config *tls.Config
	secret []byte
	period time.Duration
	epoch  int64 // whose keys are set; of NewTickets and Run
}

// NewTickets sets the keys of now. period is for how long a key encrypts; default
// 12 h. All edges must agree on it.
func NewTickets(config *tls.Config, secret []byte, period time.Duration) (*Tickets, error) {
	if len(secret) < storage.MinSecret {
		return nil, &fault.Fault{Key: "tickets", Err: fmt.Errorf("the secret has %d characters: want at least %d of them", len(secret), storage.MinSecret)}
	}
	if period <= 0 {
		period = 12 * time.Hour
	}
	t := &Tickets{config: config, secret: secret, period: period}
	return t, t.rotate()
}

// Run changes the keys at the end of each period, until ctx ends. It looks at the clock
// once a minute: that may jump.
func (t *Tickets) Run(ctx context.Context) error {
	for {
		next := time.NewTimer(min(time.Minute, t.period-time.Duration(time.Now().UnixNano()%int64(t.period))))
		select {
		case <-ctx.Done():
			next.Stop()
			return nil
		case <-next.C:
		}
		if err := t.rotate(); err != nil {
			return err
		}
	}
}

// rotate sets the current key, which encrypts, and the ones before and after, whose
// tickets edges send whose clocks differ.
func (t *Tickets) rotate() error {
	epoch := time.Now().UnixNano() / int64(t.period)
	if epoch == t.epoch {
		return nil
	}
	var keys [3][32]byte
	for i, e := range [...]int64{epoch, epoch - 1, epoch + 1} {
		key, err := hkdf.Key(sha256.New, t.secret, nil, "terrane session tickets "+strconv.FormatInt(e, 10), len(keys[i]))
		if err != nil {
			return err
		}
		copy(keys[i][:], key)
	}
	t.config.SetSessionTicketKeys(keys[:])
	t.epoch = epoch
	return nil
}
