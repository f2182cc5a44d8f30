package sync_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
)

const settle = 20 * time.Millisecond

// section is a custom section of n bytes in all.
func section(n int) string {
	return "\x00" + string([]byte{byte(n-3)&0x7f | 0x80, byte((n - 3) >> 7)}) + strings.Repeat("\x00", n-3)
}

func folderEdge(t *testing.T, dir string) *storetest.Edge {
	t.Helper()
	e := storetest.Start(t, tenantsync.Options{
		Data: t.TempDir(),
		Stores: []tenantsync.Store{{
			Prefix: "/t/", Poll: 10 * time.Millisecond, Folder: &tenantsync.Folder{Path: dir, Settle: settle},
		}},
	})
	return e
}

// linger lets the edge look for longer than it waits for anything.
func linger(t *testing.T, e *storetest.Edge) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < 15*settle; {
		e.AwaitLook(t, 1)
	}
}

// TestHalfCopied: whatever way a module is copied, only the old and the new one
// are ever published.
func TestHalfCopied(t *testing.T) {
	whole := storetest.Module + section(1000) + section(1000)
	old := storetest.Module + section(500)
	patterns := []struct {
		name  string
		lease bool // only a lease tells
		copy  func(t *testing.T, path string, pause func())
	}{
		{"stall", false, func(t *testing.T, path string, pause func()) {
			f := create(t, path)
			write(t, f, whole[:1500])
			pause()
			write(t, f, whole[1500:])
			check(t, f.Close())
		}},
		{"stall at a section boundary", true, func(t *testing.T, path string, pause func()) {
			f := create(t, path)
			write(t, f, whole[:1008])
			pause()
			write(t, f, whole[1008:])
			check(t, f.Close())
		}},
		{"stall before the first byte", false, func(t *testing.T, path string, pause func()) {
			f := create(t, path)
			pause()
			write(t, f, whole)
			check(t, f.Close())
		}},
		{"preallocated", false, func(t *testing.T, path string, pause func()) {
			f := create(t, path)
			check(t, f.Truncate(int64(len(whole))))
			pause()
			write(t, f, whole)
			check(t, f.Close())
		}},
		{"in place", true, func(t *testing.T, path string, pause func()) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			check(t, err)
			write(t, f, storetest.Module+section(300))
			pause()
			check(t, f.Truncate(0))
			_, err = f.Seek(0, 0)
			check(t, err)
			write(t, f, whole)
			check(t, f.Close())
		}},
		{"rename", false, func(t *testing.T, path string, pause func()) {
			check(t, os.WriteFile(path+".part", []byte(whole[:1500]), 0o644))
			check(t, os.Rename(path+".part", filepath.Dir(path)+"/.part"))
			pause()
			check(t, os.WriteFile(filepath.Dir(path)+"/.part", []byte(whole), 0o644))
			check(t, os.Rename(filepath.Dir(path)+"/.part", path))
		}},
		{"companion", false, func(t *testing.T, path string, pause func()) {
			sum := sha256.Sum256([]byte(whole))
			check(t, os.WriteFile(path+".sha256", []byte(hex.EncodeToString(sum[:])+"  index.wasm\n"), 0o644))
			check(t, os.WriteFile(path, []byte(whole[:1008]), 0o644))
			pause()
			check(t, os.WriteFile(path, []byte(whole), 0o644))
		}},
	}
	for _, remote := range []bool{false, true} {
		for _, p := range patterns {
			t.Run(fmt.Sprintf("%s/remote=%v", p.name, remote), func(t *testing.T) {
				if remote && p.lease {
					t.Skip("only a lease tells, and here is none: documented")
				}
				t.Parallel()
				dir := t.TempDir()
				if remote {
					mount(t, dir, "ramfs", "")
				}
				path := filepath.Join(dir, "alice", "index.wasm")
				check(t, os.Mkdir(filepath.Dir(path), 0o755))
				check(t, os.WriteFile(path, []byte(old), 0o644))
				e := folderEdge(t, dir)
				e.AwaitContent(t, alice, "index.wasm", old)
				pause := func() { linger(t, e) }
				if p.name == "companion" || remote { // judged as it is after a while: refused, or in no release
					pause = func() { e.AwaitLook(t, 3) }
				}
				p.copy(t, path, pause)
				e.AwaitContent(t, alice, "index.wasm", whole)
				for _, ev := range e.Events() {
					if h := ev.Snapshot.Files["index.wasm"].Hash; h != sha256.Sum256([]byte(whole)) && h != sha256.Sum256([]byte(old)) {
						t.Errorf("a half-copied module was published: %+v", ev.Snapshot.Files)
					}
				}
			})
		}
	}
}

