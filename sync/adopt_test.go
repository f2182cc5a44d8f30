package sync_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
	"github.com/terrane/terrane/tenant"
)

// startStore runs an edge with an empty data folder.
func startStore(t *testing.T, store tenantsync.Store) *storetest.Edge {
	t.Helper()
	return storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{store}})
}

// TestLastGoodReleaseAlone: an edge without anything of an earlier run, and without peers,
// finds the last good release in the repository's history, and is not mirrored before.
func TestLastGoodReleaseAlone(t *testing.T) {
	p := newGitPlace(t)
	p.url = "file://" + p.bare
	p.Deploy(t, storetest.Tree{"alice/i.html": "1", "bob/i.html": "b"})
	p.Deploy(t, storetest.Tree{"alice/i.html": "good", "bob/i.html": "b"})
	good := tenant.Revision(git(t, p.work, "rev-parse", "HEAD"))
	p.Deploy(t, storetest.Tree{"alice/i.html": "good", "bob/i.html": "b2"})
	p.Deploy(t, storetest.Tree{"alice/i.html": "2", "alice/i.wasm": "broken", "bob/i.html": "b2"})
	p.Deploy(t, storetest.Tree{"alice/i.html": "3", "alice/terrane.toml": "no manifest", "bob/i.html": "b2"})
	p.Deploy(t, storetest.Tree{"alice/i.html": "4", "alice/i.wasm": "broken", "bob/i.html": "b3"})
	bad := tenant.Revision(git(t, p.work, "rev-parse", "HEAD"))

	o := tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{p.Store()}}
	e := storetest.Start(t, o)
	e.AwaitMirrored(t)
	lastGood := func() {
		t.Helper()
		st, _ := e.Tenant(alice)
		if st.Live == nil || st.Live.Revision != good || st.Live.Pinned || e.Content(alice, "i.html") != "good" ||
			st.Refused == nil || st.Refused.Revision != bad {
			t.Errorf("status %+v, live %+v; want %s, and a refusal of %s", st, st.Live, good, bad)
		}
	}
	lastGood()
	e.AwaitLook(t, 2)
	lastGood()
	e.Stop(t)
	e = storetest.Start(t, o)
	e.AwaitRefusal(t, alice)
	lastGood()
	p.Deploy(t, storetest.Tree{"alice/i.html": "5", "bob/i.html": "b3"})
	e.AwaitContent(t, alice, "i.html", "5")
	e.Await(t, "the refusal is over", func() bool { st, _ := e.Tenant(alice); return st.Refused == nil })
}

// TestNoGoodRelease: what has no good release holds up the start for a moment only.
func TestNoGoodRelease(t *testing.T) {
	p := newGitPlace(t)
	p.url = "file://" + p.bare
	p.Deploy(t, storetest.Tree{"alice/i.html": "before it was removed", "bob/i.html": "b"})
	p.Deploy(t, storetest.Tree{"bob/i.html": "b"})
	p.Deploy(t, storetest.Tree{"alice/i.wasm": "broken", "bob/i.html": "b"})
	p.Deploy(t, storetest.Tree{"alice/i.wasm": "broken again", "bob/i.html": "b"})
	e := startStore(t, p.Store())
	e.AwaitMirrored(t)
	if st, _ := e.Tenant(alice); st.Live != nil || st.Refused == nil {
		t.Errorf("status %+v", st)
	}
	p.Deploy(t, storetest.Tree{"alice/i.html": "mended", "bob/i.html": "b"})
	e.AwaitContent(t, alice, "i.html", "mended")
}

