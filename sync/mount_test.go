package sync_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/disktest"
	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
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