const alice = "/t/alice"

func create(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Create(path)
	check(t, err)
	return f
}

func write(t *testing.T, f *os.File, s string) {
	t.Helper()
	_, err := f.WriteString(s)
	check(t, err)
}

func mount(t *testing.T, dir, kind, data string) {
	t.Helper()
	err := unix.Mount(kind, dir, kind, 0, data)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV) {
		t.Skip("cannot mount: not root, or no " + kind)
	}
	check(t, err)
	t.Cleanup(func() { check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
}

// TestCompanionRefusal: a digest that never matches is the tenant's to mend.
func TestCompanionRefusal(t *testing.T) {
	dir := t.TempDir()
	syncTree(t, dir, storetest.Tree{"alice/i.html": "x", "alice/i.html.sha256": strings.Repeat("0", 64)})
	e := folderEdge(t, dir)
	if r := e.AwaitRefusal(t, alice); !strings.Contains(r.Reason, "i.html.sha256") {
		t.Errorf("refusal %+v", r)
	}
}

func TestOpenForWritingIsShown(t *testing.T) {
	dir := t.TempDir()
	syncTree(t, dir, storetest.Tree{"alice/log.txt": "x"})
	f, err := os.OpenFile(filepath.Join(dir, "alice/log.txt"), os.O_RDWR, 0)
	check(t, err)
	e := folderEdge(t, dir)
	e.Await(t, "the reason is shown", func() bool {
		st, _ := e.Tenant(alice)
		return strings.Contains(st.Waiting, "log.txt") && strings.Contains(st.Waiting, "open for writing")
	})
	check(t, f.Close())
	e.AwaitContent(t, alice, "log.txt", "x")
}

// TestSpecialFiles: nothing but regular files is opened.
func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	syncTree(t, dir, storetest.Tree{"alice/i.html": "a", "bob/i.html": "b", "carol/i.html": "c", "dan/i.html": "d"})
	check(t, syscall.Mkfifo(filepath.Join(dir, "alice/pipe"), 0o644))
	check(t, os.Symlink(filepath.Join(dir, "bob"), filepath.Join(dir, "eve")))
	check(t, os.WriteFile(filepath.Join(dir, "carol/\xff\xfe"), nil, 0o644))
	check(t, os.MkdirAll(filepath.Join(dir, "dan\x01"), 0o755))
	many := filepath.Join(dir, "frank")
	check(t, os.Mkdir(many, 0o755))
	for i := range 20_001 {
		check(t, os.WriteFile(filepath.Join(many, fmt.Sprintf(".%d", i)), nil, 0o644))
	}
	e := folderEdge(t, dir)
	e.AwaitContent(t, "/t/bob", "i.html", "b")
	e.AwaitContent(t, "/t/dan", "i.html", "d")
	for id, want := range map[string]string{"alice": "pipe", "carol": "UTF-8", "frank": "20000 files"} {
		e.Await(t, want, func() bool {
			for _, st := range e.Status().Tenants {
				if st.ID.Name() == id && st.Refused != nil {
					return strings.Contains(st.Refused.Reason, want)
				}
			}
			return false
		})
	}
	odd := e.Status().Stores[0].Odd
	if !strings.Contains(odd["eve"], "symlink") || !strings.Contains(odd["dan\x01"], "control character") {
		t.Errorf("odd: %q", odd)
	}
	if len(e.Live()) != 2 {
		t.Errorf("live: %v", e.Live())
	}
}

