package sync_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
	"github.com/terrane/terrane/tenant"
)

// TestRollback: an earlier release is live at once, stays so over looks and
// restarts, and gives way to the next push.
func TestRollback(t *testing.T) {
	for name, place := range map[string]func() storetest.Place{
		"folder": func() storetest.Place { return newFolderPlace(t) },
		"git": func() storetest.Place {
			p := newGitPlace(t)
			p.url = "file://" + p.bare
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := place()
			o := tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{p.Store()}}
			p.Deploy(t, storetest.Tree{"alice/i.html": "1", "bob/i.html": "b"})
			e := storetest.Start(t, o)
			e.AwaitContent(t, alice, "i.html", "1")
			first := e.Live()[alice].Revision
			e.Await(t, "it is recorded", func() bool { return releases(t, e) == 1 })
			p.Deploy(t, storetest.Tree{"alice/i.html": "2", "bob/i.html": "b"})
			e.AwaitContent(t, alice, "i.html", "2")
			e.Await(t, "it is recorded", func() bool {
				st, _ := e.Tenant(alice)
				return releases(t, e) == 2 && st.Live.Revision != first
			})

			check(t, e.Rollback(t.Context(), alice, first[:8], tenant.Pin{By: "op", At: time.Now()}))
			e.AwaitLook(t, 2)
			if got := e.Content(alice, "i.html"); got != "1" {
				t.Errorf("after a rollback, %q is live", got)
			}
			if list, err := e.Releases(alice); err != nil || len(list) != 2 || !list[0].Live || list[1].Live || list[0].Since.IsZero() || !list[1].Since.IsZero() ||
				list[0].Pin == nil || list[0].Pin.By != "op" || list[0].Pin.Over != list[1].Content || list[1].Pinned {
				t.Errorf("releases %+v, %v: want two, when the first went live, and who pinned it", list, err)
			}
			if st, _ := e.Tenant(alice); !st.Live.Pinned || st.Live.Revision != first || st.Refused != nil {
				t.Errorf("status %+v", st)
			}
			e.Stop(t)
			e = storetest.Start(t, o)
			e.AwaitMirrored(t)
			e.AwaitLook(t, 2)
			if got := e.Content(alice, "i.html"); got != "1" {
				t.Errorf("after a restart, %q is live", got)
			}
			p.Deploy(t, storetest.Tree{"alice/i.html": "3", "bob/i.html": "b"})
			e.AwaitContent(t, alice, "i.html", "3")

			for rev, want := range map[string]string{"0000000": "not known", "12": "at least 7"} {
				if err := e.Rollback(t.Context(), "/t/bob", tenant.Revision(rev), tenant.Pin{}); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Rollback(%s) = %v, want %q", rev, err, want)
				}
			}
			if _, err := e.Releases("/t/nobody"); !errors.Is(err, tenantsync.ErrUnknown) {
				t.Errorf("Releases of nobody: %v", err)
			}
			if err := e.Rollback(t.Context(), "/t/nobody", first, tenant.Pin{}); !errors.Is(err, tenantsync.ErrUnknown) {
				t.Errorf("Rollback of nobody = %v", err)
			}
			e.Stop(t)
			if err := e.Rollback(t.Context(), alice, first, tenant.Pin{}); err == nil {
				t.Error("rolled back after the end")
			}
		})
	}
}

func releases(t *testing.T, e *storetest.Edge) int {
	t.Helper()
	list, err := e.Releases(alice)
	check(t, err)
	return len(list)
}

