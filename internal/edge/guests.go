package edge

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/terrane/terrane/dnsverify"
	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/sitefs"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/fetch"
	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// buildGuests builds what runs modules and what modules reach.
func (e *Edge) buildGuests(context.Context) error {
	c := e.cfg
	var err error
	e.engine, err = NewEngine(c.Engine, EngineOptions{
		memory:   e.Memory,
		cacheDir: filepath.Join(c.Edge.Data, "compiled"),
		logger:   e.logger("engine"),
		metrics:  e.metrics,
	})
	if err != nil {
		return err
	}
	o, err := fetchOptions(&c.Fetch)
	if err != nil {
		return err
	}
	o.Local, o.Metrics = e.local, e.metrics
	o.Own.Addresses, o.Own.Names = c.Infrastructure()
	o.Own.Peers = e.Lattice.PeerAddresses
	for _, r := range slices.Concat(c.Fetch.Resolvers, c.DNS.Resolvers, dnsverify.SystemResolvers()) {
		o.Own.Resolvers = append(o.Own.Resolvers, r.Addr().Unmap())
	}
	if len(c.DNS.Addresses) > 0 {
		o.From = c.DNS.Addresses[0]
	}
	resolver, err := NewResolver(c.Fetch.Resolvers)
	if err != nil {
		return err
	}
	if resolver != nil {
		e.resolver = resolver
	}
	if len(c.Fetch.Resolvers) > 0 { // else the system's, which reads /etc/hosts too
		o.Resolver = resolver.NetResolver()
	}
	e.fetcher, err = fetch.New(o)
	return err
}

// NewResolver returns a client that asks the servers, or those of this machine if none are
// given; nil when it has none either.
func NewResolver(servers []netip.AddrPort) (*dnsverify.Client, error) {
	if len(servers) == 0 {
		if servers = dnsverify.SystemResolvers(); len(servers) == 0 {
			return nil, nil
		}
	}
	return dnsverify.NewClient(dnsverify.ClientOptions{Resolvers: servers})
}

// local answers what guests fetch from the sites of this edge, their own among them:
// its addresses are not to be dialed.
func (e *Edge) local(u *url.URL) http.Handler {
	h, err := tenant.ParseHost(u.Host)
	if err != nil || !e.Verifier.Known(h) || !e.listens(u) {
		return nil
	}
	return e.Server.Handler(u.Scheme == "https")
}

// listens reports whether the URL's port is one that visitors come to.
func (e *Edge) listens(u *url.URL) bool {
	plain, secure := e.Server.Addrs()
	if u.Scheme == "https" {
		plain = secure
	}
	return u.Port() == "" || slices.ContainsFunc(plain, func(a net.Addr) bool {
		_, port, _ := net.SplitHostPort(a.String())
		return port == u.Port()
	})
}

// readPEM reads a file of certificates, if one is named.
func readPEM(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	return readBounded(file, maxPEM)
}

// readBounded reads a file of at most most bytes.
func readBounded(name string, most int64) ([]byte, error) {
	f, err := os.Open(name) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s: more than %d bytes", name, most)
	}
	return data, err
}

// maxPEM bounds a file of certificates, in bytes.
const maxPEM = 4 << 20

// guest returns what makes the surroundings of a release's guests. State of a
// tenant outlives its releases.
func (e *Edge) guest(blobs server.Blobs) func(*tenant.Snapshot, tenant.Limits) *hostcalls.Tenant {
	e.Logs = server.NewLogs(server.LogsOptions{Logger: e.logger("guest")})
	return func(s *tenant.Snapshot, l tenant.Limits) *hostcalls.Tenant {
		return &hostcalls.Tenant{
			ID:       s.ID,
			Env:      s.Manifest.Env,
			Limits:   l,
			Allow:    s.Manifest.Fetch.Allow,
			KV:       e.states.of(s.ID, s.Manifest.State.Strict),
			Fetcher:  e.fetcher,
			Resolver: e.resolver,
			Messages: e.Lattice.Messages.Of(s.ID, &s.Manifest),
			Logger:   e.Logs.Of(s.ID),
			Files:    sitefs.New(s, blobs.Open),
			Edge:     e.cfg.Edge.Name,
			Region:   e.cfg.Edge.Region,
		}
	}
}

// publisher is the sites as the syncer sees them.
type publisher struct {
	*server.Sites
	published func(*tenant.Snapshot)
	removed   func(tenant.ID)
	log       *slog.Logger
}

// Publish implements tenantsync.Publisher.
func (p publisher) Publish(ctx context.Context, s *tenant.Snapshot) error {
	err := p.Sites.Publish(ctx, s)
	if err == nil {
		p.published(s)
	}
	return err
}

// Remove implements tenantsync.Publisher.
func (p publisher) Remove(ctx context.Context, id tenant.ID) {
	p.removed(id)
	if err := p.Sites.Remove(ctx, id); err != nil {
		p.log.Error("cannot free a removed tenant's modules", "tenant", id, "err", err)
	}
}

// wanted tells the syncer which tenants visitors ask for, if any store waits for that: those
// of tenants' own repositories, and those of folders that a file system does not list.
func (e *Edge) wanted() func(tenant.ID) {
	waits := func(s config.Store) bool {
		return s.Kind == tenant.GitTenantStore || s.Kind == tenant.FolderStore && s.Depth > 1
	}
	if !slices.ContainsFunc(e.cfg.Stores, waits) {
		return nil
	}
	return func(id tenant.ID) { e.Syncer.Want(id) }
}

// webhook takes word of pushes from forges, if any store wants it.
func (e *Edge) webhook() http.Handler {
	if !e.cfg.Hooks() {
		return nil
	}
	return e.Syncer.Webhook()
}

func (e *Edge) refused(id tenant.ID) (revision tenant.Revision, reason string, refused bool) {
	t, ok := e.Syncer.Tenant(id)
	if !ok || t.Refused == nil {
		return "", "", false
	}
	if t.Waiting != "" {
		return t.Refused.Revision, fmt.Sprintf("%s (%s)", t.Refused.Reason, t.Waiting), true
	}
	return t.Refused.Revision, t.Refused.Reason, true
}
