package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lab"
)

// anycastPage has the configurations that operators copy, and that run here.
const anycastPage = "../../docs/anycast.md"

// anycastAddresses are what the edges announce, one of each family.
var anycastAddresses = []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")}

// block is the first block of code in a language on a page.
func block(t *testing.T, page, language string) string {
	t.Helper()
	return blocks(t, page, language)[0]
}

func blocks(t *testing.T, page, language string) (texts []string) {
	t.Helper()
	for _, found := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(page, -1) {
		texts = append(texts, found[1])
	}
	if texts == nil {
		t.Fatalf("%s has no %s", anycastPage, language)
	}
	return texts
}

// TestAnycastProvider checks the configuration for hosting providers, who are not
// in the lab: it stands in place of the other one's [bgp].
func TestAnycastProvider(t *testing.T) {
	ctx := within(t, patience)
	needs(ctx, t, "go")
	toml := blocks(t, string(must(os.ReadFile(anycastPage))(t)), "toml")
	edge, _, _ := strings.Cut(toml[0], "[bgp]")
	l := newLab(ctx, t)
	secret, file := l.Path("password"), l.Path("terrane.toml")
	config := strings.NewReplacer("/etc/terrane/bgp-password", secret, "/var/lib/terrane", l.Path("data")).Replace(edge + toml[2])
	try(t, errors.Join(os.WriteFile(secret, []byte("secret"), 0o600), os.WriteFile(file, []byte(config), 0o600)))
	must(l.Host().Run(ctx, buildTerrane(t), "check", "--config", file))(t)
}

func (p *planet) edges() []*edge {
	return append(append([]*edge(nil), p.near.edges...), p.far.edges...)
}

// announced waits until each router has the routes of all its edges, and the near
// one those of the far site.
func (p *planet) announced(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, s := range []*site{p.near, p.far} {
		for _, a := range anycastAddresses {
			try(t, lab.Until(ctx, func(ctx context.Context) error { return s.knows(ctx, a, s == p.near && len(p.far.edges) > 0) }))
		}
	}
}

// knows checks that the router has a route to each of its edges, and the kernel all of them.
func (s *site) knows(ctx context.Context, a netip.Addr, more bool) error {
	out, err := s.query(ctx, netip.PrefixFrom(a, a.BitLen()).String())
	if err != nil {
		return err
	}
	family := "-4"
	if a.Is6() {
		family = "-6"
	}
	kernel, err := s.router.Run(ctx, "ip", family, "route", "show", "exact", a.String())
	if err != nil {
		return err
	}
	for i, e := range s.edges {
		via := fmt.Sprintf("10.7%d.%d.2 ", s.number, i+1)
		if a.Is6() {
			via = fmt.Sprintf("fd00:7%d:%d::2 ", s.number, i+1)
		}
		if !strings.Contains(out, via) || !strings.Contains(kernel, via) {
			return fmt.Errorf("%s: no route to %s over %s:\n%s\n%s", s.name, a, e.name, out, kernel)
		}
	}
	other := "10.70.0."
	if a.Is6() {
		other = "fd00:70::"
	}
	if more && !strings.Contains(out, other) {
		return fmt.Errorf("%s: no route to %s over the other site:\n%s", s.name, a, out)
	}
	return nil
}

// watched waits until BFD is up with each edge of the site, over IPv4 and IPv6.
func (s *site) watched(ctx context.Context, t *testing.T) {
	t.Helper()
	try(t, lab.Until(ctx, func(ctx context.Context) error {
		out, err := s.bfd(ctx)
		up := len(regexp.MustCompile(`(?i)10\.7.*\bup\b|fd00:7.*\bup\b`).FindAllString(out, -1))
		if err == nil && up < 2*len(s.edges) {
			err = fmt.Errorf("%s: BFD is up in %d sessions only:\n%s", s.name, up, out)
		}
		return err
	}))
}

func (p *planet) visitor(a netip.Addr) lab.Visitor {
	return lab.Visitor{Address: a, Host: anycastHost, Roots: p.roots}
}

