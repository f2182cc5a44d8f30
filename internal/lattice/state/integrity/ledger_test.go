package integrity_test

import (
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/terrane/terrane/internal/lattice/state/integrity"
)

func open(t *testing.T, path string) *integrity.Ledger {
	t.Helper()
	l, err := integrity.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// filled is a ledger of keys 1 to n, at these sequences, and what a bucket then has.
func filled(t *testing.T, path string, n int) (*integrity.Ledger, map[integrity.Key]integrity.Entry) {
	t.Helper()
	l := open(t, path)
	if err := l.Rewrite(7, none); err != nil {
		t.Fatal(err)
	}
	have := map[integrity.Key]integrity.Entry{}
	for i := 1; i <= n; i++ {
		e := integrity.Entry{Key: l.Hash("tenant", strconv.Itoa(i)), Seq: uint64(i), Sum: uint32(i)}
		if err := l.Append(&e); err != nil {
			t.Fatal(err)
		}
		have[e.Key] = e
	}
	return l, have
}

func none(func(integrity.Entry) bool) {}

func lost(t *testing.T, l *integrity.Ledger, now int64, have iter.Seq[integrity.Entry]) int {
	t.Helper()
	loss, err := l.Verify(now, have)
	if err != nil {
		t.Fatal(err)
	}
	return loss.Len()
}

func TestVerify(t *testing.T) {
	const now = 1000e9
	key := func(l *integrity.Ledger, i int) integrity.Key { return l.Hash("tenant", strconv.Itoa(i)) }
	for _, c := range []struct {
		name   string
		change func(l *integrity.Ledger, have map[integrity.Key]integrity.Entry)
		append integrity.Entry // of key 5, if it has a sequence
		want   int
	}{
		{name: "everything is there"},
		{name: "one is missing", change: func(l *integrity.Ledger, have map[integrity.Key]integrity.Entry) { delete(have, key(l, 5)) }, want: 1},
		{name: "all are missing", change: func(_ *integrity.Ledger, have map[integrity.Key]integrity.Entry) { clear(have) }, want: 10},
		{name: "one is newer", change: func(l *integrity.Ledger, have map[integrity.Key]integrity.Entry) {
			have[key(l, 5)] = integrity.Entry{Key: key(l, 5), Seq: 99}
		}},
		{name: "one is older", append: integrity.Entry{Seq: 20}, want: 1},
		{name: "another write has its sequence", change: func(l *integrity.Ledger, have map[integrity.Key]integrity.Entry) {
			have[key(l, 5)] = integrity.Entry{Key: key(l, 5), Seq: 5, Sum: 77}
		}, want: 1},
		{name: "deleted, and it is there again", append: integrity.Entry{Seq: 20, Expires: integrity.Dead}, want: 1},
		{name: "deleted, and gone", append: integrity.Entry{Seq: 20, Expires: integrity.Dead}, change: func(l *integrity.Ledger, have map[integrity.Key]integrity.Entry) { delete(have, key(l, 5)) }},
		{name: "deleted, and the deletion is there", change: func(l *integrity.Ledger, have map[integrity.Key]integrity.Entry) {
			have[key(l, 5)] = integrity.Entry{Key: key(l, 5), Seq: 20, Expires: integrity.Dead}
		}},
		{name: "expired, and gone", append: integrity.Entry{Seq: 20, Expires: now - 1}, change: func(l *integrity.Ledger, have map[integrity.Key]integrity.Entry) { delete(have, key(l, 5)) }},
		{name: "expires later, and gone", append: integrity.Entry{Seq: 20, Expires: now + 3600e9}, change: func(l *integrity.Ledger, have map[integrity.Key]integrity.Entry) { delete(have, key(l, 5)) }, want: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, have := filled(t, filepath.Join(t.TempDir(), "ledger"), 10)
			defer l.Close() //nolint:errcheck // a test
			if c.append.Seq != 0 {
				c.append.Key = key(l, 5)
				if err := l.Append(&c.append); err != nil {
					t.Fatal(err)
				}
			}
			if c.change != nil {
				c.change(l, have)
			}
			if got := lost(t, l, now, maps.Values(have)); got != c.want {
				t.Errorf("%d are lost, want %d", got, c.want)
			}
		})
	}
}