// TestLastGoodRepository is TestLastGoodReleaseAlone for a tenant's own repository, and for previews.
func TestLastGoodRepository(t *testing.T) {
	p := newGitPlace(t)
	ca, url := p.serveTLS(t)
	id := tenant.ID(url)
	p.Deploy(t, storetest.Tree{"i.html": "good"})
	p.Deploy(t, storetest.Tree{"i.html": "bad", "i.wasm": "broken"})
	store := tenantsync.Store{
		Prefix: strings.TrimSuffix(url, "origin.git"), Poll: 100 * time.Millisecond, GitTenant: &tenantsync.Git{CA: ca, Previews: true},
	}
	e := startStore(t, store)
	e.AwaitMirrored(t)
	e.Want(id)
	e.AwaitContent(t, id, "i.html", "good")
	e.Await(t, "it is recorded", func() bool { _, ok := e.Serving(id); return ok })
	p.Deploy(t, storetest.Tree{"i.html": "bad again", "i.wasm": "broken"})

	second := join(t, store, link(e)) // which is ready when it serves what the other does
	second.AwaitMirrored(t)
	if got, ok := second.Serving(id); !ok || got.Sum() != must(e.Serving(id)).Sum() {
		t.Errorf("served %+v", got)
	}
}

func TestLastGoodPreview(t *testing.T) {
	p := newGitPlace(t)
	p.url = "file://" + p.bare
	p.Deploy(t, storetest.Tree{"alice/i.html": "main"})
	first := p.branch(t, "preview/red", "main", storetest.Tree{"alice/i.html": "red"})
	p.branch(t, "preview/red", first, storetest.Tree{"alice/i.html": "red2", "alice/i.wasm": "broken"})
	p.branch(t, "preview/blue", "main", storetest.Tree{"alice/i.wasm": "broken"})
	store := p.Store()
	store.Git.Previews = true
	e := startStore(t, store)
	e.AwaitContent(t, red, "i.html", "red")
	e.AwaitMirrored(t)
	if got := e.Content(alice+"/.preview/blue", "i.html"); got != "" { // what the branch has of main is no preview
		t.Errorf("a preview without a good state shows %q", got)
	}
}

// TestLastGoodSigned: where only signed commits go live, an unsigned one keeps no new edge
// from the last that was signed.
func TestLastGoodSigned(t *testing.T) {
	p := newGitPlace(t)
	p.url = "file://" + p.bare
	key, public := sshKey(t, "ed25519")
	p.signedPush(t, key, storetest.Tree{"alice/i.html": "signed"})
	p.Deploy(t, storetest.Tree{"alice/i.html": "forged"})
	p.Deploy(t, storetest.Tree{"alice/i.html": "forged again"})
	store := p.Store()
	store.Git.AllowedSigners = writeFile(t, "* "+public)
	e := startStore(t, store)
	e.AwaitContent(t, alice, "i.html", "signed")
	e.AwaitLook(t, 2)
	if st := e.Status().Stores[0]; !strings.Contains(st.Refused, "is not taken") || e.Content(alice, "i.html") != "signed" {
		t.Errorf("store %+v", st)
	}
}

// linked are the peers of an edge, without a lattice between them.
type linked struct {
	known chan struct{}
	edges []*storetest.Edge
	fail  error
	asked chan struct{} // a token for each object
}

func link(edges ...*storetest.Edge) *linked {
	return &linked{known: make(chan struct{}), edges: edges, asked: make(chan struct{}, 1000)}
}

func (l *linked) Known() <-chan struct{} { return l.known }

func (l *linked) Open(_ context.Context, id tenant.ID, content, object tenant.Hash) (io.ReadCloser, error) {
	l.asked <- struct{}{}
	err := l.fail
	for _, e := range l.edges {
		if err == nil {
			var r io.ReadCloser
			if r, _, err = e.OpenServed(id, content, object); err == nil {
				return r, nil
			}
		}
	}
	return nil, err
}

// offer does what package fleet does: it compares, and offers what differs.
func (l *linked) offer(e *storetest.Edge) {
	for _, peer := range l.edges {
		e.Offer(peer.Served("", func(int) bool { return true }))
	}
}

// join starts a new edge that has a peer.
func join(t *testing.T, store tenantsync.Store, l *linked) *storetest.Edge {
	t.Helper()
	e := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{store}, Peers: l})
	l.offer(e)
	close(l.known)
	return e
}

