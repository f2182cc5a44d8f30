package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/terrane/terrane/internal/lab"
)

var (
	anycast  = netip.MustParsePrefix("192.0.2.10/32")
	resolver = netip.MustParseAddrPort("10.71.3.2:53")
)

// caRoot is the certificate of the edge's CA, in its data folder.
const caRoot = "ca/root.crt"

// edgeConfig is what an operator would write for this network.
const edgeConfig = `
[edge]
name = "ams1"
region = "ams"
data = "%[1]s"

[[store]]
kind = "git"
prefix = "/git/"
url = "%[2]s"
poll = "200ms"

[dns]
addresses = ["192.0.2.10"]
resolvers = ["10.71.3.2:53"]
min_ttl = "1s"

[tls]
mode = "internal"

[bgp]
asn = 65001
router_id = "10.71.1.2"
prefixes = ["192.0.2.10/32"]

[[bgp.neighbor]]
address = "10.71.1.1"
asn = 64512
password = "a secret of two"
`

// world is a network with one edge:
//
//	client -- router (BIRD) -- edge (terrane)
//	              |
//	           origin (git, DNS)
type world struct {
	lab                          *lab.Lab
	client, router, edge, origin *lab.Node
	bird                         *lab.BIRD
	dns                          *lab.DNS
	tenants                      *lab.WorkTree // of the repository that the edge mirrors
	terrane                      *lab.Process
	roots                        string // PEM of the edge's CA
}

func newWorld(ctx context.Context, t *testing.T, binary string) *world {
	t.Helper()
	w := &world{lab: newLab(ctx, t)}
	w.client = must(w.lab.Node(ctx, "client"))(t)
	w.router = must(w.lab.Node(ctx, "router"))(t)
	w.edge = must(w.lab.Node(ctx, "edge"))(t)
	w.origin = must(w.lab.Node(ctx, "origin"))(t)
	try(t, w.router.Forward(ctx))
	for i, n := range []*lab.Node{w.edge, w.client, w.origin} {
		near, far := netip.AddrFrom4([4]byte{10, 71, byte(i + 1), 1}), netip.AddrFrom4([4]byte{10, 71, byte(i + 1), 2})
		try(t, w.lab.Link(ctx, w.router, netip.PrefixFrom(near, 24), n, netip.PrefixFrom(far, 24)))
		try(t, n.AddRoute(ctx, netip.MustParsePrefix("0.0.0.0/0"), near))
	}
	try(t, w.edge.AddAddress(ctx, "lo", anycast))

	w.bird = must(w.router.StartBIRD(ctx, lab.Router{
		ID: netip.MustParseAddr("10.71.1.1"), ASN: 64512,
		Neighbors: []lab.Neighbor{{Name: "edge", Address: netip.MustParseAddr("10.71.1.2"), ASN: 65001, Password: "a secret of two"}},
	}))(t)
	w.dns = must(w.origin.StartDNS(ctx, resolver, "example.test."))(t)
	git := must(w.origin.StartGit(ctx, netip.MustParseAddrPort("10.71.3.2:80")))(t)
	url := must(git.Create(ctx, "tenants.git"))(t)
	w.tenants = must(w.origin.Clone(ctx, url))(t)

	data, config := w.lab.Path("data"), w.lab.Path("terrane.toml")
	w.roots = data + "/" + caRoot
	try(t, os.WriteFile(config, fmt.Appendf(nil, edgeConfig, data, url), 0o600))
	// Another tenant is there before ours: the platform is in use.
	try(t, w.tenants.Write("bob/index.html", []byte("bob was here\n")))
	w.push(ctx, t, "bob")
	try(t, w.dns.Set(ctx, onboarded("bob")...))
	w.terrane = must(w.edge.Start(ctx, "terrane", binary, "serve", "--config", config))(t)
	return w
}

// buildTerrane builds the command and returns its path.
func buildTerrane(t testing.TB) string {
	t.Helper()
	// go test repeats an old result unless something that the test has read is new:
	// read the folders that the binary is made of.
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if name := d.Name(); err == nil && d.IsDir() && name[0] == '.' && path != "../.." {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "terrane")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "../../cmd/terrane")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build, whose packages go build then finds
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// onboarded is what a domain's owner puts into DNS.
func onboarded(names ...string) (records []string) {
	for _, name := range names {
		records = append(records, name+" A 192.0.2.10", `_keybase_pages.`+name+` TXT "kbp=/git/`+name+`"`)
	}
	return records
}

func (w *world) push(ctx context.Context, t *testing.T, message string) (commit string) {
	t.Helper()
	commit = must(w.tenants.Commit(ctx, message))(t)
	try(t, w.tenants.Push(ctx))
	return commit
}

// pushModule deploys testdata/name.wasm as the module behind alice's domain.
func (w *world) pushModule(ctx context.Context, t *testing.T, name string) (commit string) {
	t.Helper()
	try(t, w.tenants.Write("alice/index.wasm", must(os.ReadFile("testdata/"+name))(t)))
	return w.push(ctx, t, name)
}

func (w *world) get(ctx context.Context, url string) (*lab.Answer, error) {
	return w.client.Fetch(ctx, lab.Request{URL: url, Resolver: resolver, Roots: w.roots})
}

const (
	alice = "https://alice.example.test/"
	bob   = "https://bob.example.test/"
)

// answers checks what the client gets, from where, and at which revision.
func (w *world) answers(ctx context.Context, url, body, revision string) error {
	a, err := w.get(ctx, url)
	if err != nil {
		return err
	}
	if a.Status != 200 || a.Body != body || a.Remote != "192.0.2.10:443" ||
		a.Header.Get("Terrane-Edge") != "ams1" || a.Header.Get("Terrane-Revision") != revision {
		return fmt.Errorf("%s answers %+v, want %q at revision %s from 192.0.2.10", url, a, body, revision)
	}
	return nil
}

