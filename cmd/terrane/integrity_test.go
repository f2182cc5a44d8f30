package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
)

// TestDamagedState flips a bit of the state of an edge that is down. It then says so
// wherever operators look, refuses writes, and is ready again when the loss was accepted.
func TestDamagedState(t *testing.T) {
	data := t.TempDir()
	start := func() *edgetest.Edge {
		return edgetest.Start(t, func(c *config.Config) { c.Edge.Data = data })
	}
	e := start()
	state := e.State("/sites/alice", false)
	for _, key := range []string{"first", "second", "third"} {
		if _, err := state.Put(t.Context(), key, []byte("the "+key), 0, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	backup := kv(t, e, "export")
	e.Stop()
	flipState(t, data, "the second")

	e = start()
	admin := "--admin=http://" + e.Admin.Addr().String()
	e.Await("readiness names the damage", func() bool {
		status, body := e.Get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "1 entries that were acknowledged are missing") && strings.Contains(body, "terrane lattice repair")
	})
	if st := e.Health.Status(); st.Losses != 0 {
		t.Errorf("the edge was ready before its state was compared: %+v", st)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"doctor", admin}, "Damaged state"},
		{[]string{"kv", "put", admin, "/sites/alice", "new", "value"}, "503 Service Unavailable"},
		{[]string{"kv", "get", admin, "/sites/alice", "second"}, "terrane lattice repair"},
		{[]string{"kv", "list", admin, "/sites/alice"}, "terrane lattice repair"},
		{[]string{"lattice", "repair", admin}, "--accept-loss"},
	} {
		out, err := terrane(t, c.args...)
		if err == nil || !strings.Contains(out+err.Error(), c.says) {
			t.Errorf("%q: %v, %q: want %q", c.args, err, out, c.says)
		}
	}
	if out, err := terrane(t, "kv", "get", admin, "/sites/alice", "third"); err != nil || out != "the third" {
		t.Errorf("what is there: %q, %v", out, err)
	}
	if out, err := terrane(t, "lattice", "repair", "--accept-loss", admin); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	e.Await("the edge is ready again", func() bool { status, _ := e.Get("/readyz"); return status == http.StatusOK })
	if got := kvImport(t, e, backup, ""); !strings.HasPrefix(got, "1 entries imported, 2 were there") {
		t.Errorf("import: %s", got)
	}
	if out, err := terrane(t, "kv", "get", admin, "/sites/alice", "second"); err != nil || out != "the second" {
		t.Errorf("what was imported: %q, %v", out, err)
	}
	if out, err := terrane(t, "lattice", "repair", admin); err != nil || !strings.Contains(out, "nothing is missing") {
		t.Errorf("a repair of nothing: %s, %v", out, err)
	}
}

// flipState flips a bit of a value in the files of an edge's state.
func flipState(t *testing.T, data, value string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "lattice", "jetstream", "$G", "streams", "KV_terrane_state", "msgs", "*.blk"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(text, []byte(value)); at >= 0 {
			text[at] ^= 1
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%q is in none of %q", value, files)
}
