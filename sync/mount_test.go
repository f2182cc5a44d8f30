package sync_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/internal/disktest"
	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
	"github.com/terrane/terrane/tenant"
)

// mountedEdge follows a store on a local file system whose folder alice is a mount,
// and returns the folder that the mount shows.
func mountedEdge(t *testing.T, o tenantsync.Options, noCtime bool) (*storetest.Edge, string) {
	t.Helper()
	dir, under := o.Stores[0].Folder.Path, t.TempDir()
	syncTree(t, dir, storetest.Tree{"alice/here": "", "bob/i.html": "b"})
	syncTree(t, under, storetest.Tree{"i.html": "first"})
	disktest.MountForeign(t, under, filepath.Join(dir, "alice"), noCtime)
	e := storetest.Start(t, o)
	e.AwaitContent(t, alice, "i.html", "first")
	return e, under
}

func folderOptions(t *testing.T) tenantsync.Options {
	t.Helper()
	return tenantsync.Options{
		Data: t.TempDir(),
		Stores: []tenantsync.Store{{
			Prefix: "/t/", Poll: 10 * time.Millisecond, Folder: &tenantsync.Folder{Path: t.TempDir()},
		}},
	}
}

// TestHalfWrittenOnTenantsMount: a page that another machine is writing to a tenant's
// mount below a local root is taken as it is on a mounted store.
func TestHalfWrittenOnTenantsMount(t *testing.T) {
	e, under := mountedEdge(t, folderOptions(t), false)
	const pause = time.Second // far above what a local folder takes, below the 2 s of a mount
	for try := range 5 {
		begun, before := time.Now(), len(e.Events())
		f := create(t, filepath.Join(under, "i.html"))
		write(t, f, "half")
		for time.Since(begun) < pause/2 {
			e.AwaitLook(t, 1)
		}
		write(t, f, " and whole")
		late := time.Since(begun) > pause
		check(t, f.Close())
		e.AwaitContent(t, alice, "i.html", "half and whole")
		if late {
			t.Logf("try %d: the machine is slow, the copy paused for %v", try, time.Since(begun))
			syncTree(t, under, storetest.Tree{"i.html": "first"})
			e.AwaitContent(t, alice, "i.html", "first")
			continue
		}
		for _, ev := range e.Events()[before:] {
			if ev.ID == alice && ev.Snapshot != nil && ev.Snapshot.Files["i.html"].Size == int64(len("half")) {
				t.Error("half a page went live")
			}
		}
		return
	}
	t.Skip("the machine is too slow for a copy of a second")
}

// swap replaces a file by one of the same size and time, as rsync -t and cp -p do.
func swap(t *testing.T, path, content string) {
	t.Helper()
	info, err := os.Stat(path)
	check(t, err)
	next := filepath.Join(filepath.Dir(path), ".next")
	check(t, os.WriteFile(next, []byte(content), 0o644))
	check(t, os.Chtimes(next, info.ModTime(), info.ModTime()))
	check(t, os.Rename(next, path))
}

// TestSameSizeAndTimeOnMount: a page of the same size and time goes live at once where
// change times hint at it, and when the edge is asked to look or starts where they do not.
func TestSameSizeAndTimeOnMount(t *testing.T) {
	t.Run("running", func(t *testing.T) {
		t.Parallel()
		e, under := mountedEdge(t, folderOptions(t), false)
		swap(t, filepath.Join(under, "i.html"), "other")
		e.AwaitContent(t, alice, "i.html", "other")
	})
	t.Run("asked, restarted, refused", func(t *testing.T) {
		t.Parallel()
		o := folderOptions(t)
		o.Stores[0].Folder.Settle = settle
		e, under := mountedEdge(t, o, true)
		page := filepath.Join(under, "i.html")
		swap(t, page, "asked")
		e.Recheck(alice)
		e.AwaitContent(t, alice, "i.html", "asked")
		e.Stop(t)
		swap(t, page, "start")
		e = storetest.Start(t, o)
		e.AwaitContent(t, alice, "i.html", "start")
		e.Stop(t)
		e = storetest.Start(t, o) // what is live is not taken once more
		e.AwaitContent(t, alice, "i.html", "start")
		// A manifest is refused, and is put right without a trace.
		syncTree(t, under, storetest.Tree{"i.html": "start", "terrane.toml": "domains = [1, 2]\n"})
		e.AwaitRefusal(t, alice)
		swap(t, filepath.Join(under, "terrane.toml"), "domains = [    ]\n")
		e.Recheck(alice)
		e.Await(t, "the manifest is taken", func() bool {
			st, _ := e.Tenant(alice)
			_, ok := e.Live()[alice].Files["terrane.toml"]
			return ok && st.Refused == nil
		})
	})
}

// TestRollbackOutlivesRereading: reading the content that an operator went back from does
// not bring it back, also after a restart; other content does.
func TestRollbackOutlivesRereading(t *testing.T) {
	o := folderOptions(t)
	o.Stores[0].Folder.Settle = settle
	reg := prometheus.NewRegistry()
	o.Metrics = reg
	e, under := mountedEdge(t, o, true)
	swap(t, filepath.Join(under, "i.html"), "wrong")
	e.Recheck(alice)
	e.AwaitContent(t, alice, "i.html", "wrong")
	var first tenant.Revision
	e.Await(t, "it is recorded", func() bool {
		releases, err := e.Releases(alice)
		check(t, err)
		first = releases[len(releases)-1].Revision
		return len(releases) == 2
	})
	check(t, e.Rollback(t.Context(), alice, first, tenant.Pin{By: "test"}))
	for range 2 {
		before := reread(t, reg)
		e.Recheck(alice)
		e.Await(t, "it is read again", func() bool { return reread(t, reg) > before })
		e.AwaitLook(t, 3)
		if got := e.Content(alice, "i.html"); got != "first" {
			t.Fatalf("%q is live after a rollback to %q", got, "first")
		}
		e.Stop(t)
		reg = prometheus.NewRegistry()
		o.Metrics = reg
		e = storetest.Start(t, o)
		e.AwaitContent(t, alice, "i.html", "first")
	}
	swap(t, filepath.Join(under, "i.html"), "right")
	e.Recheck(alice)
	e.AwaitContent(t, alice, "i.html", "right")
}

// reread is how many bytes were read again.
func reread(t *testing.T, reg *prometheus.Registry) (n float64) {
	t.Helper()
	families, err := reg.Gather()
	check(t, err)
	for _, f := range families {
		if f.GetName() == "terrane_sync_reread_bytes_total" {
			for _, m := range f.GetMetric() {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}
