package lab_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lab"
)

var outageRuns = flag.Int("lab.runs", 0, "how often TestAnycastOutage measures each event; 0: not at all")

// visitEvery is how often the visitor comes whose failures are counted.
const visitEvery = 10 * time.Millisecond

// visitTimeout is less than the second after which a lost SYN is sent again: it
// would go the new way and hide the outage.
const visitTimeout = 900 * time.Millisecond

// heldConns is how many connections the visitor holds besides.
const heldConns = 10

// visits starts a visitor at the near site's router, and returns when all connections that it holds are there.
func (p *planet) visits(ctx context.Context, t *testing.T) *lab.Visits {
	t.Helper()
	v := p.visitor(anycastAddresses[0])
	v.Every, v.Timeout, v.Held = visitEvery, visitTimeout, heldConns
	visits := must(p.client.StartVisits(ctx, v))(t)
	try(t, lab.Until(ctx, func(context.Context) error {
		all, err := visits.Done()
		if err == nil && len(all) < 2*heldConns {
			err = fmt.Errorf("only %d visits", len(all))
		}
		return err
	}))
	return visits
}

// settle waits until the last visits have been answered as they should, after the
// time given, and stops them.
func settle(ctx context.Context, t *testing.T, v *lab.Visits, after time.Time, ok func(edge string) bool) []lab.Visit {
	t.Helper()
	try(t, lab.Until(ctx, func(context.Context) error {
		all, err := v.Done()
		if err != nil {
			return err
		}
		const enough = 50
		last := all[max(0, len(all)-enough):]
		if len(last) < enough {
			return fmt.Errorf("only %d visits", len(last))
		}
		for _, one := range last {
			if one.Start.Before(after) || one.Err != "" || !ok(one.Edge) {
				return fmt.Errorf("not settled: %+v", one)
			}
		}
		return nil
	}))
	return must(v.Stop(ctx))(t)
}

// outage is what a visitor has seen of an event.
type outage struct {
	broken  int // connections held from before
	failed  int
	lasted  time.Duration // from the first failed visit's start to the first good one's behind the last failed
	slowest time.Duration // of the visits that were answered
}

func seen(visits []lab.Visit) (o outage) {
	var first, last time.Time
	for _, v := range visits {
		switch {
		case v.Err == "":
			o.slowest = max(o.slowest, v.FirstByte)
			continue
		case v.Held:
			o.broken++
			continue
		}
		o.failed++
		if first.IsZero() || v.Start.Before(first) {
			first = v.Start
		}
		if v.Start.After(last) {
			last = v.Start
		}
	}
	if o.failed > 0 {
		o.lasted = last.Sub(first) + visitEvery
	}
	return o
}

// TestAnycastSpread is three edges behind one router: they share the visitors, one
// is drained under load, twice, another is killed, and the third answers.
func TestAnycastSpread(t *testing.T) {
	needsAnycast(t)
	needs(t.Context(), t, "nft")
	binary := buildTerrane(t)
	for _, front := range fronts("frr") {
		t.Run(front, func(t *testing.T) {
			ctx := within(t, patience)
			p := newPlanet(ctx, t, binary, layout{front: front, nearEdges: 3, change: quickly})
			p.announced(ctx, t)
			var table strings.Builder
			for _, a := range anycastAddresses {
				for range p.near.edges { // each has to learn of the site
					p.answeredBy(ctx, t, p.near, a)
				}
				answers := make(map[string]int)
				for range 10 {
					answered, _, _ := p.curl(ctx, t, a)
					answers[answered]++
				}
				fmt.Fprintf(&table, "ten curls to %-13s %v\n", a, answers)
				if len(answers) < 2 {
					t.Errorf("all of ten connections to %s went to one edge: %v", a, answers)
				}
			}
			drained, killed := p.near.edges[0], p.near.edges[1]
			leave := func(event string, do func(), gone ...*edge) outage {
				visits := p.visits(ctx, t)
				do()
				o := seen(p.deserted(ctx, t, visits, gone...))
				fmt.Fprintf(&table, "%-40s %d failed, %d ms; %d of %d connections broke\n", event, o.failed, o.lasted.Milliseconds(), o.broken, heldConns)
				return o
			}
			drain := func() { drained.run(ctx, t, "drain") }
			// What is under way when the router spreads anew may break: it moves flows
			// between edges that stay, too.
			if o := leave(drained.name+" is drained", drain, drained); o.failed > 10 {
				t.Errorf("%d visits failed while an edge was drained", o.failed)
			}
			drained.run(ctx, t, "undrain")
			p.announced(ctx, t)
			p.remember(ctx, t)
			if o := leave("drained, and the router remembers", drain, drained); o.failed+o.broken > 0 {
				t.Errorf("%d visits failed and %d connections broke at a drain, behind a router that remembers connections", o.failed, o.broken)
			}
			kill := func() { try(t, killed.process.Signal(syscall.SIGKILL)) }
			if o := leave(killed.name+" is killed", kill, drained, killed); o.lasted > 2*time.Second+5*o.slowest { // of a machine that is busy
				t.Errorf("the killed edge was missed for %v, longer than a closed connection takes to be seen", o.lasted)
			}
			t.Logf("three edges behind %s\n%s", front, table.String())
		})
	}
}

// remember makes the near router keep connections with the edges they began with, as on the page.
func (p *planet) remember(ctx context.Context, t *testing.T) {
	t.Helper()
	edges := "1 2 3;"[:2*len(p.near.edges)-1] + ";"
	script := strings.NewReplacer("1 2 3;", edges, "ams", p.near.name, "10.71.", fmt.Sprintf("10.7%d.", p.near.number), "fd00:71:", fmt.Sprintf("fd00:7%d:", p.near.number)).
		Replace(block(t, p.page, "sh remember"))
	must(p.near.router.Run(ctx, "sh", "-ec", script))(t)
}

// fronts are the routers that experiments run with: the one given, or both where
// there is time for figures.
func fronts(quick string) []string {
	if *outageRuns > 0 {
		return []string{"bird", "frr"}
	}
	return []string{quick}
}
