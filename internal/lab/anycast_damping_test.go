package lab_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lab"
)

// deserted checks that edges that have left get no visitor who comes from now on, and
// returns all visits.
func (p *planet) deserted(ctx context.Context, t *testing.T, visits *lab.Visits, left ...*edge) []lab.Visit {
	t.Helper()
	begin := time.Now()
	among := func(answered string) bool {
		return slices.ContainsFunc(left, func(e *edge) bool { return e.name == answered })
	}
	all := settle(ctx, t, visits, begin, func(edge string) bool { return !among(edge) })
	late := 0
	for _, v := range all {
		if !v.Held && v.Start.After(begin) && among(v.Edge) {
			late++
		}
	}
	if late > 0 {
		t.Errorf("%d visitors came to an edge after it had left", late)
	}
	return all
}

// TestAnycastDamping drains an edge behind an FRR that damps routes, twice. The second time
// FRR loses the withdrawal: GRACEFUL_SHUTDOWN brings the route to the limit. Nobody is
// to come all the same, whether the edge speaks BGP itself or another daemon does. What FRR
// counts is what the page says.
func TestAnycastDamping(t *testing.T) {
	needsAnycast(t)
	binary := buildTerrane(t)
	for _, external := range []bool{false, true} {
		name := map[bool]string{false: "own speaker", true: "external BIRD"}[external]
		t.Run(name, func(t *testing.T) {
			ctx := within(t, patience)
			p := newPlanet(ctx, t, binary, layout{
				front: "frr", farEdges: 1,
				// The near edge's session over IPv6, the last one, goes without GRACEFUL_SHUTDOWN.
				change: func(config string) string {
					return quickly(withoutBFD(config)) + "graceful_shutdown = false\n"
				},
				// A drain counts 1500, and the next one's GRACEFUL_SHUTDOWN 500.
				frr: func(config string) string {
					return strings.ReplaceAll(config, "  maximum-paths 8\n", "  maximum-paths 8\n  bgp dampening 15 750 1900 60\n")
				},
			})
			var e *edge
			if external {
				e = p.externalEdge(ctx, t)
				externalBIRD(ctx, t, p, e).start(ctx, t)
			} else {
				e = p.addEdge(ctx, t, p.near, 0)
			}
			p.trust(ctx, t)
			announced := func() { // over IPv4: over IPv6 FRR takes BIRD's link-local next hop
				t.Helper()
				try(t, lab.Until(ctx, func(ctx context.Context) error { return p.near.knows(ctx, anycastAddresses[0], true) }))
				p.answeredBy(ctx, t, p.near, anycastAddresses[0])
			}
			announced()
			if !external {
				p.announced(ctx, t)
			}
			e.run(ctx, t, "drain")
			if !external {
				p.penalty(ctx, t, anycastAddresses[0], 1500, 2)
				p.penalty(ctx, t, anycastAddresses[1], 1000, 1)
			}
			e.run(ctx, t, "undrain")
			announced()
			visits := p.visits(ctx, t)
			e.run(ctx, t, "drain")
			p.deserted(ctx, t, visits, e)
			if status := e.status(ctx, t); !strings.Contains(status, "the sessions are ended") {
				t.Errorf("FRR did not lose the withdrawal: the test tests nothing\n%s", status)
			}
			e.run(ctx, t, "undrain")
			for _, neighbor := range []string{e.net4 + ".2", e.net6 + "::2"} { // the route itself stays suppressed
				try(t, lab.Until(ctx, func(ctx context.Context) error {
					out, err := p.near.ask(ctx, "show bgp neighbors "+neighbor)
					return contains(out, err, "BGP state = Established")
				}))
			}
		})
	}
}

// penalty checks what the near router, an FRR, counts against the route to an address. It
// falls by some thousandths each second.
func (p *planet) penalty(ctx context.Context, t *testing.T, a netip.Addr, most, flaps int) {
	t.Helper()
	out := must(p.near.query(ctx, netip.PrefixFrom(a, a.BitLen()).String()))(t)
	_, info, _ := strings.Cut(out, "Dampinfo: ")
	var penalty, times int
	if _, err := fmt.Sscanf(info, "penalty %d, flapped %d times", &penalty, &times); err != nil || times != flaps || penalty > most || penalty < most*9/10 {
		t.Errorf("want a penalty of %d and %d flaps:\n%s", most, flaps, out)
	}
}

// status is what terrane status prints on the edge.
func (e *edge) status(ctx context.Context, t *testing.T) string {
	t.Helper()
	return must(e.node.Run(ctx, e.command[0], "status"))(t)
}

// contains is nil if a router's answer has the text.
func contains(answer string, err error, text string) error {
	if err == nil && !strings.Contains(answer, text) {
		err = fmt.Errorf("no %q in %s", text, answer)
	}
	return err
}
