package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/internal/lab"
)

func TestMain(m *testing.M) {
	lab.Child()
	goleak.VerifyTestMain(m)
}

// must ends the test on an error, and is the value otherwise.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		try(t, err)
		return v
	}
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newLab makes a lab for the test. What its processes printed is shown if the test fails.
func newLab(ctx context.Context, t *testing.T) *lab.Lab {
	t.Helper()
	l := must(lab.New(ctx))(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(l.Transcripts())
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// patience is how long a test, or a step of it, may take. Only a hang takes so long.
const patience = 10 * time.Minute

// within is a context for one test, or one step of it.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	// Not t.Context, which ends before Cleanup: processes are stopped in order, by Lab.Close.
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func needs(ctx context.Context, t *testing.T, programs ...string) {
	t.Helper()
	if err := lab.Missing(ctx, programs...); err != nil {
		t.Skip("no lab here: ", err)
	}
}

// TestBlocks builds a small network without terrane: BIRD announces the address
// of a git server, a client behind a second BIRD finds it by DNS and pushes to it.
func TestBlocks(t *testing.T) {
	ctx := within(t, patience)
	needs(ctx, t, "bird", "birdc", "knotd", "knotc", "git")
	l := newLab(ctx, t)
	far := must(l.Node(ctx, "far"))(t)
	router := must(l.Node(ctx, "router"))(t)
	client := must(l.Node(ctx, "client"))(t)
	addr := netip.MustParseAddr
	try(t, l.Link(ctx, router, netip.MustParsePrefix("10.9.1.1/24"), far, netip.MustParsePrefix("10.9.1.2/24")))
	try(t, l.Link(ctx, router, netip.MustParsePrefix("10.9.2.1/24"), client, netip.MustParsePrefix("10.9.2.2/24")))
	try(t, router.Forward(ctx))
	everywhere := netip.MustParsePrefix("0.0.0.0/0")
	try(t, client.AddRoute(ctx, everywhere, addr("10.9.2.1")))
	try(t, far.AddRoute(ctx, everywhere, addr("10.9.1.1")))
	service := netip.MustParsePrefix("192.0.2.7/32")
	try(t, far.AddAddress(ctx, "lo", service))

	must(far.StartBIRD(ctx, lab.Router{
		ID: addr("10.9.1.2"), ASN: 65001, Static: []netip.Prefix{service},
		Neighbors: []lab.Neighbor{{Name: "router", Address: addr("10.9.1.1"), ASN: 64512, Password: "secret"}},
	}))(t)
	bird := must(router.StartBIRD(ctx, lab.Router{
		ID: addr("10.9.1.1"), ASN: 64512,
		Neighbors: []lab.Neighbor{{Name: "far", Address: addr("10.9.1.2"), ASN: 65001, Password: "secret"}},
	}))(t)
	try(t, lab.Until(ctx, func(ctx context.Context) error { return reaches(ctx, bird, router, service, "10.9.1.2") }))

	dns := must(router.StartDNS(ctx, netip.MustParseAddrPort("10.9.2.1:53"), "example.test."))(t)
	try(t, dns.Set(ctx, "git A 192.0.2.7"))
	git := must(far.StartGit(ctx, netip.MustParseAddrPort("192.0.2.7:80")))(t)
	url := must(git.Create(ctx, "tenants.git"))(t)
	tree := must(client.Clone(ctx, url))(t)
	try(t, tree.Write("alice/hello.txt", []byte("hello")))
	revision := must(tree.Commit(ctx, "hello"))(t)
	try(t, tree.Push(ctx))

	refs := lab.Request{URL: "http://git.example.test/tenants.git/info/refs?service=git-upload-pack", Resolver: netip.MustParseAddrPort("10.9.2.1:53")}
	answer := must(client.Fetch(ctx, refs))(t)
	if answer.Status != 200 || answer.Remote != "192.0.2.7:80" || !strings.Contains(answer.Body, revision+" refs/heads/main") {
		t.Errorf("answer %+v, want main at %s from 192.0.2.7", answer, revision)
	}
	try(t, dns.Set(ctx))
	if answer, err := client.Fetch(ctx, refs); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("answer %+v, %v after the name was removed", answer, err)
	}
}

// TestHost uses the host as a node, which takes no root: a push that is large
// enough for git to send it in chunks.
func TestHost(t *testing.T) {
	ctx := within(t, patience)
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	l := newLab(ctx, t)
	git := must(l.Host().StartGit(ctx, netip.MustParseAddrPort("127.0.0.1:0")))(t)
	url := must(git.Create(ctx, "tenants.git"))(t)
	tree := must(l.Host().Clone(ctx, url))(t)
	large := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(large) // nothing that git could compress
	try(t, tree.Write("alice/large", large))
	revision := must(tree.Commit(ctx, "large"))(t)
	try(t, tree.Push(ctx))
	answer := must(l.Host().Fetch(ctx, lab.Request{URL: url + "/info/refs?service=git-upload-pack"}))(t)
	if !strings.Contains(answer.Body, revision+" refs/heads/main") {
		t.Errorf("answer %+v, want main at %s", answer, revision)
	}
	if answer := must(l.Host().Fetch(ctx, lab.Request{URL: url + "/info/refs?service=git-archive"}))(t); answer.Status != 403 {
		t.Errorf("another service is answered by %+v", answer)
	}
}

// reaches checks that the router learned the prefix by BGP and forwards it to via.
func reaches(ctx context.Context, bird *lab.BIRD, router *lab.Node, prefix netip.Prefix, via string) error {
	if learned, err := bird.Learned(ctx, prefix); err != nil || !strings.Contains(learned, "via "+via) {
		return fmt.Errorf("BIRD knows no route to %s via %s: %q, %w", prefix, via, learned, err)
	}
	routes, err := router.Routes(ctx, prefix)
	if err != nil || len(routes) != 1 || routes[0].Via != via || routes[0].Protocol != "bird" {
		return fmt.Errorf("the kernel does not forward %s to %s: %+v, %w", prefix, via, routes, err)
	}
	return nil
}

// TestNothingStays ends a process that built a lab by kill -9, and looks for what the lab was made of.
func TestNothingStays(t *testing.T) {
	ctx := within(t, patience)
	needs(ctx, t, "sleep")
	builder := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestAbandon$")
	builder.Env = append(os.Environ(), abandon+"=1")
	out := must(builder.StdoutPipe())(t)
	try(t, builder.Start())
	var dir, namespaces string
	var pid int
	if n, err := fmt.Fscanln(out, &dir, &namespaces, &pid); n != 3 {
		t.Fatal(err)
	}
	try(t, builder.Process.Kill())
	_ = builder.Wait() // killed
	for _, path := range []string{dir, "/run/netns/" + namespaces, fmt.Sprintf("/proc/%d", pid)} {
		try(t, lab.Until(ctx, func(context.Context) error {
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s is still there (%w)", path, err)
			}
			return nil
		}))
	}
}

const abandon = "LAB_TEST_ABANDON"

// TestAbandon is the process that TestNothingStays ends.
func TestAbandon(t *testing.T) {
	if os.Getenv(abandon) == "" {
		t.Skip("only as a child of TestNothingStays")
	}
	ctx := within(t, patience)
	l := must(lab.New(ctx))(t)
	n := must(l.Node(ctx, "left"))(t)
	// The pid of a grandchild that no signal to its parent reaches.
	p := must(n.Start(ctx, "orphan", "setsid", "sh", "-c", "trap '' TERM; echo pid $$; sleep 600"))(t)
	line := must(p.Line(ctx, "pid "))(t)
	fmt.Println(l.Dir(), n.Namespace(), strings.TrimPrefix(line, "pid "))
	<-ctx.Done()
}
