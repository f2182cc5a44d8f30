package sync_test

import (
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
)

// grown runs f and reports by how much the process's memory grew at most, in bytes.
func grown(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Sys - before.Sys
}

// fastImport makes the commands' commits in the origin, without a push.
func (p *gitPlace) fastImport(t *testing.T, commands io.Reader) {
	t.Helper()
	cmd := exec.Command("git", "-c", "core.compression=1", "-c", "core.bigFileThreshold=1m", "fast-import", "--quiet", "--force")
	cmd.Dir, cmd.Stdin = p.bare, commands
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git fast-import: %v\n%s", err, out)
	}
}

const importCommit = "commit refs/heads/main\ncommitter t <t@example.net> 1700000000 +0000\ndata 1\nx"

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestGitBomb: a blob that is small on the line and huge in memory is refused for
// its size, and never held in memory.
func TestGitBomb(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 2 GB")
	}
	p := newGitPlace(t).serveHTTP(t)
	const size = 2<<30 + 1
	p.fastImport(t, io.MultiReader(
		strings.NewReader(fmt.Sprintf("blob\nmark :1\ndata %d\n", size)), io.LimitReader(zeros{}, size),
		strings.NewReader("\n"+importCommit+"\nM 100644 :1 alice/bomb\nM 100644 inline bob/i.html\ndata 1\nb\n\n"),
	))
	o := tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{p.Store()}}
	o.Limits.SiteSize = 1 << 20
	if n := grown(func() {
		e := storetest.Start(t, o)
		if r := e.AwaitRefusal(t, alice); r.Retry || !strings.Contains(r.Reason, `more than 1048576 bytes, "bomb" alone has 2147483649`) {
			t.Errorf("refusal %+v", r)
		}
		e.AwaitContent(t, "/t/bob", "i.html", "b")
	}); n > 100<<20 {
		t.Errorf("memory grew by %d MB", n>>20)
	}
}

// TestGitMillionFiles: a folder of a million files, and a root of a million tenants, are
// refused before they are read.
func TestGitMillionFiles(t *testing.T) {
	p, e, _ := gitEdge(t)
	blob := git(t, p.work, "rev-parse", "HEAD:alice/i.html")
	var raw strings.Builder
	tree := func(mode, hash string) string {
		raw.Reset()
		for i := range 1_000_000 {
			fmt.Fprintf(&raw, "%s f%06d\x00%s", mode, i, unhex(t, hash))
		}
		return hashObject(t, p, "tree", raw.String())
	}
	files := tree("100644", blob)
	raw.Reset()
	for _, e := range [][2]string{{"alice", files}, {"bob", git(t, p.work, "rev-parse", "HEAD:bob")}} {
		fmt.Fprintf(&raw, "40000 %s\x00%s", e[0], unhex(t, e[1]))
	}
	push := func(root string) {
		t.Helper()
		git(t, p.work, "push", "-q", "-f", "origin", git(t, p.work, "commit-tree", "-m", "x", "-p", "HEAD", root)+":main")
	}
	crowd := hashObject(t, p, "tree", raw.String())
	if n := grown(func() {
		push(crowd)
		if r := e.AwaitRefusal(t, alice); r.Retry || !strings.Contains(r.Reason, "at most") {
			t.Errorf("refusal %+v", r)
		}
		push(tree("40000", git(t, p.work, "rev-parse", "HEAD:bob")))
		e.Await(t, "the refusal of the root", func() bool { return strings.Contains(e.Status().Stores[0].Refused, "at most") })
	}); n > 150<<20 { // most of it is the test's own
		t.Errorf("memory grew by %d MB", n>>20)
	}
	if len(e.Live()) != 2 {
		t.Errorf("live: %v", e.Live())
	}
	p.Deploy(t, storetest.Tree{"alice/i.html": "2", "bob/i.html": "b"})
	e.AwaitContent(t, alice, "i.html", "2")
}
