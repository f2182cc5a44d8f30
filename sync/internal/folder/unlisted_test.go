package folder

import (
	"os"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/terrane/terrane/sync/internal/origin"
)

// TestUnlisted uses /proc, which like Keybase has folders that it does not list:
// those of threads.
func TestUnlisted(t *testing.T) {
	tids := make(chan int)
	done := make(chan struct{})
	defer close(done)
	thread := os.Getpid() // the main thread is listed
	for thread == os.Getpid() {
		go func() {
			runtime.LockOSThread()
			tids <- unix.Gettid()
			<-done
		}()
		thread = <-tids
	}
	name := strconv.Itoa(thread)
	root, err := os.OpenRoot("/proc")
	if err != nil {
		t.Skip("no /proc")
	}
	defer root.Close() //nolint:errcheck // opened for reading
	f := Open(t.Context(), Options{Path: "/proc", Wanted: func() []string { return []string{name, "nobody", "self", "a/b", "version"} }})
	defer f.Close() //nolint:errcheck // a test
	look := &origin.Look{Folders: map[string]string{}, Odd: map[string]string{}}
	if err := f.names(t.Context(), root, ".", 1, look); err != nil {
		t.Fatal(err)
	}
	if _, ok := look.Folders[name]; ok {
		t.Skip("this /proc lists threads")
	}
	listed := len(look.Folders)
	f.unlisted(root, look)
	if _, ok := look.Folders[name]; !ok || len(look.Folders) != listed+1 {
		t.Errorf("found %d folders more, want %s alone", len(look.Folders)-listed, name)
	}
}
