package lattice_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// child, in the environment, has the options of the edge that this process is to be.
const child = "TERRANE_LATTICE_TEST_EDGE"

func TestMain(m *testing.M) {
	if text := os.Getenv(child); text != "" {
		fmt.Fprintln(os.Stderr, beEdge(text))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// beEdge runs an edge until it is killed. The first one writes numbers and prints each
// that was acknowledged.
func beEdge(text string) error {
	var o lattice.Options
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	l, err := lattice.New(o)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if o.Name != "ams1" {
		return l.Run(ctx)
	}
	go l.Run(ctx) //nolint:errcheck // what is written tells
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
			options := cluster(t, n)
			var processes []*exec.Cmd
			var written *bufio.Scanner
			for _, o := range options {
				text, err := json.Marshal(o)
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.CommandContext(t.Context(), os.Args[0])
				cmd.Env, cmd.Stderr = append(os.Environ(), child+"="+string(text)), os.Stderr
				out, err := cmd.StdoutPipe()
				if err == nil {
					err = cmd.Start()
				}
				if err != nil {
					t.Fatal(err)
				}
				if processes = append(processes, cmd); written == nil {
					written = bufio.NewScanner(out)
				}
			}
			var keys []string
			for len(keys) < 300 && written.Scan() {
				keys = append(keys, written.Text())
			}
			for _, p := range processes {
				if err := p.Process.Kill(); err != nil {
					t.Error(err)
				}
			}
			for written.Scan() { // what it still said
				keys = append(keys, written.Text())
			}
			for _, p := range processes {
				_ = p.Wait() // says that it was killed
			}
			if len(keys) < 300 {
				t.Fatalf("%d keys were written", len(keys))
			}
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

// cluster is one edge alone, or several on ports that were free a moment ago.
func cluster(t *testing.T, n int) []lattice.Options {
	t.Helper()
	list := make([]lattice.Options, n)
	for i := range list {
		list[i] = lattice.Options{Name: fmt.Sprint("ams", i+1), Region: "ams", Dir: t.TempDir()}
		if n == 1 {
			continue
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		list[i].Cluster.Listen = ln.Addr().String()
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range list {
		for j := range list {
			if i != j {
				list[i].Cluster.Routes = append(list[i].Cluster.Routes, "nats://"+list[j].Cluster.Listen)
			}
		}
	}
	return list
}
