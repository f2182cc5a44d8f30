package lattice_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

func TestMain(m *testing.M) {
	latticetest.Child(writeNumbers)
	goleak.VerifyTestMain(m)
}

// writeNumbers writes numbers at the first edge, and prints each that was acknowledged.
func writeNumbers(ctx context.Context, l *lattice.Lattice) error {
	if l.Name() != "ams1" {
		<-ctx.Done()
		return nil
	}
	js, err := l.JetStream(ctx)
	if err != nil {
		return err
	}
	var kv jetstream.KeyValue
	for kv == nil { // until all edges are there
		kv, _ = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "terrane_test", Replicas: l.Replicas()})
	}
	for i := 0; ; i++ {
		if _, err := kv.Put(ctx, strconv.Itoa(i), []byte("value")); err == nil {
			fmt.Println(i)
		}
	}
}

// TestKilledEdgesLoseNothing kills all edges at once, amid writes.
func TestKilledEdgesLoseNothing(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			options := latticetest.Cluster(t, "ams", n)
			var keys []string
			enough := make(chan struct{})
			heard := func(key string) { // of the first edge; the others say nothing
				if keys = append(keys, key); len(keys) == 300 {
					close(enough)
				}
			}
			var edges []*latticetest.Process
			for i := range options {
				edges = append(edges, latticetest.Spawn(t, &options[i], heard))
			}
			select {
			case <-enough:
			case <-limit(t).Done():
				t.Error("300 keys were not written")
			}
			latticetest.Kill(edges...)
			has(t, options, keys)
		})
	}
}

// has starts the edges again and wants all keys.
func has(t *testing.T, options []lattice.Options, keys []string) {
	t.Helper()
	var first *lattice.Lattice
	for _, o := range options {
		o.Logger = latticetest.Logger(t)
		l, err := lattice.New(o)
		if err != nil {
			t.Fatal(err)
		}
		latticetest.Run(t, l.Run)
		if first == nil {
			first = l
		}
	}
	js, err := first.JetStream(limit(t))
	if err != nil {
		t.Fatal(err)
	}
	var kv jetstream.KeyValue
	latticetest.Await(t, func() bool { // until it has a leader: before, nobody answers
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		kv, err = js.KeyValue(ctx, "terrane_test")
		if err == nil {
			_, err = kv.Get(ctx, keys[0])
		}
		return err == nil
	}, func() string { return err.Error() })
	for _, k := range keys {
		if _, err := kv.Get(limit(t), k); err != nil {
			t.Errorf("key %s was acknowledged, and after a restart: %v", k, err)
		}
	}
}
