package ticket

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// named is a lattice that nobody speaks on.
type named string

func (n named) Conn(context.Context) (*nats.Conn, error) { return nil, errors.New("cut off") }

func (n named) Name() string { return string(n) }

// TestNextVersion: what a later version says beyond keys as they are here is ignored.
func TestNextVersion(t *testing.T) {
	tickets, err := New(Options{Lattice: named("ams1"), Secret: secret, Set: func([][32]byte) {}})
	if err != nil {
		t.Fatal(err)
	}
	tickets.hear("ams2", tickets.seal([]byte(`{"format":9,"ask":true,"curve":"x","keys":[
		{"created":1,"key":"AAAA","kind":"short"},
		{"created":1700000000,"key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","kind":"aes"}]}`)), time.Unix(1700000001, 0))
	if len(tickets.ring.keys) != 1 || tickets.ring.keys[0].Created != 1700000000 {
		t.Errorf("took %+v", tickets.ring.keys)
	}
}
