package edge

import (
	"time"

	"github.com/terrane/terrane/bgp"
	"github.com/terrane/terrane/bgp/bfd"
	"github.com/terrane/terrane/dnsverify"
	"github.com/terrane/terrane/internal/certs"
	"github.com/terrane/terrane/internal/certs/acme"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/fault"
	"github.com/terrane/terrane/internal/fetch"
	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/githost"
	"github.com/terrane/terrane/tenant"
)

// The functions here translate parts of the configuration into packages' options.

// Limits are those of tenants.
func Limits(l *config.Limits) tenant.Limits {
	return tenant.Limits{
		Memory:            int64(l.Memory),
		CPU:               time.Duration(l.CPU),
		Wall:              time.Duration(l.Wall),
		RequestBody:       int64(l.RequestBody),
		ResponseBody:      int64(l.ResponseBody),
		Concurrency:       l.Concurrency,
		RequestsPerSecond: l.RequestsPerSecond,
		ModuleSize:        int64(l.ModuleSize),
		SiteSize:          int64(l.SiteSize),
		Subrequests:       l.Subrequests,
	}
}

func stores(c *config.Config) []tenantsync.Store {
	out := make([]tenantsync.Store, len(c.Stores))
	for i := range c.Stores {
		s := &c.Stores[i]
		out[i] = tenantsync.Store{Prefix: s.Prefix, Depth: s.Depth, Poll: time.Duration(s.Poll)}
		git := &tenantsync.Git{
			URL: s.URL, Branch: s.Branch, Username: s.Username, TokenFile: s.TokenFile,
			SSHKey: s.SSHKey, KnownHosts: s.KnownHosts, CA: s.CA, MaxPack: int64(s.MaxPack), FastForward: s.FastForward,
			WebhookSecret: string(s.WebhookSecret), AllowedSigners: s.AllowedSigners, SignerKeys: s.SignerKeys,
			Previews: c.Preview.Domain != "",
		}
		if s.Serve {
			git.URL, git.Hosted = githost.URL(hosted(c), s.Prefix), true
			git.Locate = func(id tenant.ID) (string, bool) { return githost.TenantURL(hosted(c), s.Prefix, id) }
		}
		switch s.Kind {
		case tenant.GitStore:
			out[i].Git = git
		case tenant.GitTenantStore:
			out[i].GitTenant = git
		case tenant.FolderStore:
			out[i].Folder = &tenantsync.Folder{Path: s.Path}
		}
	}
	return out
}

func dnsOptions(c *config.DNS) dnsverify.Options {
	return dnsverify.Options{
		Addresses: c.Addresses, Resolvers: c.Resolvers, Labels: c.Labels, Keys: c.Keys,
		RequireAD: c.RequireDNSSEC, MinTTL: time.Duration(c.MinTTL),
	}
}

// fetchOptions reads the file of further authorities. The error is a fault of its key.
func fetchOptions(c *config.Fetch) (fetch.Options, error) {
	roots, err := readPEM(c.Roots)
	if err != nil {
		err = &fault.Fault{Key: "roots", Err: err}
	}
	return fetch.Options{Allow: c.Allow, Deny: c.Deny, AllowPrivate: c.AllowPrivate, Roots: roots}, err
}

// acmeOptions reads the file of further authorities. The error is a fault of its key.
func acmeOptions(c *config.TLS) (acme.Options, error) {
	o := acme.Options{CAs: c.CA, Email: c.Email}
	for _, b := range c.EAB {
		o.EAB = append(o.EAB, acme.EAB{CA: b.CA, KeyID: b.KID, Key: string(b.Key)})
	}
	if c.Key != "" { // nil, not empty, where nothing is to be encrypted
		o.Key = []byte(c.Key)
	}
	var err error
	if o.Roots, err = readPEM(c.Roots); err != nil {
		err = &fault.Fault{Key: "roots", Err: err}
	}
	return o, err
}

func filesOptions(c *config.TLS) certs.FilesOptions {
	o := certs.FilesOptions{Pairs: make([]certs.Pair, len(c.Files))}
	for i, f := range c.Files {
		o.Pairs[i] = certs.Pair{Cert: f.Cert, Key: f.Key}
	}
	return o
}

// gitHostOptions also returns the indexes of the stores that the repositories are of.
func gitHostOptions(c *config.Config) (o githost.Options, stores []int) {
	o.Dir, o.SSH = hosted(c), c.Git.SSHListen
	for i := range c.Stores {
		s := &c.Stores[i]
		if !s.Serve {
			continue
		}
		stores = append(stores, i)
		o.Repos = append(o.Repos, githost.Repo{
			Prefix: s.Prefix, PerTenant: s.Kind == tenant.GitTenantStore, Branch: s.Branch, Depth: s.Depth, Pushers: s.Pushers, MaxPush: int64(s.MaxPush), MaxSize: int64(s.MaxPack),
			Previews: c.Preview.Domain != "", Rewrites: s.AllowRewrites, AllowedSigners: s.AllowedSigners, SignerKeys: s.SignerKeys,
		})
	}
	return o, stores
}

func announcerOptions(c *config.BGP) bgp.Options {
	o := bgp.Options{
		ASN:             c.ASN,
		RouterID:        c.RouterID,
		Prefixes:        c.Prefixes,
		ListenPort:      c.ListenPort,
		External:        c.External,
		AllowHostRoutes: c.AllowHostRoutes,
		AllowPrivate:    c.AllowPrivate,
		ShutdownWait:    time.Duration(c.ShutdownWait),
		WithdrawWait:    time.Duration(c.WithdrawWait),
		KeepSessions:    c.KeepSessions,
	}
	for i := range c.Neighbors {
		n := &c.Neighbors[i]
		o.Neighbors = append(o.Neighbors, bgp.Neighbor{
			Address:         n.Address,
			Port:            n.Port,
			ASN:             n.ASN,
			Password:        string(n.Password),
			Multihop:        n.Multihop,
			TTLSecurity:     n.TTLSecurity,
			LocalAddress:    n.LocalAddress,
			Passive:         n.Passive,
			HoldTime:        time.Duration(n.HoldTime),
			Keepalive:       time.Duration(n.Keepalive),
			ConnectRetry:    time.Duration(n.ConnectRetry),
			GracefulRestart: time.Duration(n.GracefulRestart),

			NoGracefulShutdown: n.GracefulShutdown != nil && !*n.GracefulShutdown,

			NextHops:    n.NextHops,
			Communities: n.Communities,
			MED:         n.MED,
			Prepend:     n.Prepend,
			LocalPref:   n.LocalPref,
		})
	}
	return o
}

// bfdPeers are the neighbors that are watched by BFD, and their indexes.
func bfdPeers(c *config.BGP) (peers []bfd.Peer, neighbors []int) {
	for i := range c.Neighbors {
		if n := &c.Neighbors[i]; n.BFD {
			neighbors = append(neighbors, i)
			peers = append(peers, bfd.Peer{
				Address: n.Address, LocalAddress: n.LocalAddress, Interval: time.Duration(n.BFDInterval), Multiplier: n.BFDMultiplier,
			})
		}
	}
	return peers, neighbors
}
