package certs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"testing"
	"testing/synctest"
	"time"

	"github.com/terrane/terrane/internal/certs"
	"github.com/terrane/terrane/internal/certs/certstest"
)

// ahead runs f while the clock is ahead by so much of where it starts in each bubble.
func ahead(t *testing.T, by time.Duration, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(by)
		f(t)
	})
}

// TestClockPutBack has the clock be ahead for a while: what an edge made meanwhile is replaced
// as soon as it is right again.
func TestClockPutBack(t *testing.T) {
	secret := bytes.Repeat([]byte("s"), 32)
	dir := t.TempDir()
	var c *certs.Internal
	ahead(t, 0, func(t *testing.T) { c = newInternal(t, certs.InternalOptions{Dir: dir}) })
	right, wrong := c.TLSConfig(), c.TLSConfig()
	var tickets *certs.Tickets
	client := certstest.Trust(c.RootPEM(), "alice.example")
	ahead(t, 120*time.Hour, func(t *testing.T) {
		if _, err := certstest.Handshake(t, wrong, client); err != nil {
			t.Fatal(err)
		}
		var err error
		if tickets, err = certs.NewTickets(wrong, secret, time.Hour); err != nil {
			t.Fatal(err)
		}
	})
	ahead(t, 24*time.Hour, func(t *testing.T) {
		if _, err := certs.NewTickets(right, secret, time.Hour); err != nil {
			t.Fatal(err)
		}
		if state, err := certstest.Handshake(t, wrong, client); err != nil {
			t.Errorf("the certificate is not valid yet: %v %v", state, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- tickets.Run(ctx) }()
		<-time.After(2 * time.Minute)
		synctest.Wait()
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for i, edge := range []*tls.Config{right, wrong} {
			if state, err := certstest.Handshake(t, edge, client); err != nil || state.DidResume != (i == 1) {
				t.Errorf("resumed at an edge whose clock was ahead: %v, %v", state.DidResume, err)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
