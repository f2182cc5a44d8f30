package disktest_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/disktest"
)

func write(t *testing.T, dir, name string, flags int) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|flags, 0o600)
	if err == nil {
		_, err = f.WriteString("text")
	}
	if err == nil && flags == 0 {
		err = f.Sync()
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestSlow(t *testing.T) {
	d := disktest.NewSlow(t)
	d.Set(100 * time.Millisecond)
	for _, flags := range []int{0, os.O_SYNC} {
		before, begun := d.Syncs.Load(), time.Now()
		write(t, d.Dir, "file", flags)
		if took := time.Since(begun); took < 100*time.Millisecond || d.Syncs.Load() == before {
			t.Errorf("with %x it took %s", flags, took)
		}
	}
}

// TestLosing keeps what was synced, and loses the rest.
func TestLosing(t *testing.T) {
	d := disktest.NewLosing(t, t.TempDir(), 32<<20)
	write(t, d.Dir, "synced", 0)
	if err := os.WriteFile(filepath.Join(d.Dir, "lost"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	disktest.Cut(t, d)
	if text, err := os.ReadFile(filepath.Join(d.Dir, "synced")); err != nil || string(text) != "text" {
		t.Errorf("what was synced is %q, %v", text, err)
	}
	if text, err := os.ReadFile(filepath.Join(d.Dir, "lost")); err == nil && len(text) > 0 {
		t.Errorf("what was not synced is %q", text)
	}
}
