package lab_test

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
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

func (p *planet) visits(ctx context.Context, t *testing.T, a netip.Addr) *lab.Visits {
	t.Helper()
	v := p.visitor(a)
	v.Every, v.Timeout = visitEvery, visitTimeout
	return must(p.client.StartVisits(ctx, v))(t)
}

// untilVisits waits until so many visits have come to an end.
func untilVisits(ctx context.Context, v *lab.Visits, enough int) error {
	return lab.Until(ctx, func(context.Context) error {
		all, err := v.Done()
		if err == nil && len(all) < enough {
			err = fmt.Errorf("only %d visits", len(all))
		}
		return err
	})
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
	broken int // connections held from before
	failed int
	lasted time.Duration // from the first failed visit's start to the first good one's behind the last failed
}

func seen(visits []lab.Visit) (o outage) {
	var first, last time.Time
	for _, v := range visits {
		switch {
		case v.Err == "":
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

// TestAnycastSpread is three edges behind one router: they share the visitors,
// one is drained and another killed under load, and the third answers.
func TestAnycastSpread(t *testing.T) {
	needsAnycast(t)
	binary := buildTerrane(t)
	for _, front := range fronts("frr") {
		t.Run(front, func(t *testing.T) {
			ctx := within(t, time.Minute)
			p := newPlanet(ctx, t, binary, layout{front: front, nearEdges: 3})
			p.announced(ctx, t)
			var table strings.Builder
			for _, a := range anycastAddresses {
				for range p.near.edges { // each has to learn of the site
					p.answeredBy(ctx, t, p.near, a)
				}
				answers := make(map[string]int)
				for range 10 {
					answers[p.answeredBy(ctx, t, p.near, a).Edge]++
				}
				fmt.Fprintf(&table, "ten connections to %-13s %v\n", a, answers)
				if len(answers) < 2 {
					t.Errorf("all of ten connections to %s went to one edge: %v", a, answers)
				}
			}
			a := anycastAddresses[0]
			drained, killed := p.near.edges[0], p.near.edges[1]
			visits := p.visits(ctx, t, a)
			drained.run(ctx, t, "drain")
			o := seen(settle(ctx, t, visits, time.Now(), func(edge string) bool { return edge != drained.name }))
			fmt.Fprintf(&table, "%-32s %d failed, %v\n", drained.name+" is drained", o.failed, o.lasted)
			// All that may break is what is under way when the router spreads anew: it
			// moves flows between edges that stay, too.
			if o.failed > 10 {
				t.Errorf("%d visits failed while an edge was drained", o.failed)
			}

			visits = p.visits(ctx, t, a)
			try(t, killed.process.Signal(syscall.SIGKILL))
			o = seen(settle(ctx, t, visits, time.Now(), func(edge string) bool { return edge == p.near.edges[2].name }))
			fmt.Fprintf(&table, "%-32s %d failed, %v\n", killed.name+" is killed", o.failed, o.lasted)
			if o.lasted > 2*time.Second {
				t.Errorf("the killed edge was missed for %v, longer than a closed connection takes to be seen", o.lasted)
			}
			t.Logf("three edges behind %s\n%s", front, table.String())
		})
	}
}

// fronts are the routers that experiments run with: the one given, or both where
// there is time for figures.
func fronts(quick string) []string {
	if *outageRuns > 0 {
		return []string{"bird", "frr"}
	}
	return []string{quick}
}
