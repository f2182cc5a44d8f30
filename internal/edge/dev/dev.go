// Package dev assembles the edge of "terrane dev": an edge like any other but for what
// surrounds it. A DNS server in this process has the records of each folder (names), an
// authority of its own signs the certificates, guests may reach private addresses, and
// their state lasts until it ends.
package dev

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/terrane/terrane/dnsverify/zone"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge"
	"github.com/terrane/terrane/internal/parts"
	"github.com/terrane/terrane/internal/tomlfile"
	tenantsync "github.com/terrane/terrane/sync"
)

// Options are what New takes.
type Options struct {
	Dir  string // holds the tenants' folders
	Data string // of the mirrors, one for each Dir, and of the certificate authority
	// HTTP, HTTPS and Admin are the addresses of the listeners; an empty Admin: none.
	HTTP, HTTPS, Admin string

	Version  string
	Greeting io.Writer // is told what can be tried, once it can be
	Logger   *slog.Logger
}

// Dev is the edge with its surroundings. Run may be called once.
type Dev struct {
	o     Options
	dns   *zone.Server
	names *names
	edge  *edge.Edge
}

// New returns a Dev. It binds the DNS server's port on loopback, and starts nothing: Run must
// be called.
func New(ctx context.Context, o Options) (*Dev, error) {
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if info, err := os.Stat(o.Dir); err != nil {
		return nil, fmt.Errorf("the tenants' folder: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is a file: want the folder that holds the tenants' folders", o.Dir)
	}
	d := &Dev{o: o}
	if d.dns, err = zone.New(zone.Options{}); err != nil { //nolint:contextcheck // binds a loopback port at once
		return nil, err
	}
	d.edge, err = edge.New(ctx, o.config(d.dns.Addr()), edge.Options{
		Version:    o.Version,
		Logger:     o.Logger,
		ServePlain: true,
		Forgetful:  true, // its DNS server is empty when it starts
		CADir:      d.caDir(),
		Publisher: func(next tenantsync.Publisher) tenantsync.Publisher {
			d.names = newNames(next, d.dns, o.Logger)
			return d.names
		},
	})
	if err != nil {
		return nil, errors.Join(err, d.dns.Close())
	}
	return d, nil
}

// Run runs it until ctx ends.
func (d *Dev) Run(ctx context.Context) error {
	return parts.Run(ctx, []parts.Part{
		{Name: "dns", Run: d.dns.Run},
		{Name: "edge", Run: d.edge.Run},
		{Name: "greeting", Run: d.greet},
	})
}

func (d *Dev) caDir() string { return filepath.Join(d.o.Data, "ca") }

func (o *Options) config(resolver netip.AddrPort) *config.Config {
	c := config.Default()
	c.Edge.Name = "dev"
	// One mirror per folder, so that two of them can be served at a time.
	c.Edge.Data = filepath.Join(o.Data, fmt.Sprintf("%x", sha256.Sum256([]byte(o.Dir)))[:16])
	c.Stores = []config.Store{{Kind: "folder", Prefix: prefix, Path: o.Dir, Depth: 1, Poll: tomlfile.Duration(200 * time.Millisecond)}}
	c.DNS.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	c.DNS.Resolvers = []netip.AddrPort{resolver}
	c.DNS.MinTTL = tomlfile.Duration(time.Second)
	c.HTTP.Listen = []string{o.HTTP}
	c.HTTPS.Listen = []string{o.HTTPS}
	c.HTTPS.Drain = tomlfile.Duration(2 * time.Second)
	c.Fetch.AllowPrivate = true
	c.Fetch.Resolvers = []netip.AddrPort{} // the system's: guests may want the world
	c.TLS.Mode = "internal"
	c.Admin.Listen = o.Admin
	return c
}

// prefix is that of the TXT paths in dev.
const prefix = "/dev/"

// greet prints what can be tried, once it can be.
func (d *Dev) greet(ctx context.Context) error {
	for _, ready := range []<-chan struct{}{d.edge.Server.Ready(), d.edge.Syncer.Mirrored()} {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
	}
	plain, secure := d.edge.Server.Addrs()
	hosts := d.names.hosts()
	if len(hosts) == 0 {
		_, _ = fmt.Fprintf(d.o.Greeting, "No tenant yet: make a folder in %s.\n", d.o.Dir)
	}
	for _, h := range slices.Sorted(slices.Values(hosts)) {
		_, _ = fmt.Fprintf(d.o.Greeting, "curl http://%s/\ncurl --cacert %s https://%s/\n", at(h, plain[0]), filepath.Join(d.caDir(), "root.crt"), at(h, secure[0]))
	}
	_, err := fmt.Fprintf(d.o.Greeting, "Ready. A change in %s is live a moment later; Ctrl-C ends.\n", d.o.Dir)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func at(host string, listener net.Addr) string {
	_, port, _ := net.SplitHostPort(listener.String())
	return net.JoinHostPort(host, port)
}