// TestReopened: what was appended is asked for after a restart, after a rewrite, and after a
// rewrite that was cut short at each of its steps.
func TestReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l, have := filled(t, path, 100)
	want := func(when string, seq uint64) {
		t.Helper()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, path)
		if got := lost(t, l, 0, none); got != len(have) {
			t.Errorf("%s: %d of %d entries are asked for", when, got, len(have))
		}
		if got := lost(t, l, 0, maps.Values(have)); got != 0 || l.Last() != seq || l.Created() != 7 || l.Damaged() != 0 {
			t.Errorf("%s: %d lost, last %d, want %d, created %d, damaged %d", when, got, l.Last(), seq, l.Created(), l.Damaged())
		}
	}
	want("after a restart", 100)
	if err := l.Rewrite(7, maps.Values(have)); err != nil {
		t.Fatal(err)
	}
	want("after a rewrite", 100)
	e := integrity.Entry{Key: l.Hash("tenant", "5"), Seq: 101}
	if err := l.Append(&e); err != nil {
		t.Fatal(err)
	}
	have[e.Key] = e
	if err := os.Rename(path+".log", path+".old"); err != nil {
		t.Fatal(err)
	}
	want("a rewrite had begun a new log", 101)
	if err := os.WriteFile(path+".tmp", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("a rewrite had begun a snapshot", 101)
	if err := l.Rewrite(7, maps.Values(have)); err != nil {
		t.Fatal(err)
	}
	want("it was rewritten then", 101)
	if err := os.WriteFile(path+".log", make([]byte, 17), 0o600); err != nil {
		t.Fatal(err)
	}
	want("a record was cut short", 101)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestDamagedLedger flips each byte of a ledger: it is told, or harmless, and never asks
// for more than there was.
func TestDamagedLedger(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ledger")
	l, have := filled(t, path, 3)
	if err := l.Rewrite(7, maps.Values(have)); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := l.Append(&integrity.Entry{Key: l.Hash("tenant", strconv.Itoa(i+1)), Seq: uint64(10 + i)}); err != nil {
			t.Fatal(err)
		}
		have[l.Hash("tenant", strconv.Itoa(i+1))] = integrity.Entry{Key: l.Hash("tenant", strconv.Itoa(i+1)), Seq: uint64(10 + i)}
	}
	salt := l.Hash("a", "b")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", ".log"} {
		good, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		for i := range good {
			bad := slices.Clone(good)
			bad[i] ^= 0x10
			if err := os.WriteFile(path+suffix, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			l := open(t, path)
			kept := l.Hash("a", "b") == salt
			if got := lost(t, l, 0, maps.Values(have)); kept && got != 0 {
				t.Errorf("byte %d of %q: %d are lost of nothing", i, suffix, got)
			}
			if suffix == "" && l.Damaged() == 0 {
				t.Errorf("byte %d of %q: nobody is told", i, suffix)
			}
			_ = l.Close() // it is written again
			if err := os.WriteFile(path+suffix, good, 0o600); err != nil {
				t.Fatal(err)
			}
			if suffix == "" {
				continue
			}
		}
	}
}

// TestMarks: what had expired once is not asked for when the clock goes back.
func TestMarks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l, _ := filled(t, path, 1)
	const hour = int64(3600e9)
	if err := l.Append(&integrity.Entry{Key: l.Hash("tenant", "1"), Seq: 2, Expires: 10 * hour}); err != nil {
		t.Fatal(err)
	}
	if got := lost(t, l, 9*hour, none); got != 1 {
		t.Errorf("before it expires %d are lost", got)
	}
	if err := l.Sync(11 * hour); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, path)
	defer l.Close() //nolint:errcheck // a test
	if got := lost(t, l, 9*hour, none); got != 0 {
		t.Errorf("after it had expired, and the clock went back, %d are lost", got)
	}
}

func TestDigests(t *testing.T) {
	a := map[integrity.Key]integrity.Entry{}
	hash := integrity.Hasher([]byte("salt of both"))
	for i := range 1000 {
		k := hash("t", strconv.Itoa(i))
		a[k] = integrity.Entry{Key: k, Seq: uint64(i + 1)}
	}
	b := maps.Clone(a)
	if !slices.Equal(integrity.Digests(maps.Values(a)), integrity.Digests(maps.Values(b))) {
		t.Error("the same entries have different digests")
	}
	k := hash("t", "500")
	e := b[k]
	e.Seq = 2000
	b[k] = e
	differ := 0
	x, y := integrity.Digests(maps.Values(a)), integrity.Digests(maps.Values(b))
	for i := range x {
		if x[i] != y[i] {
			differ++
			if i != k.Range() {
				t.Errorf("range %d differs, want %d", i, k.Range())
			}
		}
	}
	if differ != 1 {
		t.Errorf("%d ranges differ", differ)
	}
	list, err := integrity.Unpack(integrity.Pack([]integrity.Entry{e}))
	if err != nil || len(list) != 1 || list[0] != e {
		t.Errorf("%v, %v", list, err)
	}
}

func BenchmarkAppend(b *testing.B) {
	l, err := integrity.Open(filepath.Join(b.TempDir(), "ledger"))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // a benchmark
	for i := range b.N {
		if err := l.Append(&integrity.Entry{Key: l.Hash("/git/alice", "some/key"), Seq: uint64(i)}); err != nil {
			b.Fatal(err)
		}
	}
}
