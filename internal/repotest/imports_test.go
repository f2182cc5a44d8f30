package repotest

import (
	"slices"
	"strings"
	"testing"
)

// rule forbids packages to depend on others. Paths mean packages and all below
// them; those of this module start with "./".
type rule struct {
	who     []string // nil: every package
	not     []string // what they do not depend on, directly or over other packages
	direct  bool     // only direct imports count
	except  []string // of who
	because string
}

var rules = []rule{
	{who: []string{"./sync"}, not: []string{"./dnsverify", "./bgp", "./server", "./hostcalls"}, because: meet},
	{who: []string{"./dnsverify"}, not: []string{"./sync", "./bgp", "./server", "./hostcalls"}, because: meet},
	{who: []string{"./bgp"}, not: []string{"./sync", "./dnsverify", "./server", "./hostcalls"}, because: meet},
	{who: []string{"./hostcalls"}, not: []string{"./sync", "./dnsverify", "./bgp", "./server"}, because: meet},
	{who: []string{"./server"}, not: []string{"./sync", "./dnsverify", "./bgp"}, because: meet},
	{who: []string{"./hostcalls"}, not: []string{"./internal"}, because: "the ABI knows no engine and no host"},
	{who: []string{"./internal/lab"}, not: []string{"./tenant", "./sync", "./dnsverify", "./hostcalls", "./bgp", "./server", "./cmd"},
		because: "the lab runs what an operator would run, and nothing behind its back"},
	{not: []string{"./internal/lab"}, direct: true, except: []string{"./internal/lab"}, because: "the lab is for tests"},
	{not: []string{"./internal/config"}, direct: true, except: []string{"./cmd", "./internal/config", "./internal/edge"}, because: "packages take Options; configuration ends in internal/edge"},
	{not: []string{"./internal/engine/wazeroengine"}, direct: true, except: []string{"./internal/edge", "./internal/engine/wazeroengine"}, because: "only internal/edge chooses an engine"},
	{not: []string{"./internal/engine/wasmerengine"}, direct: true, except: []string{"./internal/edge", "./internal/engine/wasmerengine"}, because: "only internal/edge chooses an engine"},
	{not: []string{"./cmd"}, except: []string{"./cmd"}, because: "cmd is the command line, which nothing uses"},
	{not: []string{"github.com/miekg/dns"}, direct: true, except: []string{"./dnsverify"}, because: "only dnsverify speaks DNS wire format"},
	{not: []string{"github.com/osrg/gobgp"}, direct: true, except: []string{"./bgp"}, because: "only bgp speaks BGP"},
	{not: []string{"github.com/tetratelabs/wazero"}, direct: true, except: []string{"./internal/engine"}, because: "only internal/engine knows a runtime"},
	{not: []string{"github.com/wasmerio/wasmer-go"}, direct: true, except: []string{"./internal/engine"}, because: "only internal/engine knows a runtime"},
	{not: []string{"github.com/wasmerio/wasmer-go"}, because: "the build without tags has no cgo"},
	{not: []string{"github.com/caddyserver/certmagic"}, direct: true, except: []string{"./internal/certs/acme", "./internal/certs/storage"}, because: "only internal/certs/acme issues certificates, which internal/certs/storage keeps"},
	{not: []string{"github.com/nats-io"}, direct: true, except: []string{"./internal/lattice"}, because: "only internal/lattice knows NATS"},
}

const meet = "these packages meet in internal/edge, over interfaces that the consumer declares"

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range listPackages(t) {
		name := short(p.ImportPath)
		if strings.HasSuffix(name, "test") {
			continue // a conformance suite or a test's equipment, which brings real parts together
		}
		for _, r := range rules {
			if r.who != nil && !within(name, r.who...) || within(name, r.except...) {
				continue
			}
			deps := p.Deps
			if r.direct {
				deps = p.Imports
			}
			for _, dep := range deps {
				if within(short(dep), r.not...) {
					t.Errorf("%s depends on %s: %s", name, short(dep), r.because)
				}
			}
		}
	}
}

// TestDomainsMeetInEdge wants one place that brings the five domains together. A package
// elsewhere may be about one of them.
func TestDomainsMeetInEdge(t *testing.T) {
	domains := []string{"./sync", "./dnsverify", "./hostcalls", "./bgp", "./server"}
	places := []string{"./internal/edge", "./internal/admin"} // the wire types of admin hold the status of several
	for _, p := range listPackages(t) {
		name := short(p.ImportPath)
		if strings.HasSuffix(name, "test") || within(name, domains...) || within(name, places...) {
			continue
		}
		var met []string
		for _, d := range domains {
			if slices.ContainsFunc(p.Imports, func(dep string) bool { return within(short(dep), d) }) {
				met = append(met, d)
			}
		}
		if len(met) > 1 {
			t.Errorf("%s imports of %q: %s", name, met, meet)
		}
	}
}

func TestModelIsStandardLibraryOnly(t *testing.T) {
	for _, p := range listPackages(t) {
		if short(p.ImportPath) != "./tenant" {
			continue
		}
		for _, dep := range p.Deps {
			if first, _, _ := strings.Cut(dep, "/"); strings.Contains(first, ".") && !within(dep, p.ImportPath) {
				t.Errorf("tenant depends on %s: the model is for every package, and carries nothing along", dep)
			}
		}
	}
}

// TestRulesNameWhatExists keeps the rules above from guarding a package that was renamed.
func TestRulesNameWhatExists(t *testing.T) {
	all := listPackages(t)
	for _, r := range rules {
		for _, path := range slices.Concat(r.who, r.not, r.except) {
			ours := strings.HasPrefix(path, "./")
			if ours && !slices.ContainsFunc(all, func(p pkg) bool { return within(short(p.ImportPath), path) }) {
				t.Errorf("a rule names %s, and there is no such package", path)
			}
		}
	}
}
