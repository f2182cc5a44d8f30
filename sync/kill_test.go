package sync_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
)

// childEnv makes the test binary an edge on the folder it names.
const childEnv = "TERRANE_SYNC_CHILD"

func childOptions(dir string) tenantsync.Options {
	return tenantsync.Options{
		Data: filepath.Join(dir, "data"),
		Stores: []tenantsync.Store{{
			Prefix: "/t/", Poll: 10 * time.Millisecond,
			Folder: &tenantsync.Folder{Path: filepath.Join(dir, "store"), Settle: time.Millisecond},
		}},
	}
}

// child runs until it is killed, and prints each version that is live.
func child(dir string) {
	rec := &storetest.Recorder{}
	o := childOptions(dir)
	o.Publisher = rec
	s, err := tenantsync.New(o)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	rec.Files = tenantsync.NewFiles(o.Data)
	go func() {
		last := ""
		for range time.Tick(time.Millisecond) {
			st, _ := s.Tenant(alice)
			if st.Live != nil && st.Live.Revision != "" && string(st.Live.Revision) != last {
				last = string(st.Live.Revision)
				fmt.Println("live", strings.TrimSpace(rec.Content(alice, "version")))
			}
		}
	}()
	if err := s.Run(context.Background()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// TestKilled kills an edge at any moment of a deploy and looks at what the next
// one publishes while the store is away: always whole, never older than what was
// live. TERRANE_KILLS sets how often.
func TestKilled(t *testing.T) {
	kills := 15
	if n, err := strconv.Atoi(os.Getenv("TERRANE_KILLS")); err == nil {
		kills = n
	}
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	var version atomic.Int64
	put := func() {
		v := version.Add(1)
		fresh := filepath.Join(store, ".new")
		check(t, os.MkdirAll(fresh, 0o755))
		for _, name := range []string{"version", "copy", fmt.Sprint("only", v)} {
			check(t, os.WriteFile(filepath.Join(fresh, name), fmt.Appendf(nil, "%d\n", v), 0o644))
		}
		check(t, os.RemoveAll(filepath.Join(store, "alice")))
		check(t, os.Rename(fresh, filepath.Join(store, "alice")))
	}
	put()
	for range kills {
		seen := killOne(t, dir, put)
		check(t, os.Rename(store, store+".away"))
		e := storetest.Start(t, childOptions(dir))
		if seen > 0 {
			e.AwaitMirrored(t)
			got := e.Content(alice, "version")
			n, _ := strconv.ParseInt(strings.TrimSpace(got), 10, 64)
			if n < seen || got != e.Content(alice, "copy") || got != e.Content(alice, fmt.Sprint("only", n)) {
				t.Errorf("after %d was live, the mirror has version %q, copy %q", seen, got, e.Content(alice, "copy"))
			}
		}
		e.Stop(t)
		check(t, os.Rename(store+".away", store))
	}
}

// killOne runs a child, deploys to it as fast as it goes, and kills it. It returns
// the last version that the child called live.
func killOne(t *testing.T, dir string, put func()) int64 {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	lines := make(chan string)
	go func() {
		defer close(lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			lines <- sc.Text()
		}
	}()
	var seen int64
	var kill <-chan time.Time
	for {
		select {
		case <-kill:
			check(t, cmd.Process.Kill())
			kill = nil
		case line, ok := <-lines:
			if !ok {
				_ = cmd.Wait()
				return seen
			}
			n, err := strconv.ParseInt(strings.TrimPrefix(line, "live "), 10, 64)
			if err != nil {
				t.Errorf("child: %s", line)
			}
			seen = n
			if kill == nil {
				kill = time.After(time.Duration(rand.IntN(60_000)) * time.Microsecond)
			}
			put()
		}
	}
}

// TestOneEdgePerFolder: a second edge on the same data folder is refused and told
// who has it.
func TestOneEdgePerFolder(t *testing.T) {
	dir := t.TempDir()
	syncTree(t, filepath.Join(dir, "store"), storetest.Tree{"alice/i.html": "1"})
	e := storetest.Start(t, childOptions(dir))
	e.AwaitMirrored(t)
	o := childOptions(dir)
	o.Publisher = &storetest.Recorder{}
	s, err := tenantsync.New(o)
	check(t, err)
	err = s.Run(t.Context())
	if !errors.Is(err, tenantsync.ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("Run = %v, want ErrInUse with the pid", err)
	}
}

// TestMirrorDamaged: an object that rotted is found by its hash when the edge
// starts, and written anew from the origin; meanwhile an older release serves.
func TestMirrorDamaged(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"flipped": func(path string) error { return os.WriteFile(path, []byte("rot"), 0o600) },
		"missing": os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store := filepath.Join(dir, "store")
			syncTree(t, store, storetest.Tree{"alice/i.html": "1"})
			e := storetest.Start(t, childOptions(dir))
			e.AwaitContent(t, alice, "i.html", "1")
			e.Await(t, "status", func() bool { st, _ := e.Tenant(alice); return st.Live != nil })
			syncTree(t, store, storetest.Tree{"alice/i.html": "2"})
			e.AwaitContent(t, alice, "i.html", "2")
			hash := e.Live()[alice].Files["i.html"].Hash.String()
			e.Stop(t)
			object := filepath.Join(dir, "data/mirror/objects", hash[:2], hash)
			check(t, os.Chmod(object, 0o600))
			check(t, damage(object))

			check(t, os.Rename(store, store+".away"))
			e = storetest.Start(t, childOptions(dir))
			e.AwaitMirrored(t)
			if got := e.Content(alice, "i.html"); got != "1" {
				t.Errorf("with a damaged release, %q is live, want the one before it", got)
			}
			check(t, os.Rename(store+".away", store))
			e.AwaitContent(t, alice, "i.html", "2")
		})
	}
}

