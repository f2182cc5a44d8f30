package folder

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/terrane/terrane/internal/disktest"
	"github.com/terrane/terrane/tenant"
)

const patienceOfTests = 60 * time.Second

// store takes what a Folder finds, as the syncer does.
type store struct {
	f *Folder

	mu    sync.Mutex
	taken map[string]state // by folder
	reads map[string]int
}

type state struct {
	key     string
	content map[string]string // by file
	keys    map[string]string
}

func digest(files map[string]tenant.Hash) tenant.Hash {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := files[name]
		sum.Write(append([]byte(name), h[:]...))
	}
	return tenant.Hash(sum.Sum(nil))
}

func (s state) digest() tenant.Hash {
	files := map[string]tenant.Hash{}
	for name, content := range s.content {
		files[name] = sha256.Sum256([]byte(content))
	}
	return digest(files)
}

func follow(t *testing.T, dir string, o Reread) *store {
	t.Helper()
	s := &store{taken: map[string]state{}, reads: map[string]int{}}
	if o.Digest == nil {
		o.Digest = digest
	}
	o.Taken = func(name, key string) (tenant.Hash, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		st := s.taken[name]
		if st.key != key {
			return tenant.Hash{}, false
		}
		return st.digest(), true
	}
	o.Read = func(name string, _ int64, _ time.Duration, _ bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reads[name]++
	}
	s.f = Open(t.Context(), Options{Path: dir, Settle: 10 * time.Millisecond, Poll: 10 * time.Millisecond, Reread: o})
	t.Cleanup(func() {
		if err := s.f.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// look takes each folder that has another key. A file whose key was taken before is
// not read, as the mirror does it.
func (s *store) look(t *testing.T) {
	t.Helper()
	look, err := s.f.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range look.Folders {
		old := s.state(name)
		if key == "" || key == old.key {
			continue
		}
		listing, err := s.f.List(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		st := state{key: key, content: map[string]string{}, keys: map[string]string{}}
		for _, e := range listing.Files {
			st.keys[e.Path] = e.Key
			if old.keys[e.Path] == e.Key {
				st.content[e.Path] = old.content[e.Path]
				continue
			}
			r, err := e.Open()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Close()
			st.content[e.Path] = string(data)
		}
		if err := listing.Settled(); err != nil {
			continue
		}
		s.mu.Lock()
		s.taken[name] = st
		s.mu.Unlock()
	}
}

func (s *store) state(name string) state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken[name]
}

func (s *store) readings(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads[name]
}

// await looks until cond holds.
func (s *store) await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patienceOfTests); ; {
		s.look(t)
		if cond() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not seen: %s", what)
		}
	}
}

// swap replaces a file by one of the same size and time, as rsync -t and cp -p do.
func swap(t *testing.T, path, content string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(filepath.Dir(path), ".next")
	put(t, next, content)
	if err := os.Chtimes(next, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
	if now, err := os.Stat(path); err != nil || now.Size() != info.Size() || !now.ModTime().Equal(info.ModTime()) {
		t.Fatalf("the test changes size or time: %v", err)
	}
}

func unbounded() *rate.Limiter { return rate.NewLimiter(rate.Inf, RereadBurst) }

// TestSameSizeAndTime: a file of the same size and time is found on a mounted store,
// whatever reason there is to read it again.
func TestSameSizeAndTime(t *testing.T) {
	for _, tt := range []struct {
		name    string
		noCtime bool // as sshfs
		every   time.Duration
		ask     bool
	}{
		{"pass", true, 50 * time.Millisecond, false},
		{"change time as a hint", false, time.Hour, false},
		{"asked for", true, time.Hour, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, under := t.TempDir(), t.TempDir()
			put(t, filepath.Join(under, "alice/i.html"), "old page")
			put(t, filepath.Join(under, "alice/style.css"), "p {}")
			disktest.MountForeign(t, under, dir, tt.noCtime)
			s := follow(t, dir, Reread{Budget: unbounded(), Every: tt.every})
			s.await(t, "it is taken and was read once more", func() bool { return s.readings("alice") > 0 })
			for i, content := range []string{"new page", "newer pg"} {
				swap(t, filepath.Join(under, "alice/i.html"), content)
				if tt.ask {
					s.f.Recheck("alice")
				}
				s.await(t, content, func() bool { return s.state("alice").content["i.html"] == content })
				before := s.readings("alice")
				s.await(t, fmt.Sprint("it is read once more: ", i), func() bool { return s.readings("alice") > before })
			}
		})
	}
}

// TestRecheckReadsLocalFiles: what change times of a local file system do not tell of is
// found when it is asked for, and only then.
func TestRecheckReadsLocalFiles(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "alice/i.html"), "page")
	if !localDir(t, dir) {
		t.Skip("not a local file system")
	}
	s := follow(t, dir, Reread{Budget: unbounded(), Every: time.Millisecond})
	s.await(t, "it is taken", func() bool { return s.state("alice").key != "" })
	s.mu.Lock()
	s.taken["alice"].content["i.html"] = "what the disk had before" // and the file has its old change time
	s.mu.Unlock()
	for range 10 {
		s.look(t)
	}
	if n := s.readings("alice"); n != 0 {
		t.Errorf("a local folder was read %d times unasked", n)
	}
	s.f.Recheck("alice")
	s.f.Recheck("nobody")
	s.await(t, "the content of the disk", func() bool { return s.state("alice").content["i.html"] == "page" })
}

// TestRereadIsBounded: over many folders no more is read than the budget has, and each
// has its turn.
func TestRereadIsBounded(t *testing.T) {
	const tenants, bytesPerSecond = 1_500, 32 << 20
	dir := t.TempDir()
	mount(t, "ramfs", dir, "ramfs", 0, "")
	for i := range tenants {
		put(t, filepath.Join(dir, fmt.Sprint("t", i), "i.html"), "page")
	}
	begun := time.Now()
	s := follow(t, dir, Reread{Budget: rate.NewLimiter(bytesPerSecond, RereadBurst), Every: time.Hour})
	all := func() (n int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range tenants {
			one := s.reads[fmt.Sprint("t", i)]
			if n += one; one > 1 {
				t.Fatalf("a folder was read %d times in its first hour", one)
			}
		}
		return n
	}
	s.await(t, "all folders were read", func() bool { return all() == tenants })
	took := time.Since(begun)
	if read, budget := float64(tenants)*FileCost, bytesPerSecond*took.Seconds()+RereadBurst; read > budget {
		t.Errorf("%d folders were read in %v: %.0f bytes of a budget of %.0f", tenants, took, read, budget)
	}
}

// TestContentThatAlwaysDiffers has a file that is other at each reading: it is taken at
// the usual rate, and not as fast as it differs.
func TestContentThatAlwaysDiffers(t *testing.T) {
	dir := t.TempDir()
	mount(t, "ramfs", dir, "ramfs", 0, "")
	put(t, filepath.Join(dir, "alice/i.html"), "page")
	n := 0
	s := follow(t, dir, Reread{
		Budget: unbounded(), Every: time.Hour,
		Digest: func(map[string]tenant.Hash) tenant.Hash { n++; return tenant.Hash{byte(n)} },
	})
	s.await(t, "it is read twice", func() bool { return s.readings("alice") == 2 })
	key := s.state("alice").key
	s.await(t, "it is taken once more", func() bool { return s.state("alice").key != key })
	s.f.reread.mu.Lock()
	due := time.Until(s.f.reread.folders["alice"].due)
	s.f.reread.mu.Unlock()
	if due < time.Hour/2 {
		t.Errorf("it is read again in %v, want an hour", due)
	}
}
