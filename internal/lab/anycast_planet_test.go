package lab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lab"
)

// planet is two sites, and a client at the near one's router:
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
	page      string // with the configurations
	binary    string
	change    func(string) string
}

// site is a router and the edges behind it.
type site struct {
	name   string // of the region, and of its edges with a number behind
	number int    // the networks to its edges are 10.(70+number).0.0/16
	asn    string
	device string // name of the router, and of interfaces that lead to it: bird or frr
	router *lab.Node
	ask    func(context.Context, string) (string, error) // the router's command
	query  func(context.Context, string) (string, error) // about a prefix
	bfd    func(context.Context) (string, error)         // sessions
	edges  []*edge
	cables []*lab.Process // to the edges, if they are long
}

// edge is one terrane.
type edge struct {
	name    string
	net4    string // first parts of the addresses of its cable
	net6    string
	node    *lab.Node
	command []string
	process *lab.Process
}

// layout is how a planet is to be.
type layout struct {
	front               string // the near site's router: bird or frr
	nearEdges, farEdges int
	nearDelay, farDelay time.Duration              // one way; zero: short cables
	change              func(config string) string // of the edges; nil: none
	frr                 func(config string) string // likewise
}

const anycastHost = "alice.example.test"

func newPlanet(ctx context.Context, t *testing.T, binary string, want layout) *planet {
	t.Helper()
	l := newLab(ctx, t)
	p := &planet{
		lab: l, roots: l.Path("roots.pem"), page: string(must(os.ReadFile(anycastPage))(t)), binary: binary, change: want.change,
		client: must(l.Node(ctx, "client"))(t),
		near:   &site{name: "ams", number: 1, asn: "64512", device: "bird"},
		far:    &site{name: "iad", number: 2, asn: "64513", device: "frr"},
	}
	bird, frr := p.near, p.far
	if want.front == frr.device {
		p.near, p.far = frr, bird
	}
	for _, s := range []*site{bird, frr} {
		s.router = must(l.Node(ctx, s.device))(t)
		try(t, s.router.Forward(ctx))
		// Else all of a visitor's connections go to one edge.
		must(s.router.Run(ctx, "sh", "-ec", "for f in ipv4 ipv6; do echo 1 >/proc/sys/net/$f/fib_multipath_hash_policy; done"))(t)
	}
	p.connect(ctx, t, bird, frr)

	records := []string{"alice A 192.0.2.10", "alice AAAA 2001:db8::10", `_keybase_pages.alice TXT "kbp=/sites/alice"`}
	try(t, must(p.client.StartDNS(ctx, netip.MustParseAddrPort("10.70.1.2:53"), "example.test."))(t).Set(ctx, records...))
	try(t, errors.Join(os.MkdirAll(l.Path("sites", "alice"), 0o700),
		os.WriteFile(l.Path("sites", "alice", "index.html"), []byte("alice was here\n"), 0o600)))
	birdRouter := must(bird.router.RunBIRD(ctx, block(t, p.page, "bird")))(t)
	bird.ask = birdRouter.Query
	bird.query = func(ctx context.Context, prefix string) (string, error) {
		return birdRouter.Query(ctx, "show route all for "+prefix)
	}
	bird.bfd = func(ctx context.Context) (string, error) { return birdRouter.Query(ctx, "show bfd sessions") }
	config := block(t, p.page, "frr")
	if want.frr != nil {
		config = want.frr(config)
	}
	frrRouter := must(frr.router.RunFRR(ctx, config))(t)
	frr.ask = frrRouter.Query
	frr.query = func(ctx context.Context, prefix string) (string, error) {
		family := "ipv4"
		if strings.Contains(prefix, ":") {
			family = "ipv6"
		}
		return frrRouter.Query(ctx, "show bgp "+family+" unicast "+prefix)
	}

	frr.bfd = func(ctx context.Context) (string, error) { return frrRouter.Query(ctx, "show bfd peers brief") }

	for range want.nearEdges {
		p.addEdge(ctx, t, p.near, want.nearDelay)
	}
	for range want.farEdges {
		p.addEdge(ctx, t, p.far, want.farDelay)
	}
	p.trust(ctx, t)
	return p
}

