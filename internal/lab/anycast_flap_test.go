package lab_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestAnycastFlap takes an edge's address away and back, every second and then for
// longer, behind an FRR that damps flapping routes as it does by default.
func TestAnycastFlap(t *testing.T) {
	if *outageRuns == 0 {
		t.Skip("takes half a minute: make lab")
	}
	needsAnycast(t)
	ctx := within(t, patience)
	p := newPlanet(ctx, t, buildTerrane(t), layout{
		front: "frr",
		change: func(config string) string {
			return strings.Replace(config, "manage_address = true\n", "hold = \"16m\"\n", 1) // as operating.md says
		},
		frr: func(config string) string {
			return strings.Replace(config, "  maximum-paths 8\n", "  maximum-paths 8\n  bgp dampening\n", 1)
		},
	})
	e := p.addEdge(ctx, t, p.near, 0)
	// An address that comes and goes: each for so long.
	flap := func(times int, d time.Duration) {
		t.Helper()
		for range times {
			for _, a := range anycastAddresses {
				must(e.node.Run(ctx, "ip", "addr", "del", fmt.Sprintf("%v/%d", a, a.BitLen()), "dev", "lo"))(t)
			}
			<-time.After(d)
			e.address(ctx, t)
			<-time.After(d)
		}
	}
	e.address(ctx, t)
	p.announced(ctx, t)
	monitor := must(p.near.router.Start(ctx, "routes", "ip", "-4", "monitor", "route"))(t)
	flap(4, time.Second)
	if out := monitor.Output(); strings.Contains(out, "Deleted") {
		t.Errorf("withdrawn for a second: %s", out)
	}
	flap(2, 3500*time.Millisecond)
	out := must(p.near.query(ctx, anycastAddresses[0].String()+"/32"))(t)
	if !strings.Contains(out, "flapped 1 times") || strings.Contains(out, "suppressed") {
		t.Errorf("want one withdrawal, far from suppression:\n%s", out)
	}
}

// address puts the anycast addresses on the edge's machine.
func (e *edge) address(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, a := range anycastAddresses {
		try(t, e.node.AddAddress(ctx, "lo", netip.PrefixFrom(a, a.BitLen())))
	}
}
