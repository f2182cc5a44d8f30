package server

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"github.com/terrane/terrane/tenant"
)

// oneDomain is a Verifier that knows alice.example alone.
type oneDomain struct{}

func (oneDomain) VerifyFrom(_ context.Context, h tenant.Host, _ netip.Addr) tenant.Verdict {
	if h == "alice.example" {
		return tenant.Verdict{Standing: tenant.Verified, Tenant: "/git/alice"}
	}
	return tenant.Verdict{Standing: tenant.Denied, Reason: "no records"}
}

// TestVerify: the name of a preview has the verdict on the domain in it, and only a tenant
// whose domain is verified is wanted.
func TestVerify(t *testing.T) {
	for _, tt := range []struct {
		name           string
		preview, host  tenant.Host
		standing       tenant.Standing
		tenant, wanted tenant.ID
		of             tenant.Host
	}{
		{"a domain", "preview.test", "alice.example", tenant.Verified, "/git/alice", "/git/alice", ""},
		{"a stranger", "preview.test", "bob.example", tenant.Denied, "", "", ""},
		{"a preview", "preview.test", "red--alice-example.preview.test", tenant.Verified, "/git/alice/.preview/red", "/git/alice", "alice.example"},
		{"a preview of a stranger", "preview.test", "red--bob-example.preview.test", tenant.Denied, "", "", "bob.example"},
		{"no name of a preview", "preview.test", "www.preview.test", tenant.Denied, "", "", ""},
		{"the preview domain", "preview.test", "preview.test", tenant.Denied, "", "", ""},
		{"without previews", "", "red--alice-example.preview.test", tenant.Denied, "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var wanted []tenant.ID
			s := &Sites{opts: SitesOptions{
				Verifier: oneDomain{}, PreviewDomain: tt.preview, Wanted: func(id tenant.ID) { wanted = append(wanted, id) },
			}}
			v := s.verify(t.Context(), tt.host, netip.Addr{})
			if v.Standing != tt.standing || v.Tenant != tt.tenant || v.Host != tt.of || v.Preview != (tt.of != "") {
				t.Errorf("verdict %+v", v)
			}
			if tt.wanted == "" && wanted != nil || tt.wanted != "" && !slices.Equal(wanted, []tenant.ID{tt.wanted}) {
				t.Errorf("wanted %q, want %q", wanted, tt.wanted)
			}
		})
	}
}