// TestPutInPlaceByRenames: a folder that is away for a moment is not taken down, one
// that stays away is.
func TestPutInPlaceByRenames(t *testing.T) {
	dir := t.TempDir()
	syncTree(t, dir, storetest.Tree{"alice/i.html": "1", "bob/i.html": "b"})
	e := folderEdge(t, dir)
	e.AwaitContent(t, alice, "i.html", "1")
	for i := range 5 {
		check(t, os.Mkdir(filepath.Join(dir, ".new"), 0o755))
		check(t, os.WriteFile(filepath.Join(dir, ".new/i.html"), []byte{byte('2' + i)}, 0o644))
		check(t, os.Rename(filepath.Join(dir, "alice"), filepath.Join(dir, ".old")))
		e.AwaitLook(t, 1)
		check(t, os.Rename(filepath.Join(dir, ".new"), filepath.Join(dir, "alice")))
		check(t, os.RemoveAll(filepath.Join(dir, ".old")))
		e.AwaitContent(t, alice, "i.html", string([]byte{byte('2' + i)}))
	}
	for _, ev := range e.Events() {
		if ev.Snapshot == nil {
			t.Errorf("%s was taken down for a moment", ev.ID)
		}
	}
	check(t, os.RemoveAll(filepath.Join(dir, "alice")))
	e.Await(t, "alice is gone", func() bool { return e.Live()[alice] == nil })
	syncTree(t, dir, storetest.Tree{"alice/i.html": "1", "bob/i.html": "b"})
	e.AwaitContent(t, alice, "i.html", "1")
}

// TestEventsAreOnlyHints: made at once with its files, by another mount, in a burst
// that no queue holds: a folder is found.
func TestEventsAreOnlyHints(t *testing.T) {
	t.Run("mkdir race", func(t *testing.T) {
		dir := t.TempDir()
		syncTree(t, dir, storetest.Tree{"bob/i.html": "b"})
		e := folderEdge(t, dir)
		for i := range 50 {
			sub := filepath.Join(dir, "alice", fmt.Sprint("d", i))
			check(t, os.MkdirAll(sub, 0o755))
			check(t, os.WriteFile(filepath.Join(sub, "f"), []byte("x"), 0o644))
		}
		e.AwaitContent(t, alice, "d49/f", "x")
		e.Await(t, "all are live", func() bool { return len(e.Live()[alice].Files) == 50 })
	})
	t.Run("burst", func(t *testing.T) {
		dir := t.TempDir()
		syncTree(t, dir, storetest.Tree{"alice/i.html": "a", "bob/i.html": "b"})
		e := folderEdge(t, dir)
		e.AwaitContent(t, alice, "i.html", "a")
		for i := range 20_000 {
			check(t, os.WriteFile(filepath.Join(dir, "bob", fmt.Sprint("f", i%100)), []byte{byte(i)}, 0o644))
		}
		check(t, os.WriteFile(filepath.Join(dir, "alice/i.html"), []byte("a2"), 0o644))
		e.AwaitContent(t, alice, "i.html", "a2")
		e.Await(t, "all are live", func() bool { return len(e.Live()["/t/bob"].Files) == 101 })
	})
	t.Run("overlay", func(t *testing.T) {
		top := t.TempDir()
		dirs := map[string]string{}
		for _, d := range []string{"lower", "upper", "work", "merged"} {
			dirs[d] = filepath.Join(top, d)
			check(t, os.Mkdir(dirs[d], 0o755))
		}
		syncTree(t, dirs["lower"], storetest.Tree{"alice/i.html": "a"})
		mount(t, dirs["merged"], "overlay",
			"lowerdir="+dirs["lower"]+",upperdir="+dirs["upper"]+",workdir="+dirs["work"])
		e := folderEdge(t, dirs["merged"])
		e.AwaitContent(t, alice, "i.html", "a")
		check(t, os.WriteFile(filepath.Join(dirs["lower"], "alice/i.html"), []byte("a2"), 0o644))
		e.AwaitContent(t, alice, "i.html", "a2")
	})
}

// TestEditors: saving by rename, with a backup and a swap file beside, as vim does.
func TestEditors(t *testing.T) {
	dir := t.TempDir()
	syncTree(t, dir, storetest.Tree{"alice/i.html": "1"})
	e := folderEdge(t, dir)
	e.AwaitContent(t, alice, "i.html", "1")
	file := filepath.Join(dir, "alice/i.html")
	check(t, os.WriteFile(filepath.Join(dir, "alice/.i.html.swp"), []byte("swap"), 0o644))
	check(t, os.Rename(file, file+"~"))
	check(t, os.WriteFile(file, []byte("2"), 0o644))
	check(t, os.Remove(file+"~"))
	e.AwaitContent(t, alice, "i.html", "2")
	if n := len(e.Live()[alice].Files); n != 1 {
		t.Errorf("%d files live, want 1", n)
	}
}
