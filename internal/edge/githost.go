package edge

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/lattice/notice"
	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/githost"
	"github.com/terrane/terrane/tenant"
)

// hosted is the folder of the repositories that an edge keeps.
func hosted(c *config.Config) string { return filepath.Join(c.Edge.Data, "hosted") }

// buildGitHost builds the origin of the stores with serve, if any.
func (e *Edge) buildGitHost(context.Context) error {
	c := e.cfg
	if !c.Serves() {
		return nil
	}
	o, _ := gitHostOptions(c)
	o.Releases, o.Address, o.Logger, o.Metrics = pushed{e.Syncer, e.Lattice.Notices}, e.address, e.logger("git"), e.metrics
	var err error
	e.GitHost, err = githost.New(o)
	return err
}

// pushed is the syncer of an edge that takes pushes: the other edges are told as well.
type pushed struct {
	*tenantsync.Syncer
	notices *notice.Notices
}

// Nudge implements githost.Releases.
func (p pushed) Nudge(prefix string) {
	p.notices.Send(notice.Notice{Store: prefix})
	p.Syncer.Nudge(prefix)
}

// ownHosts are the names at the HTTPS listener that are not for tenants.
func (e *Edge) ownHosts() map[tenant.Host]http.Handler {
	if e.GitHost == nil || e.cfg.Git.Host == "" {
		return nil
	}
	return map[tenant.Host]http.Handler{e.cfg.Git.Host: e.GitHost.Handler()}
}

// permit is nil for hosts that may have a certificate.
func (e *Edge) permit(ctx context.Context, host tenant.Host, source netip.Addr) error {
	if e.GitHost != nil && host == e.cfg.Git.Host {
		return nil
	}
	return e.Sites.Permit(ctx, host, source)
}

// address is where a tenant is shown, empty if no host is known.
func (e *Edge) address(id tenant.ID) string {
	of, preview, isPreview := id.CutPreview()
	hosts := e.Verifier.Hosts(of)
	if len(hosts) == 0 {
		return ""
	}
	host := slices.Min(hosts)
	if isPreview {
		var err error
		if host, err = tenant.PreviewHost(preview, host, tenant.Host(e.cfg.Preview.Domain)); err != nil {
			return ""
		}
	}
	at := "https://" + string(host)
	if _, https := e.Server.Addrs(); len(https) > 0 {
		if _, port, err := net.SplitHostPort(https[0].String()); err == nil && port != "443" {
			at += ":" + port
		}
	}
	return at
}
