package lab_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/certs/certstest"
	"github.com/terrane/terrane/internal/lab"
)

const acmeEdgeConfig = `
[edge]
name = "%[1]s"
data = "%[2]s/%[1]s"

[[store]]
kind = "folder"
prefix = "/sites/"
path = "%[2]s/sites"

[dns]
addresses = ["192.0.2.10"]
resolvers = ["10.72.3.2:53"]
min_ttl = "1s"

[tls]
mode = "acme"
ca = ["https://10.72.4.2:14000/dir"]
roots = "%[2]s/ca.crt"
storage = "%[2]s/shared"
key = "a secret of at least thirty-two characters"
`

var acmeResolver = netip.MustParseAddrPort("10.72.3.2:53")

// acmeWorld is two edges behind one address, and a CA that reaches them as visitors do:
//
//	client -- router -- one, two (terrane, 192.0.2.10)
//	             |
//	         origin (DNS), ca (Pebble)
type acmeWorld struct {
	lab            *lab.Lab
	router, client *lab.Node
	edges          map[string]*lab.Node
	dns            *lab.DNS
	ca             *lab.Process
	roots          string // PEM of what signs the certificates
}

func newACMEWorld(ctx context.Context, t *testing.T) *acmeWorld {
	t.Helper()
	files, err := certstest.FindPebble()
	if err != nil {
		t.Skipf("Pebble cannot be built: %v", err)
	}
	binary := buildTerrane(t)
	w := &acmeWorld{lab: newLab(ctx, t), edges: make(map[string]*lab.Node)}
	w.router = must(w.lab.Node(ctx, "router"))(t)
	try(t, w.router.Forward(ctx))
	nodes := make(map[string]*lab.Node)
	for i, name := range []string{"one", "two", "origin", "ca", "client"} {
		n := must(w.lab.Node(ctx, name))(t)
		near, far := netip.AddrFrom4([4]byte{10, 72, byte(i + 1), 1}), netip.AddrFrom4([4]byte{10, 72, byte(i + 1), 2})
		try(t, w.lab.Link(ctx, w.router, netip.PrefixFrom(near, 24), n, netip.PrefixFrom(far, 24)))
		try(t, n.AddRoute(ctx, netip.MustParsePrefix("0.0.0.0/0"), near))
		nodes[name] = n
	}
	w.client = nodes["client"]
	w.dns = must(nodes["origin"].StartDNS(ctx, acmeResolver, "example.test."))(t)
	w.startCA(ctx, t, nodes["ca"], files.CA)

	try(t, errors.Join(os.MkdirAll(w.lab.Path("sites", "alice"), 0o700), os.WriteFile(w.lab.Path("sites", "alice", "index.html"), []byte("alice"), 0o600)))
	for _, name := range []string{"one", "two"} {
		n := nodes[name]
		w.edges[name] = n
		try(t, n.AddAddress(ctx, "lo", anycast))
		config := w.lab.Path(name + ".toml")
		try(t, os.WriteFile(config, fmt.Appendf(nil, acmeEdgeConfig, name, w.lab.Dir()), 0o600))
		p := must(n.Start(ctx, "terrane", binary, "serve", "--config", config))(t)
		must(p.Line(ctx, "edge is ready"))(t)
	}
	return w
}

// startCA starts Pebble, which validates at the ports that visitors come to.
func (w *acmeWorld) startCA(ctx context.Context, t *testing.T, n *lab.Node, program string) {
	t.Helper()
	crt, key := apiCertificate(t, net.IPv4(10, 72, 4, 2))
	try(t, errors.Join(os.WriteFile(w.lab.Path("ca.crt"), crt, 0o600), os.WriteFile(w.lab.Path("ca.key"), key, 0o600)))
	config := fmt.Sprintf(`{"pebble": {"listenAddress": "10.72.4.2:14000", "managementListenAddress": "10.72.4.2:15000",
		"certificate": %q, "privateKey": %q, "httpPort": 80, "tlsPort": 443, "keyAlgorithm": "ecdsa", "retryAfter": {"authz": 1, "order": 1},
		"profiles": {"default": {"description": "90 days", "validityPeriod": 7776000}}}}`, w.lab.Path("ca.crt"), w.lab.Path("ca.key"))
	try(t, os.WriteFile(w.lab.Path("pebble.json"), []byte(config), 0o600))
	w.ca = must(n.Start(ctx, "pebble", "env", "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0",
		program, "-config", w.lab.Path("pebble.json"), "-dnsserver", acmeResolver.String(), "-strict"))(t)
	w.roots = w.lab.Path("issuer.pem")
	try(t, lab.Until(ctx, func(ctx context.Context) error {
		a, err := n.Fetch(ctx, lab.Request{URL: "https://10.72.4.2:15000/roots/0", Roots: w.lab.Path("ca.crt")})
		if err != nil {
			return err
		}
		return os.WriteFile(w.roots, []byte(a.Body), 0o600)
	}))
}

