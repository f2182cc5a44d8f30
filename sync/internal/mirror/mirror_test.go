package mirror

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/tenant"
)

func commit(t *testing.T, m *Mirror, id tenant.ID, rev string, contents ...string) *Record {
	t.Helper()
	s := m.Stage()
	rec := &Record{ID: id, Revision: tenant.Revision(rev), Files: map[string]File{}}
	for _, c := range contents {
		f, err := s.Put(strings.NewReader(c), 100)
		if err != nil {
			t.Fatal(err)
		}
		rec.Files[c] = File{File: f}
	}
	if err := errors.Join(s.Commit(rec), s.Close()); err != nil {
		t.Fatal(err)
	}
	return rec
}

func promote(t *testing.T, m *Mirror, rec *Record) *Record {
	t.Helper()
	if err := m.Promote(rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

func open(t *testing.T, dir string) *Mirror {
	t.Helper()
	m, err := Open(dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func reopen(t *testing.T, m *Mirror) *Mirror {
	t.Helper()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, m.dir)
}

func objectCount(t *testing.T, m *Mirror) int {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(m.dir, objects, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(left)
}

func revisions(m *Mirror, id tenant.ID) (live string, fresh string) {
	recs, f := m.History(id)
	var all strings.Builder
	for _, r := range recs {
		all.WriteString(string(r.Revision))
	}
	live = all.String()
	if f != nil {
		fresh = string(f.Revision)
	}
	return live, fresh
}

func TestGarbage(t *testing.T) {
	m := open(t, t.TempDir())
	promote(t, m, commit(t, m, "/a", "1", "one", "shared"))
	promote(t, m, commit(t, m, "/b", "1", "shared", "b"))
	promote(t, m, commit(t, m, "/a", "2", "two"))
	if got := objectCount(t, m); got != 4 {
		t.Errorf("%d objects, want 4", got)
	}
	promote(t, m, commit(t, m, "/a", "3", "three"))
	if live, _ := revisions(m, "/a"); live != "23" {
		t.Errorf("releases %s are kept, want 23", live)
	}
	if got := objectCount(t, m); got != 4 { // shared, b, two, three
		t.Errorf("%d objects, want 4", got)
	}
	refused := commit(t, m, "/a", "4", "four", "three")
	if err := m.Drop(refused); err != nil {
		t.Fatal(err)
	}
	if got := objectCount(t, m); got != 4 {
		t.Errorf("%d objects after a refusal, want 4", got)
	}
	s := m.Stage()
	live, _ := m.History("/b")
	if !s.Reuse(live[0].Files["b"].Hash) {
		t.Error("a live object cannot be used again")
	}
	if err := m.Remove("/b"); err != nil {
		t.Fatal(err)
	}
	if got := objectCount(t, m); got != 3 { // the stage still holds b
		t.Errorf("%d objects with an open stage, want 3", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := objectCount(t, m); got != 2 {
		t.Errorf("%d objects, want 2", got)
	}
	m = reopen(t, m)
	if live, fresh := revisions(m, "/a"); live != "23" || fresh != "" || len(m.Tenants()) != 1 {
		t.Errorf("after reopening: %s, %s, %v", live, fresh, m.Tenants())
	}
}

// TestEveryStep makes each state of the disk that a kill can leave, and opens it.
func TestEveryStep(t *testing.T) {
	for name, tt := range map[string]struct {
		kill        func(t *testing.T, m *Mirror)
		live, fresh string
		objects     int
	}{
		"put": {func(t *testing.T, m *Mirror) {
			if _, err := m.Stage().Put(strings.NewReader("new"), 100); err != nil {
				t.Fatal(err)
			}
		}, "1", "", 1},
		"placed": {func(t *testing.T, m *Mirror) {
			s := m.Stage()
			_, err := s.Put(strings.NewReader("new"), 100)
			if err := errors.Join(err, s.place()); err != nil {
				t.Fatal(err)
			}
		}, "1", "", 1},
		"record half-written": {func(t *testing.T, m *Mirror) {
			rec := commit(t, m, "/a", "2", "new")
			if err := os.Truncate(m.recordPath(rec, newSuffix), 50); err != nil {
				t.Fatal(err)
			}
		}, "1", "", 1},
		"record empty": {func(t *testing.T, m *Mirror) {
			rec := promote(t, m, commit(t, m, "/a", "2", "new"))
			if err := os.Truncate(m.recordPath(rec, liveSuffix), 0); err != nil {
				t.Fatal(err)
			}
		}, "1", "", 1},
		"committed": {func(t *testing.T, m *Mirror) { commit(t, m, "/a", "2", "new") }, "1", "2", 2},
		"promoted":  {func(t *testing.T, m *Mirror) { promote(t, m, commit(t, m, "/a", "2", "new")) }, "12", "", 2},
		"strange file": {func(t *testing.T, m *Mirror) {
			rec := commit(t, m, "/a", "2", "new")
			if err := os.Rename(m.recordPath(rec, newSuffix), filepath.Join(m.dir, releases, dirName("/a"), "x.new")); err != nil {
				t.Fatal(err)
			}
		}, "1", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := open(t, t.TempDir())
			promote(t, m, commit(t, m, "/a", "1", "old"))
			tt.kill(t, m)
			m = reopen(t, m)
			if live, fresh := revisions(m, "/a"); live != tt.live || fresh != tt.fresh {
				t.Errorf("live %s, fresh %s; want %s, %s", live, fresh, tt.live, tt.fresh)
			}
			if got := objectCount(t, m); got != tt.objects {
				t.Errorf("%d objects, want %d", got, tt.objects)
			}
			recs, _ := m.History("/a")
			for _, rec := range recs {
				if err := m.Check(rec); err != nil {
					t.Error(err)
				}
			}
			promote(t, m, commit(t, m, "/a", "9", "next"))
			if live, _ := revisions(m, "/a"); !strings.HasSuffix(live, "9") {
				t.Errorf("after the next release: %s", live)
			}
		})
	}
}

func FuzzRecord(f *testing.F) {
	rec := &Record{ID: "/a", Revision: "1", Files: map[string]File{"x": {Key: "k"}}}
	data, err := rec.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if rec, err := decode(data); err == nil && rec == nil {
			t.Error("neither a record nor an error")
		}
	})
}
