package sync_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/terrane/terrane/sync/storetest"
)

// TestClockJumps: what is newest is told by the origin's order and never by its clock,
// whatever that has said before: a machine that wakes up in 1970, or in 2099.
func TestClockJumps(t *testing.T) {
	years := []int{1970, 2099, 2001, 2038, 1999}
	t.Run("folder", func(t *testing.T) {
		dir := t.TempDir()
		e := folderEdge(t, dir)
		for i, year := range years {
			syncTree(t, dir, storetest.Tree{"alice/i.html": strconv.Itoa(i)})
			at := time.Date(year, 1, 2, 3, 4, 5, 6, time.UTC)
			for _, name := range []string{"alice/i.html", "alice", "."} {
				check(t, os.Chtimes(filepath.Join(dir, name), at, at))
			}
			e.AwaitContent(t, alice, "i.html", strconv.Itoa(i))
		}
		// The same size, and the time set back: only the inode's own time has changed.
		path := filepath.Join(dir, "alice/i.html")
		info, err := os.Stat(path)
		check(t, err)
		check(t, os.WriteFile(path, []byte("x"), 0o644))
		check(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		e.AwaitContent(t, alice, "i.html", "x")
	})
	t.Run("git", func(t *testing.T) {
		p, e, o := gitEdge(t)
		for i, year := range years {
			t.Setenv("GIT_COMMITTER_DATE", fmt.Sprintf("%d-01-02T03:04:05Z", max(year, 1971)))
			p.Deploy(t, storetest.Tree{"alice/i.html": strconv.Itoa(i), "bob/i.html": "b"})
			e.AwaitContent(t, alice, "i.html", strconv.Itoa(i))
		}
		e.Await(t, "it is recorded", func() bool { return releases(t, e) == 5 })
		e.Stop(t)
		p.Down(t)
		e = storetest.Start(t, o)
		e.AwaitMirrored(t)
		if got := e.Content(alice, "i.html"); got != "4" {
			t.Errorf("after a restart %q is live, want what was", got)
		}
	})
}