// TestMirrorDamagedWhileServing: a release that shares a file with one that rotted on disk
// goes live with the file as the origin has it.
func TestMirrorDamagedWhileServing(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	syncTree(t, store, storetest.Tree{"alice/i.html": "1", "alice/same": "same"})
	e := storetest.Start(t, childOptions(dir))
	e.AwaitContent(t, alice, "i.html", "1")
	hash := e.Live()[alice].Files["same"].Hash.String()
	object := filepath.Join(dir, "data/mirror/objects", hash[:2], hash)
	check(t, os.Chmod(object, 0o600))
	check(t, os.WriteFile(object, []byte("rot!"), 0o600))
	syncTree(t, store, storetest.Tree{"alice/i.html": "2", "alice/same": "same"})
	e.AwaitContent(t, alice, "i.html", "2")
	if got := e.Content(alice, "same"); got != "same" {
		t.Errorf("what was damaged is %q", got)
	}
}

// TestDiskFull: what does not fit is the edge's fault, what is live stays, and it is
// tried again.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	check(t, os.Mkdir(data, 0o755))
	mount(t, data, "tmpfs", "size=1m")
	store := filepath.Join(dir, "store")
	syncTree(t, store, storetest.Tree{"alice/i.html": "1", "bob/i.html": "b"})
	e := storetest.Start(t, childOptions(dir))
	e.AwaitContent(t, alice, "i.html", "1")
	check(t, os.WriteFile(filepath.Join(data, "hog"), make([]byte, 512<<10), 0o600))
	big := strings.Repeat("x", 700<<10)
	syncTree(t, store, storetest.Tree{"alice/i.html": big, "bob/i.html": "b"})
	if r := e.AwaitRefusal(t, alice); !r.Retry || !strings.Contains(r.Reason, "no space") {
		t.Errorf("refusal %+v", r)
	}
	syncTree(t, store, storetest.Tree{"alice/i.html": big, "bob/i.html": "b2"})
	e.AwaitContent(t, "/t/bob", "i.html", "b2")
	if e.Content(alice, "i.html") != "1" {
		t.Error("what was live is not")
	}
	check(t, os.Remove(filepath.Join(data, "hog")))
	e.AwaitContent(t, alice, "i.html", big)
	e.Stop(t) // before its disk goes
}

// TestReadOnlyData: an edge that cannot write says so and does not begin.
func TestReadOnlyData(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	check(t, os.Mkdir(data, 0o755))
	mount(t, data, "tmpfs", "size=1m")
	check(t, unix.Mount("", data, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	o := childOptions(dir)
	o.Publisher = &storetest.Recorder{}
	s, err := tenantsync.New(o)
	check(t, err)
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("Run = %v", err)
	}
}
