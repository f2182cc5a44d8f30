package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/dnsverify/zone"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge"
	"github.com/terrane/terrane/internal/parts"
	"github.com/terrane/terrane/internal/tomlfile"
	tenantsync "github.com/terrane/terrane/sync"
)

// devPrefix is that of the TXT paths in dev.
const devPrefix = "/dev/"

type devFlags struct {
	http, https, admin string
	data               string
	logs               logFlags
}

func devCommand() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use:   "dev [DIR]",
		Short: "Serve the tenants' folders in DIR on this machine, live on change",
		Long: `Serve each folder in DIR (default: the current folder) as a tenant, at
https://FOLDER.localhost:8443 and http://FOLDER.localhost:8080. A change is live a
moment later, or refused with the reason on standard error.

It is an edge like any other, but for what surrounds it: a DNS server in this
process holds the A and TXT records, a certificate authority of its own signs the
certificates, guests may reach private addresses, and their key-value state lasts
until it ends.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			return dev(cmd.Context(), dir, &f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.http, "http", "127.0.0.1:8080", "address of the plain listener")
	cmd.Flags().StringVar(&f.https, "https", "127.0.0.1:8443", "address of the HTTPS listener")
	cmd.Flags().StringVar(&f.admin, "admin", "", "address of the admin listener; empty for none")
	cmd.Flags().StringVar(&f.data, "data", "", "folder for the mirror and the certificate authority (default: in the user's cache)")
	f.logs.register(cmd, "text")
	return cmd
}

func dev(ctx context.Context, dir string, f *devFlags, stdout, stderr io.Writer) error {
	log, err := f.logs.logger(stderr)
	if err != nil {
		return usageError{"terrane dev", err}
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("the tenants' folder: %w", err)
	} else if !info.IsDir() {
		return fmt.Errorf("%s is a file: want the folder that holds the tenants' folders", dir)
	}
	base, err := devData(f.data)
	if err != nil {
		return err
	}
	dns, err := zone.New(zone.Options{}) //nolint:contextcheck // binds a loopback port at once
	if err != nil {
		return err
	}
	names := edge.NewDevNames(dns, log)
	ca := filepath.Join(base, "ca")
	e, err := edge.New(ctx, devConfig(dir, base, dns.Addr(), f), edge.Options{
		Version:    version(),
		Logger:     log,
		ServePlain: true,
		Forgetful:  true, // its DNS server is empty when it starts
		CADir:      ca,
		Publisher: func(next tenantsync.Publisher) tenantsync.Publisher {
			names.Publisher = next
			return names
		},
	})
	if err != nil {
		return errors.Join(err, dns.Close())
	}
	// Unlike serve it is of no use to anyone once nobody reads its output.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGPIPE)
	defer stop()
	return logEnd(ctx, log, func(ctx context.Context) error {
		return parts.Run(ctx, []parts.Part{
			{Name: "dns", Run: dns.Run},
			{Name: "edge", Run: e.Run},
			{Name: "greeting", Run: func(ctx context.Context) error {
				return greet(ctx, e, names, dir, filepath.Join(ca, "root.crt"), stdout)
			}},
		})
	})
}

// devData is where dev keeps what it makes.
func devData(chosen string) (string, error) {
	if chosen != "" {
		return filepath.Abs(chosen)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: name a folder with --data", err)
	}
	return filepath.Join(cache, "terrane", "dev"), nil
}

func devConfig(dir, base string, resolver netip.AddrPort, f *devFlags) *config.Config {
	c := config.Default()
	c.Edge.Name = "dev"
	// One mirror per folder, so that two of them can be served at a time.
	c.Edge.Data = filepath.Join(base, fmt.Sprintf("%x", sha256.Sum256([]byte(dir)))[:16])
	c.Stores = []config.Store{{Kind: "folder", Prefix: devPrefix, Path: dir, Depth: 1, Poll: tomlfile.Duration(200 * time.Millisecond)}}
	c.DNS.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	c.DNS.Resolvers = []netip.AddrPort{resolver}
	c.DNS.MinTTL = tomlfile.Duration(time.Second)
	c.HTTP.Listen = []string{f.http}
	c.HTTPS.Listen = []string{f.https}
	c.HTTPS.Drain = tomlfile.Duration(2 * time.Second)
	c.Fetch.AllowPrivate = true
	c.Fetch.Resolvers = []netip.AddrPort{} // the system's: guests may want the world
	c.TLS.Mode = "internal"
	c.Admin.Listen = f.admin
	return c
}

// greet prints what can be tried, once it can be.
func greet(ctx context.Context, e *edge.Edge, names *edge.DevNames, dir, root string, w io.Writer) error {
	for _, ready := range []<-chan struct{}{e.Server.Ready(), e.Syncer.Mirrored()} {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
	}
	plain, secure := e.Server.Addrs()
	hosts := names.Hosts()
	if len(hosts) == 0 {
		_, _ = fmt.Fprintf(w, "No tenant yet: make a folder in %s.\n", dir)
	}
	for _, h := range slices.Sorted(slices.Values(hosts)) {
		_, _ = fmt.Fprintf(w, "curl http://%s/\ncurl --cacert %s https://%s/\n", at(h, plain[0]), root, at(h, secure[0]))
	}
	_, err := fmt.Fprintf(w, "Ready. A change in %s is live a moment later; Ctrl-C ends.\n", dir)
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
