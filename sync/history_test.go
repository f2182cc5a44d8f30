package sync_test

import (
	"errors"
	"strings"
	"testing"

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
			e.Await(t, "it is recorded", func() bool { return len(e.Releases(alice)) == 1 })
			p.Deploy(t, storetest.Tree{"alice/i.html": "2", "bob/i.html": "b"})
			e.AwaitContent(t, alice, "i.html", "2")
			e.Await(t, "it is recorded", func() bool {
				st, _ := e.Tenant(alice)
				return len(e.Releases(alice)) == 2 && st.Live.Revision != first
			})

			check(t, e.Rollback(t.Context(), alice, first[:8]))
			e.AwaitLook(t, 2)
			if got := e.Content(alice, "i.html"); got != "1" {
				t.Errorf("after a rollback, %q is live", got)
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
				if err := e.Rollback(t.Context(), "/t/bob", tenant.Revision(rev)); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Rollback(%s) = %v, want %q", rev, err, want)
				}
			}
			if err := e.Rollback(t.Context(), "/t/nobody", first); !errors.Is(err, tenantsync.ErrUnknown) {
				t.Errorf("Rollback of nobody = %v", err)
			}
			e.Stop(t)
			if err := e.Rollback(t.Context(), alice, first); err == nil {
				t.Error("rolled back after the end")
			}
		})
	}
}
