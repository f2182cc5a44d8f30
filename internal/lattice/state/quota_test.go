package state_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// pauseFollowers has edges hear nothing of what others write, until they begin anew.
func pauseFollowers(ctx context.Context, t *testing.T, node *latticetest.Node) {
	t.Helper()
	js, err := node.JetStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(ctx, "KV_terrane_state")
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(ctx).Name() {
		if _, err := stream.PauseConsumer(ctx, name, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestQuotaWithoutNews has two edges that hear nothing of each other fill a tenant's
// quota: each keeps to it by itself, and when the news comes nothing more is let in.
func TestQuotaWithoutNews(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	node := net.Node("ams1")
	var kvs []hostcalls.KV
	for range 2 {
		s, _ := run(t, node, state.Options{Quota: hostcalls.Quota{Keys: 10}})
		up(t, s)
		kvs = append(kvs, s.KV("/git/alice", state.Near))
	}
	ctx, cancel := context.WithTimeout(t.Context(), latticetest.Patience)
	defer cancel()
	pauseFollowers(ctx, t, node)
	put := func(edge, n int) error {
		_, err := kvs[edge].Put(ctx, fmt.Sprint(edge, "/", n), nil, 0, time.Time{})
		return err
	}
	for edge := range kvs {
		n := 0
		for ; put(edge, n) == nil; n++ {
		}
		if err := put(edge, n); n != 10 || !errors.Is(err, hostcalls.ErrFull) {
			t.Errorf("edge %d stored %d keys of 10: %v", edge, n, err)
		}
	}
	for _, kv := range kvs { // the news
		latticetest.Await(t, func() bool {
			keys, err := kv.List(ctx, "", "", 100)
			return err == nil && len(keys) == 20
		}, nil)
	}
	for n := range 11 {
		for edge := range kvs {
			if err := put(edge, 10); !errors.Is(err, hostcalls.ErrFull) {
				t.Errorf("edge %d, with %d keys of 10: %v", edge, 20-n, err)
			}
		}
		key := fmt.Sprint(n%2, "/", n/2)
		e, err := kvs[1].Get(ctx, key)
		if err == nil {
			err = kvs[1].Delete(ctx, key, e.Version)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := put(1, 10); err != nil {
		t.Errorf("with 9 keys of 10: %v", err)
	}
}
