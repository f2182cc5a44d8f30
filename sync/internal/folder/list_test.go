package folder

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestListIsKeptWhileNothingChanges: what lies above tenants' folders is not read again
// while it is as it was, and is read when it is not, without any event.
func TestListIsKeptWhileNothingChanges(t *testing.T) {
	dir := t.TempDir()
	if !localDir(t, dir) {
		t.Skip("not a local file system")
	}
	add := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "i.html"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	add("a/alice")
	f := Open(t.Context(), Options{Path: dir, Depth: 2})
	if err := f.Close(); err != nil { // no event comes any more
		t.Fatal(err)
	}
	kept := func() bool {
		t.Helper()
		before := f.named
		if _, err := f.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		return before != nil && before == f.named
	}
	settle := func() {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !kept(); {
			if time.Now().After(deadline) {
				t.Fatal("the list is read each time")
			}
		}
	}
	settle()
	for _, change := range []func(){
		func() { add("a/bob") },
		func() { add("b/carol") },
		func() { _ = os.Rename(filepath.Join(dir, "a/bob"), filepath.Join(dir, "a/dan")) },
		func() { _ = os.RemoveAll(filepath.Join(dir, "b")) },
	} {
		change()
		if kept() {
			t.Error("a change was not seen")
		}
		settle()
	}
	names := []string{}
	for name := range f.named.Folders {
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"a/alice", "a/dan"}) {
		t.Errorf("names %q", names)
	}
}

func localDir(t *testing.T, dir string) bool {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // opened for reading
	return kindOf(d) == local
}
