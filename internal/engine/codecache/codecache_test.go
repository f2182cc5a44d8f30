package codecache

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const codeName = "wazero-1/code"

func open(t testing.TB, dir string) *Cache {
	t.Helper()
	c, err := Open(dir, "a build")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// store keeps an entry with the header, and with code unless that is empty.
func store(t testing.TB, c *Cache, key Key, header, name, code string) {
	t.Helper()
	work, err := c.Work()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	e, file := Entry{Header: []byte(header)}, filepath.Join(work, "code")
	if code != "" {
		e.Code = name
		if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Store(key, e, file); err != nil {
		t.Fatal(err)
	}
}

func TestStoreAndLoad(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	with, without := c.Key([]byte("with")), c.Key([]byte("without"))
	store(t, c, with, "header", codeName, "code")
	store(t, c, without, "alone", "", "")
	c = open(t, dir)
	if e, err := c.Load(with); err != nil || string(e.Header) != "header" || e.Code != codeName {
		t.Errorf("with code: %+v, %v", e, err)
	}
	if code, err := os.ReadFile(filepath.Join(dir, codeName)); err != nil || string(code) != "code" {
		t.Errorf("the code is %q, %v", code, err)
	}
	if e, err := c.Load(without); err != nil || string(e.Header) != "alone" || e.Code != "" {
		t.Errorf("without code: %+v, %v", e, err)
	}
	// An entry in another's place does not take that one's code along.
	raw, err := os.ReadFile(c.path(with))
	if err := errors.Join(err, os.WriteFile(c.path(without), raw, 0o600), c.Discard(without)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Load(with); err != nil {
		t.Errorf("after another one was discarded: %v", err)
	}
	for range 2 {
		if err := c.Discard(with); err != nil {
			t.Error(err)
		}
		if _, err := c.Load(with); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("discarded: %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, codeName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the code was not discarded: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, workPrefix+"*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestKeys(t *testing.T) {
	c := open(t, t.TempDir())
	other, err := Open(t.TempDir(), "another build")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[Key]bool{}
	for _, key := range []Key{c.Key(), c.Key(nil), c.Key([]byte("ab")), c.Key([]byte("a"), []byte("b")), c.Key([]byte("b"), []byte("a")), other.Key([]byte("ab"))} {
		if keys[key] {
			t.Error("different parts, one key")
		}
		keys[key] = true
	}
}

// TestDamage flips each byte of both files, cuts them after each, and swaps those of two entries.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	key, second := c.Key([]byte("1")), c.Key([]byte("2"))
	store(t, c, key, "header", codeName, "code")
	store(t, c, second, "HEADER", "wazero-1/second", "CODE")
	refused := func(what string) {
		t.Helper()
		if e, err := c.Load(key); err == nil {
			t.Errorf("%s: loaded %+v", what, e)
		} else if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: taken for an entry that was never made: %v", what, err)
		}
	}
	for file, other := range map[string]string{c.path(key): c.path(second), filepath.Join(dir, codeName): filepath.Join(dir, "wazero-1/second")} {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write := func(b []byte) {
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for i := range whole {
			b := bytes.Clone(whole)
			b[i] ^= 1 << (i % 8)
			write(b)
			refused("a bit flipped")
			write(whole[:i])
			refused("cut short")
		}
		write(append(bytes.Clone(whole), 0))
		refused("longer")
		b, _ := os.ReadFile(other)
		write(b)
		refused("swapped")
		if file != c.path(key) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			refused("without its code")
		}
		write(whole)
		if _, err := c.Load(key); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPrune opens a directory in which time has passed.
func TestPrune(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	recent, old, bad := c.Key([]byte("recent")), c.Key([]byte("old")), c.Key([]byte("bad"))
	store(t, c, recent, "header", "w/recent", "code")
	store(t, c, old, "header", "w/old", "code")
	store(t, c, bad, "header", "w/bad", "code")
	for _, name := range []string{"w/unnamed", "w/just-made", "work-1/w/code", "work-2/w/code", "work-3"} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("code"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(c.path(bad), []byte("../../etc/passwd"), 0o600); err != nil {
		t.Fatal(err)
	}
	age := func(file string, by time.Duration) {
		t.Helper()
		at := time.Now().Add(-by)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	const longAgo = 1000 * time.Hour
	for _, name := range []string{"w/recent", "w/old", "w/bad", "w/unnamed", "work-1", "work-1/w", "work-3"} {
		age(filepath.Join(dir, name), longAgo)
	}
	age(c.path(old), longAgo)
	age(c.path(recent), longAgo)
	if _, err := c.Load(recent); err != nil { // which is what keeps it
		t.Fatal(err)
	}
	c.limit = c.held / 2
	if err := c.prune(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Load(recent); err != nil {
		t.Errorf("an entry in use was removed: %v", err)
	}
	for name, want := range map[string]bool{
		"w/recent": true, "w/just-made": true, "work-2/w/code": true,
		"w/old": false, "w/bad": false, "w/unnamed": false, "work-1": false, "work-3": false,
	} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: there %v, want %v", name, err == nil, want)
		}
	}
	for _, key := range []Key{old, bad} {
		if _, err := c.Load(key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an entry was not removed: %v", err)
		}
	}
}

// TestLimit stores more than there is room for: what was loaded least recently goes, on disk
// too, and what was just stored stays.
func TestLimit(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	c.limit = 10_000
	code := strings.Repeat("c", 900)
	key := func(i int) Key { return c.Key([]byte{byte(i)}) }
	for i := range 30 {
		store(t, c, key(i), "header", fmt.Sprintf("w/%d", i), code)
		at := time.Unix(int64(1e9+i), 0)
		if err := os.Chtimes(c.path(key(i)), at, at); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Load(key(0)); err != nil {
			t.Fatalf("after %d: %v", i, err)
		}
	}
	for i, want := range map[int]bool{0: true, 29: true, 28: true, 1: false, 15: false} {
		if _, err := c.Load(key(i)); (err == nil) != want {
			t.Errorf("%d: %v, want it to be there: %v", i, err, want)
		}
	}
	total, files := int64(0), 0
	for _, pattern := range []string{"index/*", "w/*"} {
		names, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, name := range names {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			total, files = total+info.Size(), files+1
		}
	}
	if total > c.limit || total != c.held || files < 14 {
		t.Errorf("%d files of %d bytes, counted as %d", files, total, c.held)
	}
}

// FuzzDecode wants of any bytes an error or an entry that encodes to them, with a name that
// leads nowhere else.
func FuzzDecode(f *testing.F) {
	for _, r := range []record{{}, {entry: Entry{Header: []byte("header")}}, {entry: Entry{Code: codeName}, code: digest{1}},
		{entry: Entry{Code: "../etc/passwd"}}, {entry: Entry{Code: "/etc/passwd"}}, {entry: Entry{Code: strings.Repeat("a", maxName) + "/b"}}} {
		f.Add(r.encode(Key{}))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := decode(Key{}, sealed(raw))
		if err != nil {
			return
		}
		if name := r.entry.Code; name != "" && (!filepath.IsLocal(name) || strings.Count(filepath.Clean(name), "/") != 1) {
			t.Errorf("the code stands in %q", name)
		}
		if !bytes.Equal(r.encode(Key{}), sealed(raw)) {
			t.Error("it encodes to something else")
		}
		file := filepath.Join(t.TempDir(), "entry")
		if err := os.WriteFile(file, sealed(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		if name, err := readName(file); err != nil || name != r.entry.Code {
			t.Errorf("its code is called %q (%v), and when it is pruned %q", r.entry.Code, err, name)
		}
	})
}

// sealed makes the digest right, so that the fuzzer comes to what it covers.
func sealed(raw []byte) []byte {
	const body = len(magic) + sha256.Size
	if len(raw) < body {
		return raw
	}
	sum := seal(Key{}, raw[body:])
	return slices.Concat(raw[:len(magic)], sum[:], raw[body:])
}
