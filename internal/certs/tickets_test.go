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

func TestTicketsResumeAtAnyEdge(t *testing.T) {
	dir := t.TempDir()
	secret := bytes.Repeat([]byte("s"), 32)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		var edges [2]*tls.Config
		var root []byte
		for i := range edges {
			c := newInternal(t, certs.InternalOptions{Dir: dir})
			root = c.RootPEM()
			edges[i] = c.TLSConfig()
			tickets, err := certs.NewTickets(edges[i], secret, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			go func() { done <- tickets.Run(ctx) }()
		}
		client := certstest.Trust(root, "alice.example")
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for _, step := range []struct {
			wait time.Duration
			edge int
			want bool
		}{
			{0, 0, false},
			{0, 1, true}, // at the other edge
			{time.Hour, 0, true},
			{3 * time.Hour, 1, false}, // the key is gone
			{time.Minute, 0, true},
		} {
			time.Sleep(step.wait)
			synctest.Wait()
			state, err := certstest.Handshake(t, edges[step.edge], client)
			if err != nil || state.DidResume != step.want {
				t.Errorf("%+v: resumed %v, %v", step, state.DidResume, err)
			}
		}
		cancel()
		for range edges {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := certs.NewTickets(&tls.Config{MinVersion: tls.VersionTLS12}, secret[:31], 0); err == nil {
		t.Error("a short secret is taken")
	}
}