// connect joins the routers and the client. What BGP does not carry here are the
// ways between the client's network and the far edges.
func (p *planet) connect(ctx context.Context, t *testing.T, bird, frr *site) {
	t.Helper()
	p.link(ctx, t, bird, frr.router, frr.device, "10.70.0", "fd00:70", 0)
	p.link(ctx, t, p.near, p.client, "client", "10.70.1", "fd00:70:1", 0)
	route(ctx, t, p.client, "0.0.0.0/0", "10.70.1.1")
	route(ctx, t, p.client, "::/0", "fd00:70:1::1")
	route(ctx, t, p.far.router, "10.70.1.0/24", fmt.Sprintf("10.70.0.%d", p.near.number))
	route(ctx, t, p.far.router, "fd00:70:1::/64", fmt.Sprintf("fd00:70::%d", p.near.number))
	route(ctx, t, p.near.router, fmt.Sprintf("10.7%d.0.0/16", p.far.number), fmt.Sprintf("10.70.0.%d", p.far.number))
	route(ctx, t, p.near.router, fmt.Sprintf("fd00:7%d::/32", p.far.number), fmt.Sprintf("fd00:70::%d", p.far.number))
}

func route(ctx context.Context, t *testing.T, n *lab.Node, to, via string) {
	t.Helper()
	try(t, n.AddRoute(ctx, netip.MustParsePrefix(to), netip.MustParseAddr(via)))
}

// link joins a node to a site's router, which has the first address of both networks.
func (p *planet) link(ctx context.Context, t *testing.T, s *site, n *lab.Node, name, net4, net6 string, delay time.Duration) (cable *lab.Process) {
	t.Helper()
	v4 := func(host int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("%s.%d/24", net4, host)) }
	v6 := func(host int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("%s::%d/64", net6, host)) }
	if delay == 0 {
		try(t, p.lab.Link(ctx, s.router, v4(1), n, v4(2)))
	} else {
		cable = must(p.lab.DelayedLink(ctx, s.router, v4(1), n, v4(2), delay))(t)
	}
	try(t, errors.Join(s.router.AddAddress(ctx, name, v6(1)), n.AddAddress(ctx, s.device, v6(2))))
	return cable
}

// addEdge starts one more edge at a site, with the page's configuration.
func (p *planet) addEdge(ctx context.Context, t *testing.T, s *site, delay time.Duration) *edge {
	t.Helper()
	e := p.newEdge(ctx, t, s, delay)
	config := block(t, p.page, "toml")
	if p.change != nil {
		config = p.change(config)
	}
	p.configure(t, e, s, config)
	e.start(ctx, t)
	s.edges = append(s.edges, e)
	return e
}

// newEdge is the machine for one more edge at a site.
func (p *planet) newEdge(ctx context.Context, t *testing.T, s *site, delay time.Duration) *edge {
	t.Helper()
	i := len(s.edges) + 1
	e := &edge{name: fmt.Sprintf("%s%d", s.name, i), net4: fmt.Sprintf("10.7%d.%d", s.number, i), net6: fmt.Sprintf("fd00:7%d:%d", s.number, i)}
	e.node = must(p.lab.Node(ctx, e.name))(t)
	s.cables = append(s.cables, p.link(ctx, t, s, e.node, e.name, e.net4, e.net6, delay))
	route(ctx, t, e.node, "0.0.0.0/0", e.net4+".1")
	route(ctx, t, e.node, "::/0", e.net6+"::1")
	return e
}

// configure gives the edge a configuration of the page, with its own names and
// addresses in it.
func (p *planet) configure(t *testing.T, e *edge, s *site, config string) {
	t.Helper()
	config = strings.NewReplacer("/var/lib/terrane", p.lab.Path(e.name), "/srv/sites", p.lab.Path("sites")).Replace(e.localize(s, config))
	file := p.lab.Path(e.name + ".toml")
	try(t, os.WriteFile(file, []byte(config), 0o600))
	e.command = []string{p.binary, "serve", "--config", file, "--access-log", "/dev/null"}
}

// localize replaces the names and addresses of the page's edge by those of this one.
func (e *edge) localize(s *site, text string) string {
	return strings.NewReplacer(`"ams1"`, `"`+e.name+`"`, `"ams"`, `"`+s.name+`"`, "64512", s.asn, "10.71.1.", e.net4+".", "fd00:71:1:", e.net6+":").Replace(text)
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
