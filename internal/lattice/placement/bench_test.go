package placement_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/placement"
)

// BenchmarkFloor is what one edge may have of another in another region at best: 64
// small requests at a time, as NATS itself carries a request and its reply, as streams
// carry them, and as HTTP on streams.
func BenchmarkFloor(b *testing.B) {
	n := latticetest.Start(b, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	ams, fra := placement.New(placement.Options{Lattice: n.Node("ams1").Lattice}), n.Node("fra1").Lattice
	message := make([]byte, 300)
	parallel := func(b *testing.B, do func() error) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.Run("nats", func(b *testing.B) {
		conn, err := fra.Conn(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		sub, err := conn.Subscribe("terrane.place.fra.floor", func(m *nats.Msg) { _ = m.Respond(m.Data) })
		if err != nil {
			b.Fatal(err)
		}
		defer sub.Unsubscribe() //nolint:errcheck // the end
		from, err := n.Node("ams1").Conn(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		ask := func() error {
			_, err := from.RequestWithContext(b.Context(), sub.Subject, message)
			return err
		}
		for ask() != nil { // what is known of who listens takes a moment to arrive
		}
		parallel(b, ask)
	})
	b.Run("streams", func(b *testing.B) {
		stop := latticetest.Run(b, placement.New(placement.Options{Lattice: fra, Serve: echo}).Run)
		defer stop()
		idle := make(chan net.Conn, 64)
		for len(idle) < cap(idle) {
			if c, err := ams.Dial(b.Context(), "fra"); err == nil {
				idle <- c
			}
		}
		parallel(b, func() error {
			c := <-idle
			defer func() { idle <- c }()
			_, err := c.Write(message)
			if err == nil {
				_, err = io.ReadFull(c, make([]byte, len(message)))
			}
			return err
		})
		for range cap(idle) {
			_ = (<-idle).Close()
		}
	})
	b.Run("http", func(b *testing.B) {
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(message) })}
		stop := latticetest.Run(b, placement.New(placement.Options{Lattice: fra, Serve: func(ctx context.Context, ln net.Listener) error {
			stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
			defer stop()
			_ = srv.Serve(ln)
			return nil
		}}).Run)
		defer stop()
		transport := &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return ams.Dial(ctx, "fra") }}
		defer transport.CloseIdleConnections()
		client := http.Client{Transport: transport}
		ask := func() error {
			resp, err := client.Get("http://fra/")
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, resp.Body)
			return errors.Join(err, resp.Body.Close())
		}
		for ask() != nil {
		}
		parallel(b, ask)
	})
}

// echo sends back what comes.
func echo(ctx context.Context, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	for {
		c, err := ln.Accept()
		if err != nil {
			return nil //nolint:nilerr // ctx has ended
		}
		go func() {
			_, _ = io.Copy(c, bufio.NewReader(c))
			_ = c.Close()
		}()
	}
}