// TestEdge is the main job on one edge, from the first push to the shutdown, each
// step seen from outside.
func TestEdge(t *testing.T) {
	needs(t.Context(), t, "bird", "birdc", "knotd", "knotc", "git", "go")
	binary := buildTerrane(t)
	w := newWorld(within(t, patience), t, binary)
	var live string // alice's revision

	steps := []struct {
		name string
		run  func(ctx context.Context, t *testing.T)
	}{
		{"the router learns the route", func(ctx context.Context, t *testing.T) {
			try(t, lab.Until(ctx, func(ctx context.Context) error { return reaches(ctx, w.bird, w.router, anycast, "10.71.1.2") }))
			try(t, lab.Until(ctx, func(ctx context.Context) error {
				_, err := w.get(ctx, bob)
				return err
			}))
		}},
		{"a push of a new module goes live", func(ctx context.Context, t *testing.T) {
			try(t, w.dns.Set(ctx, onboarded("alice", "bob")...))
			live = w.pushModule(ctx, t, "one.wasm")
			try(t, lab.Until(ctx, func(ctx context.Context) error { return w.answers(ctx, alice, "the first release\n", live) }))
		}},
		{"the certificate is the edge's own", func(ctx context.Context, t *testing.T) {
			_, err := w.client.Fetch(ctx, lab.Request{URL: alice, Resolver: resolver}) // by the system's roots
			if err == nil || !strings.Contains(err.Error(), "x509: certificate signed by unknown authority") {
				t.Errorf("without the CA's root: %v", err)
			}
		}},
		{"a second push changes the answer", func(ctx context.Context, t *testing.T) {
			live = w.pushModule(ctx, t, "two.wasm")
			try(t, lab.Until(ctx, func(ctx context.Context) error { return w.answers(ctx, alice, "the second release\n", live) }))
		}},
		{"a push of a broken module changes nothing, and is explained", func(ctx context.Context, t *testing.T) {
			refused := w.pushModule(ctx, t, "one.wat")
			try(t, lab.Until(ctx, func(ctx context.Context) error { return w.refuses(ctx, live, refused, "index.wasm") }))
			try(t, w.answers(ctx, alice, "the second release\n", live))
		}},
		{"without its TXT record a domain is refused", func(ctx context.Context, t *testing.T) {
			try(t, w.dns.Set(ctx, append(onboarded("bob"), "alice A 192.0.2.10")...))
			try(t, lab.Until(ctx, func(ctx context.Context) error {
				if a, err := w.get(ctx, alice); err == nil && a.Status < 400 {
					return fmt.Errorf("still answered: %+v", a)
				} else if err != nil && !strings.Contains(err.Error(), "remote error: tls") {
					return err
				}
				return nil
			}))
			a := must(w.get(ctx, bob))(t)
			if a.Body != "bob was here\n" {
				t.Errorf("the other tenant's answer has become %+v", a)
			}
		}},
		{"at shutdown the route goes before the listener", w.shutdown},
	}
	for _, step := range steps {
		if !t.Run(step.name, func(t *testing.T) { step.run(within(t, patience), t) }) {
			return
		}
	}
}

// refuses checks what the tenant can read about a release that did not go live.
func (w *world) refuses(ctx context.Context, live, revision, reason string) error {
	a, err := w.get(ctx, alice+".well-known/terrane")
	if err != nil {
		return err
	}
	var report struct {
		Revision string
		Refused  struct{ Revision, Reason string }
	}
	if err := json.Unmarshal([]byte(a.Body), &report); err != nil {
		return err
	}
	if report.Revision != live || report.Refused.Revision != revision || !strings.Contains(report.Refused.Reason, reason) {
		return fmt.Errorf("report %s, want %s live and %s refused for %q", a.Body, live, revision, reason)
	}
	return nil
}

func (w *world) shutdown(ctx context.Context, t *testing.T) {
	// In the edge's own namespace, where no route is needed.
	visitor := must(w.edge.Dial(ctx, netip.AddrPortFrom(anycast.Addr(), 443)))(t)
	must(visitor.Line(ctx, "connected"))(t)
	routes := must(w.router.Start(ctx, "routes", "ip", "monitor", "route"))(t)
	visits := func() int { return strings.Count(visitor.Output(), "connected\n") }
	// The monitor says nothing when it begins: show it a change of our own.
	other := netip.MustParsePrefix("198.51.100.0/24")
	try(t, lab.Until(ctx, func(ctx context.Context) error {
		if strings.Contains(routes.Output(), other.String()) {
			return nil
		}
		return errors.Join(w.router.AddRoute(ctx, other, netip.MustParseAddr("10.71.1.2")), w.router.DeleteRoute(ctx, other), errors.New("the monitor is not up"))
	}))

	try(t, w.terrane.Signal(syscall.SIGTERM))
	must(routes.Line(ctx, "Deleted 192.0.2.10"))(t)
	before := visits()
	if out := visitor.Output(); strings.Contains(out, "refused") {
		t.Fatalf("the listener was closed while the router still sent visitors: %s", out)
	}
	try(t, lab.Until(ctx, func(context.Context) error {
		if visits() == before {
			return fmt.Errorf("nobody was let in after the route had gone: %s", visitor.Output())
		}
		return nil
	}))
	if learned := must(w.bird.Learned(ctx, anycast))(t); learned != "" {
		t.Errorf("BIRD still knows %s", learned)
	}
	must(visitor.Line(ctx, "connection refused"))(t)
	try(t, w.terrane.Wait(ctx))
	if a, err := w.get(ctx, bob); err == nil {
		t.Errorf("the client still gets %+v", a)
	}
}
