package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
)

// Run checks a provider. open returns an empty store for one tenant each time, also at
// once. Subtests run in parallel: they end with t, not with Run.
func Run(t *testing.T, open func(t *testing.T) hostcalls.KV) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store)
	}{
		{"versions", versions},
		{"delete", remove},
		{"keys and values of any kind", anyBytes},
		{"largest", largest},
		{"list", list},
		{"expiry", expiry},
		{"counters", counters},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, store{open(t)})
		})
	}
	t.Run("apart", func(t *testing.T) {
		a, b := store{open(t)}, store{open(t)}
		a.put(t, "key", "a", 0)
		b.absent(t, "key")
	})
}

// RunQuota checks that a provider keeps a tenant within its quota. open returns an
// empty store of that quota.
func RunQuota(t *testing.T, open func(t *testing.T, q hostcalls.Quota) hostcalls.KV) {
	t.Run("bytes", func(t *testing.T) {
		s := store{open(t, hostcalls.Quota{Bytes: 10_000})}
		n := s.fill(t, strings.Repeat("v", 1000))
		if n < 8 || n > 9 {
			t.Errorf("%d entries of 1000 bytes fit into 10000", n)
		}
		e, err := s.Get(t.Context(), "key0")
		if err != nil {
			t.Fatal(err)
		}
		s.isFull(t, "key0", strings.Repeat("v", 2000), e.Version)
		at := s.put(t, "key0", "", e.Version) // may shrink
		s.put(t, "another", strings.Repeat("v", 500), 0)
		if err := s.Delete(t.Context(), "key0", at); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("keys", func(t *testing.T) {
		s := store{open(t, hostcalls.Quota{Keys: 10})}
		if n := s.fill(t, ""); n != 10 {
			t.Errorf("%d keys of 10", n)
		}
		e, err := s.Get(t.Context(), "key3")
		if err != nil {
			t.Fatal(err)
		}
		at := s.put(t, "key3", "an old key may change", e.Version)
		if err := s.Delete(t.Context(), "key3", at); err != nil {
			t.Fatal(err)
		}
		s.put(t, "another", "", 0)
		s.isFull(t, "one more", "", 0)
	})
	t.Run("expired", func(t *testing.T) {
		s := store{open(t, hostcalls.Quota{Keys: 1})}
		expires := time.Now().Add(time.Second)
		if _, err := s.Put(t.Context(), "first", nil, 0, expires); err != nil {
			t.Fatal(err)
		}
		s.isFull(t, "second", "", 0)
		<-time.After(time.Until(expires))
		s.put(t, "second", "", 0)
	})
	t.Run("one tenant at once", func(t *testing.T) {
		s := store{open(t, hostcalls.Quota{Keys: 20})}
		var wg sync.WaitGroup
		var stored atomic.Int32
		for i := range 8 {
			wg.Go(func() {
				for j := range 10 {
					_, err := s.Put(t.Context(), fmt.Sprint(i, "/", j), nil, 0, time.Time{})
					if err == nil {
						stored.Add(1)
					} else if !errors.Is(err, hostcalls.ErrFull) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := stored.Load(); n != 20 {
			t.Errorf("%d of 20 keys", n)
		}
	})
}

// fill stores "key0", "key1" and so on until the store is full.
func (s store) fill(t *testing.T, value string) int {
	t.Helper()
	for n := 0; ; n++ {
		_, err := s.Put(t.Context(), "key"+strconv.Itoa(n), []byte(value), 0, time.Time{})
		if errors.Is(err, hostcalls.ErrFull) {
			return n
		}
		if err != nil || n > 1000 {
			t.Fatalf("%d entries, %v", n, err)
		}
	}
}

func (s store) isFull(t *testing.T, key, value string, at uint64) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, []byte(value), at, time.Time{}); !errors.Is(err, hostcalls.ErrFull) {
		t.Errorf("put %q: got %v, want ErrFull", key, err)
	}
}

// store adds the checks that all tests make.
type store struct{ hostcalls.KV }

func (s store) put(t *testing.T, key, value string, at uint64) uint64 {
	t.Helper()
	version, err := s.Put(t.Context(), key, []byte(value), at, time.Time{})
	if err != nil {
		t.Fatalf("put %.40q at %d: %v", key, at, err)
	}
	if version == 0 || version == at {
		t.Fatalf("put %.40q at %d: the version is %d", key, at, version)
	}
	return version
}

func (s store) has(t *testing.T, key, value string, version uint64) {
	t.Helper()
	e, err := s.Get(t.Context(), key)
	if err != nil || string(e.Value) != value || e.Version != version {
		t.Errorf("get %.40q: got %.40q at %d, %v; want %.40q at %d", key, e.Value, e.Version, err, value, version)
	}
}

func (s store) absent(t *testing.T, key string) {
	t.Helper()
	if e, err := s.Get(t.Context(), key); !errors.Is(err, hostcalls.ErrNotFound) {
		t.Errorf("get %.40q: got %.40q at %d, %v; want ErrNotFound", key, e.Value, e.Version, err)
	}
}

// conflicts expects that nothing can be stored under "key" at a version.
func (s store) conflicts(t *testing.T, at uint64) {
	t.Helper()
	if _, err := s.Put(t.Context(), "key", []byte("no"), at, time.Time{}); !errors.Is(err, hostcalls.ErrConflict) {
		t.Errorf("put at %d: got %v, want ErrConflict", at, err)
	}
}

func versions(t *testing.T, s store) {
	s.absent(t, "key")
	s.conflicts(t, 7)
	first := s.put(t, "key", "one", 0)
	s.has(t, "key", "one", first)
	s.conflicts(t, 0)
	second := s.put(t, "key", "two", first)
	s.conflicts(t, first)
	s.has(t, "key", "two", second)
	if err := s.Delete(t.Context(), "key", second); err != nil {
		t.Fatal(err)
	}
	third := s.put(t, "key", "two", 0)
	if third == first || third == second {
		t.Errorf("the version %d came again after a delete", third)
	}
}

func remove(t *testing.T, s store) {
	if err := s.Delete(t.Context(), "key", 1); !errors.Is(err, hostcalls.ErrNotFound) {
		t.Errorf("delete of nothing: got %v, want ErrNotFound", err)
	}
	version := s.put(t, "key", "value", 0)
	if err := s.Delete(t.Context(), "key", version+1); !errors.Is(err, hostcalls.ErrConflict) {
		t.Errorf("delete at another version: got %v, want ErrConflict", err)
	}
	if err := s.Delete(t.Context(), "key", version); err != nil {
		t.Error(err)
	}
	s.absent(t, "key")
}

func anyBytes(t *testing.T, s store) {
	keys := []string{"", " ", "a b", "a/b", "a.b", "a..b.", ".", "*", ">", "$KV", "\x00", "\xff\xfe", "ü", "A", "a", "-_=", "~", "a\nb"}
	versions := map[string]uint64{}
	for _, key := range keys {
		versions[key] = s.put(t, key, "value of "+key, 0)
	}
	for _, key := range keys {
		s.has(t, key, "value of "+key, versions[key])
	}
	at := s.put(t, "empty", "", 0)
	s.has(t, "empty", "", at)
	at = s.put(t, "empty", "\x00\xff", at)
	s.has(t, "empty", "\x00\xff", at)
}

func largest(t *testing.T, s store) {
	key := strings.Repeat("k", hostcalls.KVKeyMax)
	value := string(bytes.Repeat([]byte("v"), hostcalls.KVValueMax))
	at := s.put(t, key, value, 0)
	s.has(t, key, value, at)
	s.absent(t, key[1:])
}

func list(t *testing.T, s store) {
	for _, key := range []string{"b/2", "a", "b/1", "b", "c", "b/10", "b\xff"} {
		s.put(t, key, "", 0)
	}
	for _, c := range []struct {
		prefix, after string
		limit         int
		want          []string
	}{
		{"", "", 100, []string{"a", "b", "b/1", "b/10", "b/2", "b\xff", "c"}},
		{"b/", "", 100, []string{"b/1", "b/10", "b/2"}},
		{"b/", "b/1", 1, []string{"b/10"}},
		{"", "b/2", 100, []string{"b\xff", "c"}},
		{"", "", 2, []string{"a", "b"}},
		{"x", "", 100, nil},
		{"", "", 0, nil},
	} {
		got, err := s.List(t.Context(), c.prefix, c.after, c.limit)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("list %q after %q, at most %d: got %q, %v; want %q", c.prefix, c.after, c.limit, got, err, c.want)
		}
	}
}

// expiry repeats with a longer life what a busy machine did not do in time.
func expiry(t *testing.T, s store) {
	for life := 2 * time.Second; !s.expires(t, "key"+life.String(), life); life *= 2 {
	}
	for life := time.Second; !s.outlives(t, "again"+life.String(), life); life *= 2 {
	}
}

// expires stores a key for a life. It reports false if the key was not looked at before its end.
func (s store) expires(t *testing.T, key string, life time.Duration) bool {
	t.Helper()
	expires := time.Now().Add(life)
	version, err := s.Put(t.Context(), key, []byte("value"), 0, expires)
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Get(t.Context(), key)
	if !time.Now().Before(expires) {
		return false
	}
	if err != nil || string(e.Value) != "value" || e.Version != version || !e.Expires.Equal(expires) {
		t.Errorf("got %q at %d until %v, %v; want \"value\" at %d until %v", e.Value, e.Version, e.Expires, err, version, expires)
	}
	<-time.After(time.Until(expires))
	s.absent(t, key)
	if _, err := s.Put(t.Context(), key, []byte("no"), version, time.Time{}); !errors.Is(err, hostcalls.ErrConflict) {
		t.Errorf("put at the version that has expired: got %v, want ErrConflict", err)
	}
	if keys, err := s.List(t.Context(), "", "", 10); err != nil || len(keys) > 0 {
		t.Errorf("list shows %q, %v", keys, err)
	}
	return true
}

// outlives replaces a key that expires by one that does not. It reports false if the first had
// expired by then.
func (s store) outlives(t *testing.T, key string, life time.Duration) bool {
	t.Helper()
	expires := time.Now().Add(life)
	version, err := s.Put(t.Context(), key, []byte("again"), 0, expires)
	if err != nil {
		t.Fatal(err)
	}
	version, err = s.Put(t.Context(), key, []byte("for ever"), version, time.Time{})
	if !time.Now().Before(expires) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(expires) + 500*time.Millisecond)
	s.has(t, key, "for ever", version)
	return true
}

// counters proves that no write is lost.
func counters(t *testing.T, s store) {
	const workers, each = 8, 25
	var wg sync.WaitGroup
	errs := make(chan error, workers)
	for range workers {
		wg.Go(func() {
			for range each {
				if err := s.add(t); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	e, err := s.Get(t.Context(), "counter")
	if err != nil || string(e.Value) != strconv.Itoa(workers*each) {
		t.Errorf("got %s, %v; want %d", e.Value, err, workers*each)
	}
}

func (s store) add(t *testing.T) error {
	for {
		e, err := s.Get(t.Context(), "counter")
		if err != nil && !errors.Is(err, hostcalls.ErrNotFound) {
			return err
		}
		n := 0
		if err == nil {
			if n, err = strconv.Atoi(string(e.Value)); err != nil {
				return fmt.Errorf("a torn value: %w", err)
			}
		}
		_, err = s.Put(t.Context(), "counter", strconv.AppendInt(nil, int64(n+1), 10), e.Version, time.Time{})
		if !errors.Is(err, hostcalls.ErrConflict) {
			return err
		}
	}
}
