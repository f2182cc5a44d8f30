package lab_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// event is how a near edge goes away and comes back.
type event struct {
	name     string
	hangs    bool // the edge does not say that it goes: this is what BFD is for
	stays    bool // visitors are to notice nothing
	last     bool // from here on the router remembers connections
	do, mend func(ctx context.Context, t *testing.T, p *planet)
}

func signalEdge(s syscall.Signal) func(context.Context, *testing.T, *planet) {
	return func(_ context.Context, t *testing.T, p *planet) { try(t, p.near.edges[0].process.Signal(s)) }
}

// signalCable cuts both directions, and no end loses its carrier.
func signalCable(s syscall.Signal) func(context.Context, *testing.T, *planet) {
	return func(_ context.Context, t *testing.T, p *planet) { try(t, p.near.cables[0].Signal(s)) }
}

func runOnEdge(command string) func(context.Context, *testing.T, *planet) {
	return func(ctx context.Context, t *testing.T, p *planet) { p.near.edges[0].run(ctx, t, command) }
}

// restart starts the edge anew, be it gone or only stopped.
func restart(ctx context.Context, t *testing.T, p *planet) {
	e := p.near.edges[0]
	_ = e.process.Signal(syscall.SIGKILL) // it may have ended
	_ = e.process.Wait(ctx)               // killed
	e.start(ctx, t)
}

// reconnect is for a cable that was cut. A new edge is back sooner than a session that was lost.
func reconnect(ctx context.Context, t *testing.T, p *planet) {
	signalCable(syscall.SIGCONT)(ctx, t, p)
	restart(ctx, t, p)
}

func move(from, to string) func(context.Context, *testing.T, *planet) {
	return func(_ context.Context, t *testing.T, p *planet) {
		try(t, os.Rename(p.lab.Path(from), p.lab.Path(to)))
	}
}

var outageEvents = []event{
	{name: "drain", do: runOnEdge("drain"), mend: runOnEdge("undrain")},
	{name: "SIGTERM", do: signalEdge(syscall.SIGTERM), mend: restart},
	{name: "SIGKILL", do: signalEdge(syscall.SIGKILL), mend: restart},
	{name: "store unreadable", stays: true, do: move("sites", "away"), mend: move("away", "sites")},
	{name: "SIGSTOP", hangs: true, do: signalEdge(syscall.SIGSTOP), mend: restart},
	{name: "host cut off", hangs: true, do: signalCable(syscall.SIGSTOP), mend: reconnect},
	{name: "drain, router remembers", last: true, do: runOnEdge("drain"), mend: runOnEdge("undrain")},
	{name: "SIGTERM, router remembers", last: true, do: signalEdge(syscall.SIGTERM), mend: restart},
}

const (
	// unnoticed is how long an event lasts that visitors are not to notice: longer
	// than the stores' polls.
	unnoticed = 2500 * time.Millisecond
)

// quickly replaces the default waits, for the sake of time.
func quickly(config string) string {
	return strings.Replace(config, "manage_address = true\n", "manage_address = true\nshutdown_wait = \"500ms\"\nwithdraw_wait = \"500ms\"\n", 1)
}

var bfdKeys = regexp.MustCompile(`(?m)^bfd.*\n`)

// withoutBFD is for routers that are farther away than a BFD packet may take.
func withoutBFD(config string) string { return bfdKeys.ReplaceAllString(config, "") }

// TestAnycastOutage measures what a visitor sees who comes every 10 ms, over
// cables without delay: what is seen is not the network's, but ours.
func TestAnycastOutage(t *testing.T) {
	if *outageRuns == 0 {
		t.Skip("figures take minutes: make lab")
	}
	needsAnycast(t)
	binary := buildTerrane(t)
	table := []string{"", "| event | router | BFD | runs | failed requests, median (worst) | outage in ms, median (worst) | connections broken, of " + strconv.Itoa(heldConns) + " |", "|---|---|---|---|---|---|---|"}
	for _, front := range []string{"bird", "frr"} {
		for _, bfd := range []bool{false, true} {
			name := map[bool]string{false: "no", true: "100 ms, 3"}[bfd]
			t.Run(front+", BFD "+name, func(t *testing.T) {
				// The shortest delay there is, for the sake of a cable that can be cut.
				p := newPlanet(within(t, 2*time.Hour), t, binary, layout{
					front: front, nearEdges: 1, farEdges: 1, nearDelay: time.Nanosecond, farDelay: time.Nanosecond,
					change: func(config string) string {
						if !bfd {
							config = withoutBFD(config)
						}
						return quickly(config)
					},
				})
				remembers := false
				for _, e := range outageEvents {
					if e.last && bfd {
						break
					}
					if e.last && !remembers {
						p.remember(within(t, patience), t)
						remembers = true
					}
					runs := *outageRuns
					if bfd && !e.hangs {
						runs = (runs + 3) / 4 // BFD changes nothing there, and time is short
					}
					var outages []outage
					for range runs {
						outages = append(outages, p.suffer(t, e, bfd))
					}
					table = append(table, row(e.name, front, name, outages))
					t.Log(table[len(table)-1])
				}
			})
		}
	}
	t.Log(strings.Join(table, "\n"))
}

// suffer lets an event happen to the near edge, and says what a visitor saw of it.
func (p *planet) suffer(t *testing.T, e event, bfd bool) outage {
	t.Helper()
	ctx := within(t, patience)
	p.announced(ctx, t)
	if bfd {
		p.near.watched(ctx, t)
	}
	p.answeredBy(ctx, t, p.near, anycastAddresses[0])
	visits := p.visits(ctx, t)
	begin := time.Now()
	e.do(ctx, t, p)
	answers, after := p.far.name, begin
	if e.stays {
		answers, after = p.near.name, begin.Add(unnoticed)
	}
	all := settle(ctx, t, visits, after, func(edge string) bool { return strings.HasPrefix(edge, answers) })
	e.mend(within(t, 2*time.Hour), t, p) // what it starts outlives this run
	for _, v := range all {
		if v.Err != "" && !v.Held {
			t.Logf("%s: %v after the event: %s", e.name, v.Start.Sub(begin), v.Err)
		}
	}
	return seen(all)
}

func row(event, router, bfd string, outages []outage) string {
	column := func(value func(outage) int) string {
		var list []int
		for _, o := range outages {
			list = append(list, value(o))
		}
		slices.Sort(list)
		return fmt.Sprintf("%d (%d)", list[len(list)/2], list[len(list)-1])
	}
	return fmt.Sprintf("| %s | %s | %s | %d | %s | %s | %s |", event, map[string]string{"bird": "BIRD", "frr": "FRR"}[router], bfd, len(outages),
		column(func(o outage) int { return o.failed }),
		column(func(o outage) int { return int(o.lasted.Milliseconds()) }),
		column(func(o outage) int { return o.broken }))
}
