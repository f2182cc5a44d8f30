package edge

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// previews answers for the names below the preview domain, which are nobody's own: each
// holds a domain in it, and what DNS says of that domain holds for it.
type previews struct {
	server.Verifier
	domain tenant.Host
}

// previewing is the verifier with previews, if there are any.
func (e *Edge) previewing(v server.Verifier) server.Verifier {
	if e.cfg.Preview.Domain == "" {
		return v
	}
	return previews{v, tenant.Host(e.cfg.Preview.Domain)}
}

// VerifyFrom implements server.Verifier.
func (p previews) VerifyFrom(ctx context.Context, h tenant.Host, source netip.Addr) tenant.Verdict {
	name, of, below, err := tenant.ParsePreviewHost(h, p.domain)
	switch {
	case !below:
		return p.Verifier.VerifyFrom(ctx, h, source)
	case err != nil:
		return tenant.Verdict{Standing: tenant.Denied, Reason: fmt.Sprintf("%s is no preview: %v", h, err)}
	}
	return previewOf(p.Verifier.VerifyFrom(ctx, of, source), name, of)
}

// previewOf makes the verdict on a domain that on one of its previews.
func previewOf(v tenant.Verdict, name string, of tenant.Host) tenant.Verdict {
	v.Preview, v.Host, v.Reason = true, of, fmt.Sprintf("preview %s of %s: %s", name, of, v.Reason)
	if v.Standing == tenant.Verified {
		v.Tenant = v.Tenant.Preview(name)
	}
	return v
}
