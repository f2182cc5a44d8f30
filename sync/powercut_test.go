package sync_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/disktest"
	"github.com/terrane/terrane/sync/storetest"
)

// TestPowerCut cuts an edge's power: the disk must hold whole releases, and none older
// than what was live.
func TestPowerCut(t *testing.T) {
	cuts := 5
	if n, err := strconv.Atoi(os.Getenv("TERRANE_POWER_CUTS")); err == nil {
		cuts = n
	}
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	check(t, os.Mkdir(filepath.Join(dir, "data"), 0o755))
	disk := disktest.NewLosing(t, filepath.Join(dir, "data"), 32<<20)

	version := 0
	put := func() {
		version++
		fresh := filepath.Join(store, ".new")
		check(t, os.MkdirAll(fresh, 0o755))
		for _, name := range []string{"version", "copy", fmt.Sprint("only", version)} {
			check(t, os.WriteFile(filepath.Join(fresh, name), fmt.Appendf(nil, "%d\n", version), 0o644))
		}
		check(t, os.RemoveAll(filepath.Join(store, "alice")))
		check(t, os.Rename(fresh, filepath.Join(store, "alice")))
	}
	put()
	for range cuts {
		seen := killOne(t, dir, put)
		disktest.Cut(t, disk)

		check(t, os.Rename(store, store+".away"))
		e := storetest.Start(t, childOptions(dir))
		if seen > 0 {
			e.AwaitMirrored(t)
			got := e.Content(alice, "version")
			n, _ := strconv.ParseInt(strings.TrimSpace(got), 10, 64)
			if n < seen || got != e.Content(alice, "copy") || got != e.Content(alice, fmt.Sprint("only", n)) {
				t.Errorf("after %d was live, the disk has version %q, copy %q", seen, got, e.Content(alice, "copy"))
			}
		}
		e.Stop(t)
		check(t, os.Rename(store+".away", store))
	}
}
