package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"time"

	"github.com/terrane/terrane/internal/admin"
	"github.com/terrane/terrane/tenant"
)

// examine asks DNS anew and looks at all that a request for the host would meet.
func (e *Edge) examine(ctx context.Context, h tenant.Host) *admin.Examination {
	cas, unnamed := e.caaIdentities(ctx)
	x := &admin.Examination{Edge: e.cfg.Edge.Name, Unnamed: unnamed}
	if name, of, _, err := tenant.ParsePreviewHost(h, tenant.Host(e.cfg.Preview.Domain)); err == nil {
		x.DNS = e.Verifier.Explain(ctx, of, cas)
		x.DNS.Verdict = x.DNS.Verdict.OfPreview(name, of)
	} else {
		x.DNS = e.Verifier.Explain(ctx, h, cas)
	}
	if id := x.DNS.Verdict.Tenant; id != "" {
		x.Revision, _ = e.Sites.Revision(id)
		if rev, reason, refused := e.refused(id); refused {
			x.Refused = rev.Short() + ": " + reason
		}
	}
	if err := e.Sites.Permit(ctx, h, netip.Addr{}); err != nil {
		x.Problem = err.Error()
	} else {
		x.Certificate = e.certificate(ctx, h)
	}
	x.Healthy = x.DNS.Verdict.Standing == tenant.Verified && x.Problem == "" && x.Certificate.Problem == ""
	return x
}

// caaIdentities are the names of the CAs in CAA records, and why some are missing.
func (e *Edge) caaIdentities(ctx context.Context) (names []string, missing string) {
	if e.acme == nil {
		return nil, ""
	}
	names, err := e.acme.CAAIdentities(ctx)
	if err != nil {
		return nil, err.Error() // one that is not known may be the one that is allowed
	}
	return names, ""
}

// certificate looks at what the listener shows, which may order it, and at why it shows nothing.
func (e *Edge) certificate(ctx context.Context, h tenant.Host) *admin.Certificate {
	c := e.shown(ctx, h)
	if e.acme == nil {
		return c
	}
	s := e.acme.Status(ctx, string(h))
	c.ACME = &s
	if c.Problem != "" && s.Problem != "" {
		c.Problem = s.Problem
		c.Mend = "mend what the authority found: it must reach this platform at port 80 or 443 of each address of the domain, and no CAA record may forbid it"
		if !s.NextTry.IsZero() {
			c.Mend += "; the next try is after " + s.NextTry.UTC().Format(time.DateTime) + " UTC"
		}
	}
	return c
}

// shown is the certificate of a handshake with the edge's own listener.
func (e *Edge) shown(ctx context.Context, h tenant.Host) *admin.Certificate {
	_, https := e.Server.Addrs()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	raw, err := e.Server.DialSelf(ctx, reachable(https[0].String()))
	if err != nil {
		return &admin.Certificate{Problem: err.Error()}
	}
	conn := tls.Client(raw, &tls.Config{
		ServerName:         string(h),
		InsecureSkipVerify: true, //nolint:gosec // it is looked at, not trusted
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		return &admin.Certificate{Problem: errors.Join(err, raw.Close()).Error()}
	}
	state := conn.ConnectionState()
	c := &admin.Certificate{Issuer: state.PeerCertificates[0].Issuer.String(), Expires: state.PeerCertificates[0].NotAfter}
	err = errors.Join(state.PeerCertificates[0].VerifyHostname(string(h)), conn.Close())
	if time.Now().After(c.Expires) {
		err = errors.Join(err, errors.New("the certificate has expired"))
	}
	if err != nil {
		c.Problem = err.Error()
	}
	return c
}
