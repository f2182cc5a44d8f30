package placement_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/placement"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// greet says who it is to whoever connects.
func greet(name string) func(context.Context, net.Listener) error {
	return func(ctx context.Context, ln net.Listener) error {
		stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
		defer stop()
		for {
			c, err := ln.Accept()
			if err != nil {
				return nil //nolint:nilerr // ctx has ended
			}
			_, err = io.WriteString(c, name)
			if err := errors.Join(err, c.Close()); err != nil {
				return err
			}
		}
	}
}

// TestDial: an edge of the region answers, another one when it is gone, and nobody
// when all are.
func TestDial(t *testing.T) {
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 2})
	stops := map[string]func(){}
	for _, name := range []string{"fra1", "fra2"} {
		p := placement.New(placement.Options{Lattice: net.Node(name).Lattice, Serve: greet(name)})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		stops[name] = func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	ams := placement.New(placement.Options{Lattice: net.Node("ams1").Lattice})
	ctx, cancel := context.WithTimeout(t.Context(), latticetest.Patience)
	defer cancel()
	who := func() string {
		for {
			c, err := ams.Dial(ctx, "fra")
			if ctx.Err() != nil {
				t.Fatal(err)
			}
			if err != nil {
				continue // what is known of who listens takes a moment to arrive
			}
			name, err := io.ReadAll(c)
			if err := errors.Join(err, c.Close()); err != nil {
				t.Fatal(err)
			}
			return string(name)
		}
	}
	first := who()
	stops[first]()
	delete(stops, first)
	for who() == first {
	}
	for _, stop := range stops {
		stop()
	}
	for {
		if c, err := ams.Dial(ctx, "fra"); err == nil {
			_ = c.Close()
			continue
		}
		break
	}
	for _, region := range []string{"", "fra.>", "no one"} {
		if _, err := ams.Dial(ctx, region); err == nil {
			t.Errorf("a region called %q answers", region)
		}
	}
}
