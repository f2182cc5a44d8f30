package storetest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/tenant"
)

// Module is a valid module without content; with a suffix it stays one.
const Module = "\x00asm\x01\x00\x00\x00"

// Tree is files by path below the store's root. A deploy makes the store hold
// exactly these.
type Tree map[string]string

// Place is an origin that the suite deploys to.
type Place interface {
	// Store is how a Syncer reads the place.
	Store() tenantsync.Store
	// Deploy makes the tree the place's whole content, in one step where it can.
	Deploy(tb testing.TB, tree Tree)
	// Link adds a symlink to what was deployed.
	Link(tb testing.TB, name, target string)
	// Down makes the place unreachable, Up undoes it.
	Down(tb testing.TB)
	Up(tb testing.TB)
	// Clear empties the place, as an unmounted folder or an orphaned branch is empty.
	Clear(tb testing.TB)
}

// Run puts the origin through what every store must do.
func Run(t *testing.T, newPlace func(testing.TB) Place) {
	for name, test := range map[string]func(*testing.T, Place){
		"Deploy": deploy, "Refusal": refusal, "Isolation": isolation, "HostFault": hostFault,
		"Down": down, "Cleared": cleared, "Restart": restart, "Hostile": hostile, "Manifest": manifest,
		"Limits": limits, "Burst": burst, "Depth": depth,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newPlace(t))
		})
	}
}

const (
	alice = tenant.ID("/t/alice")
	bob   = tenant.ID("/t/bob")
)

func base() Tree {
	return Tree{
		"alice/index.wasm": Module, "alice/style.css": "a {}", "alice/sub/page.html": "<p>",
		"bob/index.html": "bob", "README.md": "no tenant", ".git-ish/x": "no tenant", "alice/.draft": "not served",
	}
}

func with(t Tree, pairs ...string) Tree {
	out := Tree{}
	for name, content := range t {
		out[name] = content
	}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
		if pairs[i+1] == "" {
			delete(out, pairs[i])
		}
	}
	return out
}

func options(tb testing.TB, p Place) tenantsync.Options {
	return tenantsync.Options{Data: tb.TempDir(), Stores: []tenantsync.Store{p.Store()}}
}

func begin(t *testing.T, p Place) *Edge {
	t.Helper()
	p.Deploy(t, base())
	e := Start(t, options(t, p))
	e.awaitBase(t)
	return e
}

func (e *Edge) awaitBase(tb testing.TB) {
	tb.Helper()
	e.AwaitMirrored(tb)
	e.AwaitContent(tb, alice, "index.wasm", Module)
	e.AwaitContent(tb, bob, "index.html", "bob")
}

func deploy(t *testing.T, p Place) {
	e := begin(t, p)
	if got := len(e.Live()); got != 2 {
		t.Errorf("%d tenants live, want 2", got)
	}
	first := e.Live()[alice]
	if len(first.Files) != 3 || first.Revision == "" || first.Time.IsZero() {
		t.Errorf("snapshot %+v, want its 3 files, a revision, a time", first)
	}
	p.Deploy(t, with(base(), "alice/style.css", "b {}", "alice/sub/page.html", "", "alice/new.html", "n"))
	e.AwaitContent(t, alice, "style.css", "b {}")
	second := e.Live()[alice]
	if len(second.Files) != 3 || e.Content(alice, "new.html") != "n" || second.Revision == first.Revision {
		t.Errorf("after an update: %+v", second)
	}
	p.Deploy(t, with(base(), "bob/index.html", "", "carol/index.html", "bob"))
	e.AwaitContent(t, "/t/carol", "index.html", "bob")
	e.Await(t, "bob is gone", func() bool { return e.Live()[bob] == nil })
	if _, ok := e.Tenant(bob); ok {
		t.Error("Tenant still knows bob")
	}
	p.Deploy(t, base())
	e.awaitBase(t)
	e.AwaitContent(t, alice, "style.css", "a {}")
}

func refusal(t *testing.T, p Place) {
	e := begin(t, p)
	good := e.Live()[alice].Revision
	p.Deploy(t, with(base(), "alice/index.wasm", "not wasm", "bob/index.html", "bob2"))
	e.AwaitContent(t, bob, "index.html", "bob2")
	r := e.AwaitRefusal(t, alice)
	if r.Retry || !strings.Contains(r.Reason, "index.wasm") || r.Revision == "" || r.Time.IsZero() {
		t.Errorf("refusal %+v", r)
	}
	e.AwaitLook(t, 3)
	if st, _ := e.Tenant(alice); !st.Refused.Time.Equal(r.Time) || st.Live.Revision != good {
		t.Errorf("a refused state was tried again, or replaced what is live: %+v", st)
	}
	p.Deploy(t, with(base(), "alice/index.wasm", Module+"\x00\x00"))
	e.AwaitContent(t, alice, "index.wasm", Module+"\x00\x00")
	e.Await(t, "the refusal is over", func() bool { st, _ := e.Tenant(alice); return st.Refused == nil })
}

