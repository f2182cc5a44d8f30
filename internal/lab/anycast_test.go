package lab_test

import (
	"bytes"
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

// site is a router and the edges behind it.
type site struct {
	name   string // of the region, and of its edges with a number behind
	subnet int    // second octet of its networks
	asn    string
	router *lab.Node
	query  func(context.Context, string) (string, error)
	edges  []*edge
	cables []*lab.Process // to the edges, if they are long
}

// edge is one terrane.
type edge struct {
	name    string
	node    *lab.Node
	command []string
	process *lab.Process
}

// planet is two sites, and a client at the first one's router:
//
//	client -- router -- edges of the near site
//	            |
//	          router -- edges of the far site
//
// One router is BIRD and the other FRR.
type planet struct {
	lab       *lab.Lab
	client    *lab.Node
	near, far *site
	roots     string // PEM of all edges' authorities
}

// layout is how a planet is to be.
type layout struct {
	front               string // the near site's router: bird or frr
	nearEdges, farEdges int
	nearDelay, farDelay time.Duration // one way; zero: short cables
}

const anycastHost = "alice.example.test"

func newPlanet(ctx context.Context, t *testing.T, binary string, want layout) *planet {
	t.Helper()
	page := string(must(os.ReadFile(anycastPage))(t))
	l := newLab(ctx, t)
	node := func(name string) *lab.Node { return must(l.Node(ctx, name))(t) }
	ams := &site{name: "ams", subnet: 71, asn: "64512", router: node("bird")}
	iad := &site{name: "iad", subnet: 72, asn: "64513", router: node("frr")}
	p := &planet{lab: l, client: node("client"), near: ams, far: iad, roots: l.Path("roots.pem")}
	if want.front == "frr" {
		p.near, p.far = iad, ams
	}

	link := func(a *lab.Node, aName string, b *lab.Node, bName, net4, net6 string, delay time.Duration) *lab.Process {
		v4 := func(host int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("%s.%d/24", net4, host)) }
		v6 := func(host int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("%s::%d/64", net6, host)) }
		var cable *lab.Process
		if delay == 0 {
			try(t, l.Link(ctx, a, v4(1), b, v4(2)))
		} else {
			cable = must(l.DelayedLink(ctx, a, v4(1), b, v4(2), delay))(t)
		}
		try(t, errors.Join(a.AddAddress(ctx, bName, v6(1)), b.AddAddress(ctx, aName, v6(2))))
		return cable
	}
	route := func(n *lab.Node, to, via string) {
		try(t, n.AddRoute(ctx, netip.MustParsePrefix(to), netip.MustParseAddr(via)))
	}
	link(ams.router, "bird", iad.router, "frr", "10.70.0", "fd00:70", 0)
	link(p.near.router, want.front, p.client, "client", "10.70.1", "fd00:70:1", 0)
	route(p.client, "0.0.0.0/0", "10.70.1.1")
	route(p.client, "::/0", "fd00:70:1::1")
	// What BGP does not carry here: how the client's network and the far edges reach each other.
	near, far := 1, 2
	if want.front == "frr" {
		near, far = 2, 1
	}
	route(p.far.router, "10.70.1.0/24", fmt.Sprintf("10.70.0.%d", near))
	route(p.far.router, "fd00:70:1::/64", fmt.Sprintf("fd00:70::%d", near))
	route(p.near.router, fmt.Sprintf("10.%d.0.0/16", p.far.subnet), fmt.Sprintf("10.70.0.%d", far))
	route(p.near.router, fmt.Sprintf("fd00:%d::/32", p.far.subnet), fmt.Sprintf("fd00:70::%d", far))
	for _, s := range []*site{ams, iad} {
		try(t, s.router.Forward(ctx))
		// Else all of a visitor's connections go to one edge.
		must(s.router.Run(ctx, "sh", "-ec", "for f in ipv4 ipv6; do echo 1 >/proc/sys/net/$f/fib_multipath_hash_policy; done"))(t)
	}
	records := []string{"alice A 192.0.2.10", "alice AAAA 2001:db8::10", `_keybase_pages.alice TXT "kbp=/sites/alice"`}
	try(t, must(p.client.StartDNS(ctx, netip.MustParseAddrPort("10.70.1.2:53"), "example.test."))(t).Set(ctx, records...))
	try(t, errors.Join(os.MkdirAll(l.Path("sites", "alice"), 0o700),
		os.WriteFile(l.Path("sites", "alice", "index.html"), []byte("alice was here\n"), 0o600)))

	bird := must(ams.router.RunBIRD(ctx, block(t, page, "bird")))(t)
	ams.query = func(ctx context.Context, prefix string) (string, error) {
		return bird.Query(ctx, "show route all for "+prefix)
	}
	frr := must(iad.router.RunFRR(ctx, block(t, page, "frr")))(t)
	iad.query = func(ctx context.Context, prefix string) (string, error) {
		family := "ipv4"
		if strings.Contains(prefix, ":") {
			family = "ipv6"
		}
		return frr.Query(ctx, "show bgp "+family+" unicast "+prefix)
	}

	for _, s := range []*site{p.near, p.far} {
		count, delay := want.nearEdges, want.nearDelay
		if s == p.far {
			count, delay = want.farEdges, want.farDelay
		}
		for i := range count {
			e := &edge{name: fmt.Sprintf("%s%d", s.name, i+1)}
			e.node = node(e.name)
			net4, net6 := fmt.Sprintf("10.%d.%d", s.subnet, i+1), fmt.Sprintf("fd00:%d:%d", s.subnet, i+1)
			routerName := "bird"
			if s == iad {
				routerName = "frr"
			}
			s.cables = append(s.cables, link(s.router, routerName, e.node, e.name, net4, net6, delay))
			route(e.node, "0.0.0.0/0", net4+".1")
			route(e.node, "::/0", net6+"::1")
			config := strings.NewReplacer(`"ams1"`, `"`+e.name+`"`, `"ams"`, `"`+s.name+`"`, "64512", s.asn, "10.71.1.", net4+".", "fd00:71:1:", net6+":",
				"/var/lib/terrane", l.Path(e.name), "/srv/sites", l.Path("sites")).Replace(block(t, page, "toml"))
			file := l.Path(e.name + ".toml")
			try(t, os.WriteFile(file, []byte(config), 0o600))
			e.command = []string{binary, "serve", "--config", file, "--access-log", "/dev/null"}
			e.start(ctx, t)
			s.edges = append(s.edges, e)
		}
	}
	p.trust(ctx, t)
	return p
}

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
	ctx := within(t, time.Minute)
	needs(ctx, t, "go")
	toml := blocks(t, string(must(os.ReadFile(anycastPage))(t)), "toml")
	edge, _, _ := strings.Cut(toml[0], "[bgp]")
	l := newLab(ctx, t)
	secret, file := l.Path("password"), l.Path("terrane.toml")
	config := strings.NewReplacer("/etc/terrane/bgp-password", secret, "/var/lib/terrane", l.Path("data")).Replace(edge + toml[1])
	try(t, errors.Join(os.WriteFile(secret, []byte("secret"), 0o600), os.WriteFile(file, []byte(config), 0o600)))
	must(l.Host().Run(ctx, buildTerrane(t), "check", "--config", file))(t)
}

