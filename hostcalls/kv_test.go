package hostcalls_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
)

func (b *bench) kv(fn, key, value string) int32 {
	b.t.Helper()
	b.at = scratch
	kp, kn := b.put(key)
	vp, vn := b.put(value)
	return b.status("kvstore_"+fn, kp, kn, vp, vn)
}

func (b *bench) kvGet(key string) (string, bool) {
	b.t.Helper()
	b.at = scratch
	b.dirty()
	kp, kn := b.put(key)
	found := b.status("kvstore_get", outPtr, outLen, kp, kn)
	got, ok := b.bytes()
	if found != 0 != ok {
		b.t.Errorf("kvstore_get: result %d with a pointer of %v", found, ok)
	}
	return got, ok
}

func TestKVFunctions(t *testing.T) {
	b := newBench(t, &hostcalls.Tenant{KV: memorykv.New(hostcalls.Quota{})}, request())
	want := func(value string, found bool) {
		t.Helper()
		if got, ok := b.kvGet("key"); got != value || ok != found {
			t.Errorf("got %q %v, want %q %v", got, ok, value, found)
		}
	}
	result := func(got, want int32) {
		t.Helper()
		if got != want {
			t.Errorf("result %d, want %d", got, want)
		}
	}
	want("", false)
	result(b.kv("insert", "key", "one"), 1)
	result(b.kv("insert", "key", "two"), 0) // overwrites
	want("two", true)
	result(b.kv("upsert", "key", "three"), 0) // does not
	want("two", true)
	result(b.kv("append", "key", "+"), 0)
	want("two+", true)
	kp, kn := b.put("key")
	result(b.status("kvstore_remove", kp, kn), 1)
	result(b.status("kvstore_remove", kp, kn), 0)
	want("", false)
	result(b.kv("append", "key", "a"), 1)
	want("a", true)
	kp, kn = b.put("key")
	result(b.status("kvstore_remove", kp, kn), 1)
	result(b.kv("upsert", "key", ""), 1)
	want("", true) // an empty value is there
	result(b.kv("insert", "", "empty key"), 1)
}

func TestKVRefusals(t *testing.T) {
	b := newBench(t, &hostcalls.Tenant{KV: memorykv.New(hostcalls.Quota{Bytes: 1000})}, request())
	if _, err := b.try("kvstore_insert", scratch, 1, 0, 2000); !errors.Is(err, hostcalls.ErrFull) {
		t.Errorf("full store: got %v", err)
	}
	if _, err := b.try("kvstore_remove", scratch, hostcalls.KVKeyMax+1); err == nil {
		t.Error("a key that is too long went through")
	}
	b.Grow(40)
	if _, err := b.try("kvstore_insert", scratch, 1, 0, hostcalls.KVValueMax+1); err == nil {
		t.Error("a value that is too long went through")
	}
	none := newBench(t, &hostcalls.Tenant{}, request())
	if _, err := none.try("kvstore_get", outPtr, outLen, scratch, 1); err == nil {
		t.Error("no store: no trap")
	}
}

func TestKVAppendsAreNotLost(t *testing.T) {
	tn := &hostcalls.Tenant{KV: memorykv.New(hostcalls.Quota{}), Logger: &recorder{}}
	var wg sync.WaitGroup
	for range 8 {
		b := newBench(t, tn, request())
		wg.Go(func() {
			for range 50 {
				b.kv("append", "key", "x")
			}
		})
	}
	wg.Wait()
	e, err := tn.KV.Get(t.Context(), "key")
	if err != nil || len(e.Value) != 8*50 {
		t.Errorf("%d bytes, %v; want 400", len(e.Value), err)
	}
}

// lostKV is a store that cannot be reached.
type lostKV struct{ err error }

func (k lostKV) Get(context.Context, string) (hostcalls.KVEntry, error) {
	return hostcalls.KVEntry{}, k.err
}

func (k lostKV) Put(context.Context, string, []byte, uint64, time.Time) (uint64, error) {
	return 0, k.err
}

func (k lostKV) Delete(context.Context, string, uint64) error { return k.err }

func (k lostKV) List(context.Context, string, string, int) ([]string, error) { return nil, k.err }

// TestUnavailable: every function of the store that fails for the store says so, and none
// does for what the guest has done.
func TestUnavailable(t *testing.T) {
	lost := errors.New("nobody leads it")
	calls := map[string][]uint32{
		"get": {outPtr, outLen, scratch, 1}, "insert": {scratch, 1, scratch, 1}, "upsert": {scratch, 1, scratch, 1}, "append": {scratch, 1, scratch, 1},
		"remove": {scratch, 1},
	}
	for _, f := range hostcalls.Functions() {
		name, ok := strings.CutPrefix(f.Name, "hostcall_kvstore_")
		if !ok || f.Module != "env" {
			continue
		}
		args, ok := calls[name]
		if !ok {
			args = make([]uint32, len(f.Params))
			for i := range args {
				args[i] = scratch
			}
		}
		for err, want := range map[error]bool{lost: true, hostcalls.ErrFull: false} {
			b := newBench(t, &hostcalls.Tenant{KV: lostKV{err}}, request())
			b.Grow(40)
			_, got := b.try("kvstore_"+name, args...)
			if !errors.Is(got, err) || (b.x.Unavailable() != nil) != want {
				t.Errorf("%s: %v, unavailable %v, want %v", name, got, b.x.Unavailable(), want)
			}
		}
	}
	b := newBench(t, &hostcalls.Tenant{KV: lostKV{context.DeadlineExceeded}}, request())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.ctx = ctx
	if _, err := b.try("kvstore_insert", scratch, 1, scratch, 1); err == nil || b.x.Unavailable() != nil {
		t.Errorf("a request that is out of time: %v, %v", err, b.x.Unavailable())
	}
}
