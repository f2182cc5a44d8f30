package server

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/terrane/terrane/tenant"
)

// SelfHost is the name under which an edge asks itself whether it answers. It is
// never in DNS (RFC 2606); its certificate comes from the edge's own CA.
const SelfHost tenant.Host = "edge.terrane.invalid"

// place is where a host leads. release is nil when there is nothing to show;
// problem then says why, in words for the domain's owner. Whoever gets a place
// with a release ends it with release.done.
type place struct {
	site    *site
	release *release
	verdict tenant.Verdict
	problem string
}

func (s *Sites) find(ctx context.Context, h tenant.Host, source netip.Addr) place {
	p := place{verdict: s.verify(ctx, h, source)}
	if p.verdict.Standing != tenant.Verified {
		p.problem = p.verdict.Reason
		return p
	}
	id, domain := p.verdict.Tenant, h
	if p.verdict.Preview { // what a domain does not show it has no preview of
		domain = p.verdict.Host
		of, _, _ := id.CutPreview()
		folder := place{}
		if s.open(ctx, &folder, of, domain); folder.release == nil {
			p.site, p.problem = folder.site, folder.problem
			return p
		}
		folder.release.done(ctx)
	}
	s.open(ctx, &p, id, domain)
	return p
}

// verify returns the verdict on a host. The names below the preview domain have no records
// of their own: each has a domain in it, and what DNS says of that domain holds for it.
func (s *Sites) verify(ctx context.Context, h tenant.Host, source netip.Addr) tenant.Verdict {
	if s.opts.PreviewDomain == "" {
		return s.verifyDomain(ctx, h, source)
	}
	name, of, below, err := tenant.ParsePreviewHost(h, s.opts.PreviewDomain)
	switch {
	case !below:
		return s.verifyDomain(ctx, h, source)
	case err != nil:
		return tenant.Verdict{Standing: tenant.Denied, Reason: fmt.Sprintf("%s is no preview: %v", h, err)}
	}
	return s.verifyDomain(ctx, of, source).OfPreview(name, of)
}

// verifyDomain asks DNS, and has what is not mirrored yet mirrored.
func (s *Sites) verifyDomain(ctx context.Context, h tenant.Host, source netip.Addr) tenant.Verdict {
	v := s.opts.Verifier.VerifyFrom(ctx, h, source)
	if v.Standing == tenant.Verified && s.opts.Wanted != nil {
		s.opts.Wanted(v.Tenant)
	}
	return v
}

// open fills in what a tenant shows at a host, or why it shows nothing.
func (s *Sites) open(ctx context.Context, p *place, id tenant.ID, h tenant.Host) {
	at, ok := s.byTenant.Load(id)
	if !ok {
		p.problem = fmt.Sprintf("the TXT record of %s names %q: no store of this edge has a release of that folder", h, id)
		if of, name, ok := id.CutPreview(); ok {
			p.problem = fmt.Sprintf("no store of this edge has a branch preview/%s that changes %q", name, of)
		}
		return
	}
	p.site = at.(*site)
	r := p.site.acquire()
	switch {
	case r == nil:
		p.problem = fmt.Sprintf("the folder %q has just been removed", id)
	case !r.manifest.Consents(h, s.opts.RequireConsent):
		r.done(ctx)
		p.problem = fmt.Sprintf("the folder %q does not list %s: add it to domains in its %s", id, h, tenant.ManifestName)
	default:
		p.release = r
	}
}

// Permit is nil when a host may have a certificate: its DNS is verified, its folder
// is live here and consents. It serves as the gate of package certs. source is the
// visitor's address, invalid if there is no visitor.
func (s *Sites) Permit(ctx context.Context, host tenant.Host, source netip.Addr) error {
	if host == SelfHost {
		return nil
	}
	p := s.find(ctx, host, source)
	if p.release == nil {
		return fmt.Errorf("%s: %s", host, p.problem)
	}
	p.release.done(ctx)
	return nil
}

// Revision is the tenant's live revision; false when it has none here.
func (s *Sites) Revision(id tenant.ID) (tenant.Revision, bool) {
	at, ok := s.byTenant.Load(id)
	if !ok {
		return "", false
	}
	r := at.(*site).live.Load()
	if r == nil {
		return "", false
	}
	return r.revision, true
}