func (e *edge) start(ctx context.Context, t *testing.T) {
	t.Helper()
	e.process = must(e.node.Start(ctx, "terrane", e.command[0], e.command[1:]...))(t)
}

// trust collects the edges' certificate authorities.
func (p *planet) trust(ctx context.Context, t *testing.T) {
	t.Helper()
	var roots bytes.Buffer
	for _, e := range p.edges() {
		try(t, lab.Until(ctx, func(context.Context) error {
			pem, err := os.ReadFile(p.lab.Path(e.name, caRoot))
			if err == nil {
				roots.Write(pem)
			}
			return err
		}))
	}
	try(t, os.WriteFile(p.roots, roots.Bytes(), 0o600))
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
		via := fmt.Sprintf("10.%d.%d.2 ", s.subnet, i+1)
		if a.Is6() {
			via = fmt.Sprintf("fd00:%d:%d::2 ", s.subnet, i+1)
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
	needs(t.Context(), t, "bird", "birdc", "knotd", "knotc", "go", "vtysh", lab.FRRFolder+"bgpd", lab.FRRFolder+"zebra")
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
			ctx := within(t, time.Minute)
			p := newPlanet(ctx, t, binary, layout{front: front, nearEdges: 1, farEdges: 1, nearDelay: 35 * time.Millisecond, farDelay: 150 * time.Millisecond})
			p.announced(ctx, t)
			e := p.near.edges[0]
			var table strings.Builder
			look := func(event string, s *site) {
				t.Helper()
				for _, a := range anycastAddresses {
					v := p.answeredBy(ctx, t, s, a)
					fmt.Fprintf(&table, "%-34s %-13s %-5s %4d ms %4d ms\n", event, a, v.Edge, v.Connect.Milliseconds(), v.FirstByte.Milliseconds())
					// The light is never late, the machine may be.
					least, most := 2*35*time.Millisecond, 250*time.Millisecond
					if s == p.far {
						least, most = 2*150*time.Millisecond, time.Second
					}
					if v.Connect < least || v.Connect > most {
						t.Errorf("%s: connected after %v, want %v and some", event, v.Connect, least)
					}
				}
			}
			look("both regions announce", p.near)
			e.run(ctx, t, "drain")
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
			t.Logf("client at %s: event, address, answered by, connected after, first byte after\n%s", front, table.String())
		})
	}
}