// TestLastGoodReleaseOfPeers: what the folder no longer has comes from a peer, whole and checked.
func TestLastGoodReleaseOfPeers(t *testing.T) {
	p := newFolderPlace(t)
	large := strings.Repeat("0123456789", 100_000)
	p.Deploy(t, storetest.Tree{"alice/i.html": "good", "alice/large": large, "alice/copy": "good", "bob/i.html": "b"})
	first := startStore(t, p.Store())
	first.AwaitContent(t, alice, "i.html", "good")
	first.Await(t, "it is recorded", func() bool { return releases(t, first) == 1 })
	p.Deploy(t, storetest.Tree{"alice/i.html": "bad", "alice/i.wasm": "broken", "bob/i.html": "b2"})
	first.AwaitRefusal(t, alice)
	want, _ := first.Serving(alice)

	e := join(t, p.Store(), link(first))
	e.AwaitMirrored(t)
	got, ok := e.Serving(alice)
	if !ok || got.Sum() != want.Sum() || got.Revision != want.Revision || !got.Time.Equal(want.Time) || e.Content(alice, "large") != large {
		t.Errorf("served %+v, want %+v", got, want)
	}
	if st, _ := e.Tenant(alice); st.Refused == nil || e.Content(bob, "i.html") != "b2" {
		t.Errorf("status %+v", st)
	}

	// A choice is over what the folder has, not over what is served instead.
	check(t, e.Rollback(t.Context(), alice, want.Revision, tenant.Pin{At: time.Now()}))
	if got := must(e.Serving(alice)); !got.Pinned() {
		t.Errorf("pinned to what is served: %+v", got)
	}

	// A peer that lies, has nothing, or fails holds up nothing else.
	for name, fail := range map[string]error{"damaged": nil, "gone": errors.New("gone")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := newFolderPlace(t)
			other.Deploy(t, storetest.Tree{"alice/i.wasm": "broken", "bob/i.html": "b3"})
			l := link(first)
			l.fail = fail
			lied := want
			lied.Content[0] ^= 1
			e := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{other.Store()}, Peers: l})
			e.Offer([]tenant.Served{lied})
			close(l.known)
			e.AwaitContent(t, bob, "i.html", "b3")
			<-l.asked
			e.AwaitMirrored(t)
			if _, ok := e.Serving(alice); ok {
				t.Error("something is served")
			}
		})
	}
}

const bob = tenant.ID("/t/bob")

