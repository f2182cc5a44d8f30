package edge

import (
	"time"

	"github.com/terrane/terrane/bgp"
	"github.com/terrane/terrane/bgp/bfd"
	"github.com/terrane/terrane/internal/config"
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
		case "git":
			out[i].Git = git
		case "git-tenant":
			out[i].GitTenant = git
		default:
			out[i].Folder = &tenantsync.Folder{Path: s.Path}
		}
	}
	return out
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

// bfdPeers are the neighbors that are watched by BFD.
func bfdPeers(c *config.BGP) []bfd.Peer {
	var peers []bfd.Peer
	for i := range c.Neighbors {
		if n := &c.Neighbors[i]; n.BFD {
			peers = append(peers, bfd.Peer{
				Address: n.Address, LocalAddress: n.LocalAddress, Interval: time.Duration(n.BFDInterval), Multiplier: n.BFDMultiplier,
			})
		}
	}
	return peers
}