// answeredBy waits until the client is answered by an edge of the site at the
// address, and returns that visit.
func (p *planet) answeredBy(ctx context.Context, t *testing.T, s *site, a netip.Addr) lab.Visit {
	t.Helper()
	var visit lab.Visit
	try(t, lab.Until(ctx, func(ctx context.Context) (err error) {
		visit, err = p.client.Visit(ctx, p.visitor(a))
		if err == nil && (visit.Err != "" || !strings.HasPrefix(visit.Edge, s.name)) {
			err = fmt.Errorf("visit %+v, want an answer of %s", visit, s.name)
		}
		return err
	}))
	return visit
}

// run runs an operator's command on the edge.
func (e *edge) run(ctx context.Context, t *testing.T, command string) {
	t.Helper()
	must(e.node.Run(ctx, e.command[0], command))(t)
}

func needsAnycast(t *testing.T) {
	t.Helper()
	needs(t.Context(), t, "bird", "birdc", "curl", "knotd", "knotc", "go", "vtysh", lab.FRRFolder+"bgpd", lab.FRRFolder+"zebra")
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("no lab here: ", err)
	}
}

// TestAnycastRegions is two regions with one address: the client reaches the near
// one, the far one while the near one is away, and the near one again.
func TestAnycastRegions(t *testing.T) {
	needsAnycast(t)
	binary := buildTerrane(t)
	for _, front := range fronts("bird") {
		t.Run(front, func(t *testing.T) {
			ctx := within(t, patience)
			if *outageRuns > 0 {
				needs(ctx, t, "httping", "mtr")
			}
			p := newPlanet(ctx, t, binary, layout{front: front, nearEdges: 1, farEdges: 1, nearDelay: 35 * time.Millisecond, farDelay: 150 * time.Millisecond, change: withoutBFD})
			p.announced(ctx, t)
			e := p.near.edges[0]
			table := []string{"", "| event | address | answered by | curl: connected, first byte, ms | httping, ms | mtr: hops, ms |", "|---|---|---|---|---|---|"}
			look := func(event string, s *site) {
				t.Helper()
				for _, a := range anycastAddresses {
					v := p.answeredBy(ctx, t, s, a)
					// The light is never late, the machine may be, though not each time.
					least, most := 2*35*time.Millisecond, 250*time.Millisecond
					if s == p.far {
						least, most = 2*150*time.Millisecond, time.Second
					}
					for range 50 {
						if v.Connect <= most {
							break
						}
						v = p.answeredBy(ctx, t, s, a)
					}
					if v.Connect < least || v.Connect > most {
						t.Errorf("%s: connected after %v, want %v and some", event, v.Connect, least)
					}
					edge, connect, firstByte := p.curl(ctx, t, a)
					row := fmt.Sprintf("| %s | %s | %s | %.0f, %.0f |", event, a, edge, 1000*connect, 1000*firstByte)
					if *outageRuns > 0 { // these take seconds
						row += fmt.Sprintf(" %s | %s |", p.httping(ctx, t, a), p.mtr(ctx, t, a))
					}
					table = append(table, row)
				}
			}
			look("both regions announce", p.near)
			visitor := p.visitor(anycastAddresses[0])
			visitor.Every, visitor.Timeout = 50*time.Millisecond, 10*time.Second // the far region is three long round trips away
			visits := must(p.client.StartVisits(ctx, visitor))(t)
			e.run(ctx, t, "drain")
			p.deserted(ctx, t, visits, e)
			look("the near one is drained", p.far)
			try(t, e.process.Signal(os.Interrupt))
			try(t, e.process.Wait(ctx))
			look("and has ended", p.far)
			e.start(ctx, t) // a drain outlives a restart
			try(t, lab.Until(ctx, func(ctx context.Context) error {
				_, err := e.node.Run(ctx, e.command[0], "undrain")
				return err
			}))
			look("it is back", p.near)
			t.Logf("client at %s\n%s", front, strings.Join(table, "\n"))
		})
	}
}
