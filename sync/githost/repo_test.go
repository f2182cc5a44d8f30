package githost

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/dirlock"
)

// TestCompact: packs become one, and nothing is lost.
func TestCompact(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("wants git")
	}
	ctx, dir := t.Context(), t.TempDir()
	h := &Host{o: Options{Dir: dir}, opened: map[string]*repo{}}
	var err error
	if h.lock, err = dirlock.Take(dir); err != nil {
		t.Fatal(err)
	}
	defer h.lock.Release() //nolint:errcheck // a test
	r := &repo{Repo: Repo{Prefix: "/git/", Branch: "main"}, dir: Dir(dir, "/git/")}
	must := func(out []byte, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	if err := h.open(ctx, r); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		load := h.command(ctx, r, "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet")
		head := ""
		if out, err := h.git(ctx, r, "rev-parse", "--verify", "--quiet", "refs/heads/main"); err == nil {
			head = "from " + strings.TrimSpace(string(out)) + "\n"
		}
		load.Stdin = strings.NewReader("commit refs/heads/main\ncommitter a <a@example.net> 1700000000 +0000\ndata 1\nx\n" + head + "M 100644 inline alice/i\ndata 1\nx\n")
		must(output(load))
	}
	if _, packs := r.size(); packs != 3 {
		t.Fatalf("%d packs before", packs)
	}
	h.log = slog.New(slog.DiscardHandler)
	h.compact(ctx, r)
	size, packs := r.size()
	if n := must(h.git(ctx, r, "rev-list", "--count", "refs/heads/main")); packs != 1 || size == 0 || n != "3" {
		t.Errorf("after it: %d packs, %d bytes, %s commits", packs, size, n)
	}
	must(h.git(ctx, r, "fsck", "--full"))
}

// TestTidy: what a killed process leaves is removed, and nothing else.
func TestTidy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := map[string]bool{
		"refs/heads/main": true, "refs/heads/main.lock": false, "refs/heads/preview/incoming-1": true, "packed-refs.lock": false, "gc.pid": false,
		"objects/incoming-x/pack/tmp_pack": false, "objects/pack/tmp_idx_1": false, "objects/pack/.tmp-1-pack-2.pack": false, "objects/pack/pack-1.pack": true,
		"objects/ab/cdef": true, "HEAD": true, "HEAD.lock": false, "config": true,
	}
	for name := range want {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 40), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := tidy(dir); err != nil {
		t.Fatal(err)
	}
	for name, stays := range want {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != stays {
			t.Errorf("%s: %v, want it there: %t", name, err, stays)
		}
	}
	if err := tidy(filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
}
