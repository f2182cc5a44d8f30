package dev

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/terrane/terrane/dnsverify/zone"
	"github.com/terrane/terrane/tenant"
)

// refusing refuses all releases but those of one revision.
type refusing tenant.Revision

var errRefusing = errors.New("refused")

func (r refusing) Publish(_ context.Context, s *tenant.Snapshot) error {
	if s.Revision != tenant.Revision(r) {
		return errRefusing
	}
	return nil
}

func (refusing) Remove(context.Context, tenant.ID) {}

// TestNamesOfRefusedReleases: whoever deploys a broken module first is told so under
// the folder's name, and a broken release changes no names of the one that is live.
func TestNamesOfRefusedReleases(t *testing.T) {
	z, err := zone.New(zone.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	d := newNames(refusing("good"), z, slog.New(slog.DiscardHandler))
	for _, tt := range []struct {
		revision, domain string
		want             []tenant.Host
	}{
		{"bad", "", []tenant.Host{"bob.localhost"}},
		{"good", "bob.example", []tenant.Host{"bob.localhost", "bob.example"}},
		{"bad", "other.example", []tenant.Host{"bob.localhost", "bob.example"}},
	} {
		s := &tenant.Snapshot{ID: "/dev/bob", Revision: tenant.Revision(tt.revision)}
		if tt.domain != "" {
			s.Manifest.Domains = []tenant.Pattern{tenant.Pattern(tt.domain)}
		}
		if err := d.Publish(t.Context(), s); errors.Is(err, errRefusing) != (tt.revision == "bad") {
			t.Errorf("%s: %v", tt.revision, err)
		}
		if got := d.byTenant[s.ID]; !slices.Equal(got, tt.want) {
			t.Errorf("%s: the names are %v, want %v", tt.revision, got, tt.want)
		}
	}
}