// apiCertificate is for a server at an address, and trusted as it is.
func apiCertificate(t *testing.T, at net.IP) (crt, key []byte) {
	t.Helper()
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{at},
		IsCA: true, BasicConstraintsValid: true}
	der := must(x509.CreateCertificate(rand.Reader, template, template, private.Public(), private))(t)
	pkcs8 := must(x509.MarshalPKCS8PrivateKey(private))(t)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// onboard gives hosts their records.
func (w *acmeWorld) onboard(ctx context.Context, t *testing.T, hosts ...string) {
	t.Helper()
	var records []string
	for _, h := range hosts {
		records = append(records, h+" A 192.0.2.10", "_terrane."+h+` TXT "terrane=/sites/alice/"`)
	}
	try(t, w.dns.Set(ctx, records...))
}

// route leads the address to the edges.
func (w *acmeWorld) route(ctx context.Context, t *testing.T, edges ...string) {
	t.Helper()
	args := []string{"route", "replace", anycast.String()}
	for _, e := range edges {
		args = append(args, "nexthop", "via", map[string]string{"one": "10.72.1.2", "two": "10.72.2.2"}[e])
	}
	must(w.router.Run(ctx, "ip", args...))(t)
}

// visit is which edge answers a visitor on the node.
func (w *acmeWorld) visit(ctx context.Context, n *lab.Node, host string) (edge string, err error) {
	a, err := n.Fetch(ctx, lab.Request{URL: "https://" + host + ".example.test/", Resolver: acmeResolver, Roots: w.roots, Timeout: 30 * time.Second})
	if err != nil {
		return "", err
	}
	if a.Status != 200 || a.Body != "alice" {
		return "", fmt.Errorf("%+v", a)
	}
	return a.Header.Get("Terrane-Edge"), nil
}

func (w *acmeWorld) orders() int { return strings.Count(w.ca.Output(), "Added order") }

// TestACMEBehindOneAddress has edges that share an address and a folder of certificates
// get them for each other, whichever of them the CA reaches.
func TestACMEBehindOneAddress(t *testing.T) {
	needs(t.Context(), t, "knotd", "knotc", "go")
	ctx := within(t, patience)
	w := newACMEWorld(ctx, t)
	must(w.router.Run(ctx, "sh", "-ec", "echo 1 >/proc/sys/net/ipv4/fib_multipath_hash_policy"))(t)

	// The address leads to one; a visitor beside two asks it for a certificate.
	w.route(ctx, t, "one")
	w.onboard(ctx, t, "deaf")
	if edge := must(w.visit(ctx, w.edges["two"], "deaf"))(t); edge != "two" {
		t.Fatalf("%s answers", edge)
	}
	if edge := must(w.visit(ctx, w.client, "deaf"))(t); edge != "one" || w.orders() != 1 {
		t.Errorf("%s answers, %d orders", edge, w.orders())
	}

	// The address leads to both, each connection to either of them.
	w.route(ctx, t, "one", "two")
	hosts := []string{"a", "b", "c", "d", "e", "f"}
	w.onboard(ctx, t, hosts...)
	var mu sync.Mutex
	seen := make(map[string]bool)
	var visitors sync.WaitGroup
	for _, h := range slices.Concat(hosts, hosts) { // two visitors each, at a time
		visitors.Go(func() {
			edge, err := w.visit(ctx, w.client, h)
			if err != nil {
				t.Errorf("%s: %v", h, err)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[edge] = true
		})
	}
	visitors.Wait()
	for _, n := range w.edges { // each of them has all certificates
		for _, h := range hosts {
			if _, err := w.visit(ctx, n, h); err != nil {
				t.Errorf("%s: %v", h, err)
			}
		}
	}
	if n := w.orders(); n != 1+len(hosts) || len(seen) != 2 {
		t.Errorf("%d orders for %d names, visitors saw %v", n, 1+len(hosts), seen)
	}
}
