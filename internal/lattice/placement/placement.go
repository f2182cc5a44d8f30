// Package placement carries requests to edges of other regions, for tenants whose
// manifest keeps them there. It has the way and no opinion on who takes it: package
// server speaks HTTP over it. A request takes the subject of the region, where NATS
// gives it to the nearest of the region's edges.
//
// It runs no goroutine of its own.
package placement

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/terrane/terrane/internal/lattice/natsconn"
)

const (
	dialTime = 3 * time.Second
	callTime = time.Second // of one edge: a call to one that has just gone is lost
	again    = time.Second
)

// Lattice is what this package needs of *lattice.Lattice.
type Lattice interface {
	Conn(ctx context.Context) (*nats.Conn, error)
	Name() string
	Region() string
}

// Options are what New takes.
type Options struct {
	Lattice Lattice
	// Edges are the names of a region's edges that are there, the least busy first. Nil: none is known.
	Edges func(region string) []string
	// Serve answers what arrives on ln, until ctx ends, and closes it.
	Serve  func(ctx context.Context, ln net.Listener) error
	Logger *slog.Logger // nil discards
}

// Placement is an edge's part. Its methods are safe for concurrent use.
type Placement struct{ opts Options }

// New starts nothing.
func New(o Options) *Placement {
	if o.Edges == nil {
		o.Edges = func(string) []string { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Placement{o}
}

var errNoRegion = errors.New("no name of a region")

// Dial connects to the nearest edge of a region. If there are some that it should not
// be, it is another that is known to be there.
func (p *Placement) Dial(ctx context.Context, region string, not ...string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	to, err := subject(region)
	if err != nil {
		return nil, err
	}
	conn, err := p.opts.Lattice.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if len(not) == 0 {
		return p.dial(ctx, conn, to)
	}
	err = natsconn.ErrNoListener
	for _, edge := range p.opts.Edges(region) {
		if slices.Contains(not, edge) {
			continue
		}
		var c net.Conn
		if c, err = p.dial(ctx, conn, own(region, edge)); err == nil {
			return c, nil
		}
	}
	return nil, err
}

func (p *Placement) dial(ctx context.Context, conn *nats.Conn, to string) (net.Conn, error) {
	for {
		call, cancel := context.WithTimeout(ctx, callTime)
		c, err := natsconn.Dial(call, conn, to)
		cancel()
		switch {
		case err == nil:
			return c, nil
		case errors.Is(err, natsconn.ErrNoListener) || ctx.Err() != nil:
			return nil, err
		}
	}
}

// Run serves requests that edges of other regions send here, until ctx ends. An edge
// without a region is sent none.
func (p *Placement) Run(ctx context.Context) error {
	at, err := subject(p.opts.Lattice.Region())
	if err != nil {
		<-ctx.Done()
		return nil
	}
	conn, err := p.opts.Lattice.Conn(ctx)
	if err != nil {
		return nil //nolint:nilerr // ctx has ended
	}
	for {
		ln, err := natsconn.Listen(conn, "edges", at, own(p.opts.Lattice.Region(), p.opts.Lattice.Name()))
		if err == nil {
			return p.opts.Serve(ctx, ln)
		}
		p.opts.Logger.Debug("listen for other regions", "err", err) // cut off, for now
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(again):
		}
	}
}

// own is an edge's own, for who wants no other.
func own(region, edge string) string { return "terrane.place." + region + ".at." + edge }

func subject(region string) (string, error) {
	if region == "" || strings.ContainsAny(region, ".*> \t\r\n") {
		return "", errNoRegion
	}
	return "terrane.place." + region + ".conn", nil
}