// TestPinsOfPeers: an edge that is new, or was away, serves what the operator chose, and
// never for a moment what was rolled back if it is new.
func TestPinsOfPeers(t *testing.T) {
	for kind, newPlace := range map[string]func() storetest.Place{
		"folder": func() storetest.Place { return newFolderPlace(t) },
		"git":    func() storetest.Place { p := newGitPlace(t); p.url = "file://" + p.bare; return p },
	} {
		t.Run(kind, func(t *testing.T) {
			p := newPlace()
			p.Deploy(t, storetest.Tree{"alice/i.html": "good", "bob/i.html": "b"})
			first := startStore(t, p.Store())
			first.AwaitContent(t, alice, "i.html", "good")
			first.Await(t, "it is recorded", func() bool { return releases(t, first) == 1 })
			good, _ := first.Serving(alice)
			p.Deploy(t, storetest.Tree{"alice/i.html": "bad", "bob/i.html": "b"})
			first.AwaitContent(t, alice, "i.html", "bad")
			first.Await(t, "it is recorded", func() bool { return releases(t, first) == 2 })

			l := link(first)
			away := tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{p.Store()}, Peers: l}
			e := storetest.Start(t, away)
			close(l.known)
			e.AwaitContent(t, alice, "i.html", "bad")
			e.Await(t, "it is recorded", func() bool { return releases(t, e) == 1 })
			e.Stop(t)

			check(t, first.Rollback(t.Context(), alice, good.Revision, tenant.Pin{By: "op", Edge: "ams1", At: time.Now()}))
			pinned := func(e *storetest.Edge) {
				t.Helper()
				e.Await(t, "the pin", func() bool { st, _ := e.Tenant(alice); return st.Live != nil && st.Live.Pinned })
				if st, _ := e.Tenant(alice); st.Live.Pin.By != "op" || st.Live.Revision != good.Revision || e.Content(alice, "i.html") != "good" {
					t.Errorf("live %+v, pin %+v", st.Live, st.Live.Pin)
				}
				if mine, _ := e.Serving(alice); mine.Sum() != must(first.Serving(alice)).Sum() {
					t.Error("the edges do not agree")
				}
			}
			e = join(t, p.Store(), link(first))
			e.AwaitMirrored(t)
			pinned(e)
			bad := must(first.Serving(alice)).Pin.Over
			for _, event := range e.Events() {
				if event.ID == alice && event.Snapshot.Files["i.html"].Hash != must2(good, e).Hash {
					t.Errorf("%s was live", event.Snapshot.Revision)
				}
			}
			l = link(first)
			away.Peers = l
			back := storetest.Start(t, away)
			l.offer(back)
			close(l.known)
			back.AwaitMirrored(t)
			pinned(back)
			back.Offer([]tenant.Served{{ID: alice, Revision: "0000000", Content: bad, Time: time.Now()}}) // no choice, and no reason
			back.AwaitLook(t, 2)
			pinned(back)

			p.Deploy(t, storetest.Tree{"alice/i.html": "better", "bob/i.html": "b"})
			for _, one := range []*storetest.Edge{first, e, back} {
				one.AwaitContent(t, alice, "i.html", "better")
			}
			// The choice that has ended comes to nothing when an edge still tells of it.
			e.Offer([]tenant.Served{must(first.Serving(alice)), {ID: alice, Revision: good.Revision, Content: good.Content, Pin: &tenant.Pin{Over: bad, At: time.Now()}}})
			e.AwaitLook(t, 3)
			if got := e.Content(alice, "i.html"); got != "better" {
				t.Errorf("%q is live", got)
			}
		})
	}
}

func must(s tenant.Served, ok bool) tenant.Served {
	if !ok {
		panic("nothing is served")
	}
	return s
}

func must2(s tenant.Served, e *storetest.Edge) tenant.File { return e.Live()[s.ID].Files["i.html"] }

// TestDifferenceIsReadAgain: what peers serve otherwise, without a reason that is known
// here, has a mounted folder's content read again.
func TestDifferenceIsReadAgain(t *testing.T) {
	o := folderOptions(t)
	o.Stores[0].Folder.Settle = settle
	e, under := mountedEdge(t, o, true)
	swap(t, filepath.Join(under, "i.html"), "other")
	e.Offer([]tenant.Served{{ID: alice, Revision: "other", Content: tenant.Hash{1}}})
	e.AwaitContent(t, alice, "i.html", "other")
}

// TestServedSums: equal sums mean equal releases, at any edge.
func TestServedSums(t *testing.T) {
	p := newFolderPlace(t)
	tree := storetest.Tree{}
	for i := range 20 {
		tree[fmt.Sprintf("t%d/i.html", i)] = "1"
	}
	p.Deploy(t, tree)
	a, b := startStore(t, p.Store()), startStore(t, p.Store())
	equal := func() bool {
		x, y := a.ServedStores()[0], b.ServedStores()[0]
		return x.Tenants == 20 && x.Sum() == y.Sum() && x == y
	}
	a.Await(t, "equal sums", equal)
	tree["t7/i.html"] = "2"
	p.Deploy(t, tree)
	a.AwaitContent(t, "/t/t7", "i.html", "2")
	b.AwaitContent(t, "/t/t7", "i.html", "2")
	a.Await(t, "equal sums", equal)
	check(t, a.Rollback(t.Context(), "/t/t7", a.Live()["/t/t7"].Revision, tenant.Pin{At: time.Now()}))
	if equal() {
		t.Error("a choice makes no difference")
	}
	x, y := a.ServedStores()[0], b.ServedStores()[0]
	for i := range x.Buckets {
		if (x.Buckets[i] != y.Buckets[i]) != (i == tenant.ID("/t/t7").Bucket()) {
			t.Errorf("bucket %d", i)
		}
	}
}