// isolation: a release that takes for ever holds up no other tenant.
func isolation(t *testing.T, p Place) {
	p.Deploy(t, base())
	free := make(chan struct{})
	var held atomic.Bool
	rec := &Recorder{Hold: func(ctx context.Context, s *tenant.Snapshot) error {
		if s.ID == alice && held.CompareAndSwap(false, true) {
			select {
			case <-free:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}}
	o := options(t, p)
	o.Publisher = rec
	e := Start(t, o)
	e.AwaitContent(t, bob, "index.html", "bob")
	p.Deploy(t, with(base(), "bob/index.html", "bob2", "alice/style.css", "b {}"))
	e.AwaitContent(t, bob, "index.html", "bob2")
	close(free)
	e.AwaitContent(t, alice, "style.css", "b {}")
}

func hostFault(t *testing.T, p Place) {
	p.Deploy(t, base())
	var broken atomic.Bool
	broken.Store(true)
	rec := &Recorder{Hold: func(_ context.Context, s *tenant.Snapshot) error {
		if s.ID == alice && broken.Load() {
			return ErrHost
		}
		return nil
	}}
	o := options(t, p)
	o.Publisher = rec
	e := Start(t, o)
	e.AwaitContent(t, bob, "index.html", "bob")
	if r := e.AwaitRefusal(t, alice); !r.Retry {
		t.Errorf("a fault of the host is shown as the tenant's: %+v", r)
	}
	broken.Store(false)
	e.AwaitContent(t, alice, "index.wasm", Module)
}

func down(t *testing.T, p Place) {
	e := begin(t, p)
	p.Down(t)
	e.AwaitLook(t, 2)
	if st := e.Status().Stores[0]; st.Reachable || st.Error == "" {
		t.Errorf("status of an unreachable store: %+v", st)
	}
	if len(e.Live()) != 2 {
		t.Errorf("an unreachable store took tenants down: %v", e.Live())
	}
	p.Up(t)
	p.Deploy(t, with(base(), "bob/index.html", "bob2"))
	e.Nudge("/t/")
	e.AwaitContent(t, bob, "index.html", "bob2")
}

func cleared(t *testing.T, p Place) {
	e := begin(t, p)
	p.Clear(t)
	e.AwaitLook(t, 3)
	if len(e.Live()) != 2 || e.Status().Stores[0].Error == "" {
		t.Errorf("an empty store took tenants down, or says nothing: %+v", e.Status())
	}
	p.Deploy(t, with(base(), "bob/index.html", "bob2"))
	e.AwaitContent(t, bob, "index.html", "bob2")
}

// restart: what was live is published before the origin is reached, also after
// it was cleared or while it is down.
func restart(t *testing.T, p Place) {
	o := options(t, p)
	p.Deploy(t, with(base(), "alice/terrane.toml", "domains = [\"a.example\"]\n"))
	e := Start(t, o)
	e.awaitBase(t)
	want := e.Live()[alice]
	e.Stop(t)

	p.Down(t)
	e = Start(t, o)
	e.AwaitMirrored(t)
	got := e.Live()[alice]
	if got == nil || got.Revision != want.Revision || !got.Time.Equal(want.Time) || len(got.Manifest.Domains) != 1 {
		t.Errorf("after a restart with the origin down: %+v, want %+v", got, want)
	}
	e.Stop(t)

	p.Up(t)
	p.Clear(t)
	e = Start(t, o)
	e.AwaitMirrored(t)
	e.AwaitLook(t, 2)
	if len(e.Live()) != 2 {
		t.Errorf("after a restart with an empty origin: %v", e.Live())
	}
	p.Deploy(t, with(base(), "alice/style.css", "b {}"))
	e.AwaitContent(t, alice, "style.css", "b {}")
	n := len(e.Events())
	e.Stop(t)

	e = Start(t, o)
	e.AwaitMirrored(t)
	e.AwaitContent(t, alice, "style.css", "b {}")
	e.AwaitLook(t, 2)
	if got := len(e.Events()); got != 2 {
		t.Errorf("%d releases published after a restart without changes (%d before it), want 2", got, n)
	}
}

func hostile(t *testing.T, p Place) {
	e := begin(t, p)
	for _, tt := range []struct{ name, file, target, want string }{
		{"case clash", "alice/STYLE.css", "", "differ in case"},
		{"control character", "alice/a\x01b", "", "character"},
		{"backslash", `alice/a\b`, "", "character"},
		{"deep", "alice/" + strings.Repeat("d/", 40) + "f", "", "deeper"},
		{"link out", "alice/out", "../bob/index.html", "symlink"},
		{"link to root", "alice/out", "/etc/hostname", "symlink"},
		{"link to folder", "alice/out", "sub", "symlink"},
		{"link to nothing", "alice/out", "nothing", "symlink"},
		{"link to itself", "alice/out", "out", "symlink"},
	} {
		if tt.target != "" {
			p.Deploy(t, base())
			e.Await(t, "clean", func() bool { st, _ := e.Tenant(alice); return st.Refused == nil })
			p.Link(t, tt.file, tt.target)
		} else {
			p.Deploy(t, with(base(), tt.file, "x"))
		}
		if r := e.AwaitRefusal(t, alice); r.Retry || !strings.Contains(r.Reason, tt.want) {
			t.Errorf("%s: refusal %+v, want %q", tt.name, r, tt.want)
		}
		p.Deploy(t, base())
		e.Await(t, "clean", func() bool { st, _ := e.Tenant(alice); return st.Refused == nil })
	}
	if got := e.Live()[alice]; len(got.Files) != 3 {
		t.Errorf("what is live: %+v", got)
	}
	p.Link(t, "alice/in.css", "style.css")
	e.AwaitContent(t, alice, "in.css", "a {}")
}

func manifest(t *testing.T, p Place) {
	e := begin(t, p)
	p.Deploy(t, with(base(), "alice/terrane.toml", "domain = []\n[limits]\nmemory = \"lots\"\n"))
	r := e.AwaitRefusal(t, alice)
	for _, want := range []string{"terrane.toml:1: domain: unknown key", "terrane.toml:3: limits.memory"} {
		if !strings.Contains(r.Reason, want) {
			t.Errorf("refusal %q, want %q", r.Reason, want)
		}
	}
	p.Deploy(t, with(base(), "alice/terrane.toml", "domains = [\"*.Bücher.example\"]\n[limits]\nmemory = \"32MiB\"\n"))
	e.Await(t, "the manifest is live", func() bool {
		m := e.Live()[alice].Manifest
		return m.Limits.Memory == 32<<20 && len(m.Domains) == 1 && m.Domains[0] == "*.xn--bcher-kva.example"
	})
}

func limits(t *testing.T, p Place) {
	o := options(t, p)
	o.Limits = tenant.Limits{ModuleSize: 100, SiteSize: 1000}
	o.MaxFiles = 10
	p.Deploy(t, base())
	e := Start(t, o)
	e.awaitBase(t)
	many := base()
	for i := range 11 {
		many[fmt.Sprintf("alice/f%d", i)] = "x"
	}
	for _, tt := range []struct {
		tree Tree
		want string
	}{
		{with(base(), "alice/index.wasm", Module+strings.Repeat("\x00", 100)), "a module has at most 100"},
		{with(base(), "alice/big", strings.Repeat("x", 1000)), "more than 1000 bytes"},
		{many, "at most 10"},
	} {
		p.Deploy(t, tt.tree)
		e.Await(t, tt.want, func() bool {
			st, _ := e.Tenant(alice)
			return st.Refused != nil && strings.Contains(st.Refused.Reason, tt.want)
		})
	}
	if len(e.Live()[alice].Files) != 3 {
		t.Errorf("what is live: %+v", e.Live()[alice])
	}
}

// burst: many releases in a row end with the last one, and no tenant ever has a
// mixture of two.
func burst(t *testing.T, p Place) {
	e := begin(t, p)
	const n = 20
	for i := range n {
		v := strconv.Itoa(i)
		p.Deploy(t, with(base(), "alice/style.css", v, "alice/sub/page.html", v))
	}
	e.AwaitContent(t, alice, "style.css", strconv.Itoa(n-1))
	e.Stop(t)
	for _, ev := range e.Events() {
		if ev.ID != alice {
			continue
		}
		a, b := ev.Snapshot.Files["style.css"], ev.Snapshot.Files["sub/page.html"]
		if a.Hash != b.Hash && a.Size != 4 {
			t.Errorf("a mixture of two states went live: %+v", ev.Snapshot.Files)
		}
	}
}

func depth(t *testing.T, p Place) {
	o := options(t, p)
	o.Stores[0].Depth = 2
	p.Deploy(t, Tree{"private/alice,x/i.html": "1", "team/a.b/i.html": "2", "team/loose": "no tenant"})
	e := Start(t, o)
	e.AwaitContent(t, "/t/private/alice,x", "i.html", "1")
	e.AwaitContent(t, "/t/team/a.b", "i.html", "2")
	if len(e.Live()) != 2 {
		t.Errorf("live: %v", e.Live())
	}
	p.Deploy(t, Tree{"team/a.b/i.html": "2", "private/bob/i.html": "3"})
	e.AwaitContent(t, "/t/private/bob", "i.html", "3")
	e.Await(t, "alice is gone", func() bool { return e.Live()["/t/private/alice,x"] == nil })
}