// TestProgress: what is awaited is live when all that came with it is.
func TestProgress(t *testing.T) {
	head, old, alone := "1111111aaaa", "2222222bbbb", "3333333cccc"
	now := time.Now()
	status := func(pending int, refusal string, tenants ...tenantsync.TenantStatus) *tenantsync.Status {
		st := tenantsync.StoreStatus{Prefix: "/t/", Kind: "git", Head: head, HeadSince: now, Pending: pending, Refused: refusal}
		if refusal != "" {
			st.NotTaken = map[tenant.Revision]string{tenant.Revision(alone): refusal}
		}
		return &tenantsync.Status{Stores: []tenantsync.StoreStatus{st}, Tenants: tenants}
	}
	live := func(id tenant.ID, rev string) tenantsync.TenantStatus {
		return tenantsync.TenantStatus{ID: id, Live: &tenantsync.Release{Revision: tenant.Revision(rev)}}
	}
	refused := func(rev string, at time.Time, retry bool) tenantsync.TenantStatus {
		return tenantsync.TenantStatus{ID: "/t/bob", Refused: &tenantsync.Refusal{Revision: tenant.Revision(rev), Time: at, Reason: "b.wasm: no", Retry: retry}}
	}
	for name, tt := range map[string]struct {
		status *tenantsync.Status
		rev    string
		live   bool
		err    string
	}{
		"the head":                    {status(0, "", live(alice, old)), head[:7], true, ""},
		"pending":                     {status(1, "", live(alice, head)), head, false, ""},
		"an older one of a tenant":    {status(0, "", live(alice, old)), old, true, ""},
		"unknown":                     {status(0, "", live(alice, old)), alone, false, ""},
		"refused":                     {status(0, "", live(alice, head), refused(head, now, false)), head, false, "/t/bob: b.wasm: no"},
		"refused, came with the head": {status(0, "", refused(old, now, false)), head, false, "/t/bob: b.wasm: no"},
		"refused long ago":            {status(0, "", refused(old, now.Add(-time.Hour), false)), head, true, ""},
		"tried again":                 {status(0, "", refused(head, now, true)), head, false, ""},
		"not followed":                {status(0, "commit "+alone+" is not taken: it is not signed"), alone, false, "not signed"},
		"named by another's refusal":  {status(0, "commit "+alone+" is not taken: it does not come after "+old, live(alice, old)), old, true, ""},
		"too short":                   {status(0, ""), "11", false, "at least 7"},
	} {
		got, err := tt.status.Progress(tenant.Revision(tt.rev))
		if got != tt.live || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, %v; want %v, %q", name, got, err, tt.live, tt.err)
		}
	}
}

// TestProgressOfOwnRepositories: names that begin alike are kept apart, and previews counted.
func TestProgressOfOwnRepositories(t *testing.T) {
	repo := func(prefix, head string, notTaken map[tenant.Revision]string) tenantsync.StoreStatus {
		return tenantsync.StoreStatus{Prefix: prefix, Kind: "git-tenant", Head: head, HeadSince: time.Unix(1, 0), NotTaken: notTaken}
	}
	refused := tenantsync.Refusal{Revision: "2222222", Time: time.Now(), Reason: "no"}
	s := &tenantsync.Status{
		Stores: []tenantsync.StoreStatus{repo("https://h/a", "1111111", map[tenant.Revision]string{"4444444": "commit 4444444 is not taken"}), repo("https://h/ab", "2222222", nil)},
		Tenants: []tenantsync.TenantStatus{
			{ID: "https://h/a"}, {ID: "https://h/a/.preview/red", Live: &tenantsync.Release{Revision: "3333333"}},
			{ID: "https://h/ab", Refused: &refused},
		},
	}
	for rev, want := range map[tenant.Revision]string{"1111111": "", "2222222": "https://h/ab: no", "3333333": "", "4444444": "is not taken"} {
		if live, err := s.Progress(rev); live != (want == "") || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %q", rev, live, err, want)
		}
	}
}

// TestProgressIsNotAhead: a commit that came while an earlier one was being published is
// not called live in between.
func TestProgressIsNotAhead(t *testing.T) {
	p := newGitPlace(t)
	p.url = "file://" + p.bare
	store := p.Store()
	store.Poll = time.Hour
	free := make(chan struct{})
	rec := &storetest.Recorder{Hold: func(ctx context.Context, _ *tenant.Snapshot) error {
		select {
		case <-free:
		case <-ctx.Done():
		}
		return ctx.Err()
	}}
	p.Deploy(t, storetest.Tree{"alice/i.html": "1"})
	e := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{store}, Publisher: rec})
	e.Await(t, "the first commit is being published", func() bool { return e.Status().Stores[0].Pending == 1 })
	p.Deploy(t, storetest.Tree{"alice/i.html": "2"})
	head := git(t, p.work, "rev-parse", "HEAD")
	e.Nudge("")
	e.Await(t, "the second commit is seen", func() bool { return e.Status().Stores[0].Head == head })
	close(free)
	for live := false; !live; {
		status := e.Status()
		var err error
		if live, err = status.Progress(tenant.Revision(head)); err != nil {
			t.Fatal(err)
		}
	}
	if got := e.Content(alice, "i.html"); got != "2" {
		t.Errorf("%s is called live, and %q is", head, got)
	}
}
