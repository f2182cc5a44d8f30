package hostcalls

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/terrane/terrane/hostcalls/guestmem"
)

var errNoKV = errors.New("there is no key-value store here")

// change is what a writing function makes of a key: the value to store until it
// expires, or keep to leave the entry as it is. old is the zero KVEntry if the key
// is absent.
type change func(old KVEntry) (value []byte, expires time.Time, keep bool)

// update applies a change to a key, again if another request was quicker. It
// reports whether the key was absent. An error is the store's or the caller's,
// for which the ABI has no answer: the guest traps, so that nothing is lost silently.
func (x *Exchange) update(ctx context.Context, key string, do change) (absent bool, err error) {
	for {
		old, found, err := x.entry(ctx, key)
		if err != nil {
			return false, err
		}
		value, expires, keep := do(old)
		if keep {
			return !found, nil
		}
		if _, err = x.store(ctx, key, value, old.Version, expires); !errors.Is(err, ErrConflict) {
			return !found, err
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
}

// store is KV.Put within the bounds of a value.
func (x *Exchange) store(ctx context.Context, key string, value []byte, at uint64, expires time.Time) (uint64, error) {
	if err := x.checkKey(key); err != nil {
		return 0, err
	}
	if len(value) > KVValueMax {
		return 0, fmt.Errorf("a value of %d bytes, more than %d: keep it under several keys", len(value), KVValueMax)
	}
	begun := time.Now()
	version, err := x.t.KV.Put(ctx, key, value, at, expires)
	return version, x.reached(ctx, begun, err)
}

// slowKV is how long the store may take of a request's time before a deadline is its fault.
const slowKV = time.Second

// reached notes an error of the store that is neither the guest's fault nor that of its
// deadline, and returns it.
func (x *Exchange) reached(ctx context.Context, begun time.Time, err error) error {
	switch {
	case err == nil, errors.Is(err, ErrNotFound), errors.Is(err, ErrConflict), errors.Is(err, ErrFull):
	case ctx.Err() == nil, time.Since(begun) >= slowKV:
		x.unavailable = err
	}
	return err
}

func (x *Exchange) checkKey(key string) error {
	if x.t.KV == nil {
		return errNoKV
	}
	if len(key) > KVKeyMax {
		return fmt.Errorf("a key of %d bytes, more than %d", len(key), KVKeyMax)
	}
	return nil
}

// entry returns a key's entry; found is false if there is none.
func (x *Exchange) entry(ctx context.Context, key string) (e KVEntry, found bool, err error) {
	if err := x.checkKey(key); err != nil {
		return KVEntry{}, false, err
	}
	begun := time.Now()
	e, err = x.t.KV.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return KVEntry{}, false, nil
	}
	return e, err == nil, x.reached(ctx, begun, err)
}

// remove removes a key, and reports whether it was there.
func (x *Exchange) remove(ctx context.Context, key string) (bool, error) {
	if err := x.checkKey(key); err != nil {
		return false, err
	}
	for {
		begun := time.Now()
		e, err := x.t.KV.Get(ctx, key)
		if err == nil {
			err = x.t.KV.Delete(ctx, key, e.Version)
		}
		switch err := x.reached(ctx, begun, err); {
		case errors.Is(err, ErrNotFound):
			return false, nil
		case !errors.Is(err, ErrConflict):
			return err == nil, err
		case ctx.Err() != nil:
			return false, ctx.Err()
		}
	}
}

// The changes of the ABI. Its insert overwrites and its upsert does not: the names
// are the wrong way round, and guests rely on it.
func insert(value []byte) change {
	return func(KVEntry) ([]byte, time.Time, bool) { return value, time.Time{}, false }
}

func upsert(value []byte) change {
	return func(old KVEntry) ([]byte, time.Time, bool) { return value, time.Time{}, old.Version != 0 }
}

func appending(value []byte) change {
	return func(old KVEntry) ([]byte, time.Time, bool) {
		all := make([]byte, 0, len(old.Value)+len(value))
		return append(append(all, old.Value...), value...), old.Expires, false
	}
}

func kvstoreGet(ctx context.Context, x *Exchange, g Guest, a args) error {
	o, err := a.Out(g)
	if err != nil {
		return err
	}
	key, err := a.Bytes(g, 2, "key")
	if err != nil {
		return err
	}
	e, ok, err := x.entry(ctx, string(key))
	if err != nil {
		return err
	}
	return guestmem.GiveFound(ctx, &x.mm, g, a, o, e.Value, ok)
}

// kvWriter is a function that stores a value by the change that it makes.
func kvWriter(kind func(value []byte) change) impl {
	return func(ctx context.Context, x *Exchange, g Guest, a args) error {
		key, err := a.Bytes(g, 0, "key")
		if err != nil {
			return err
		}
		view, err := a.Bytes(g, 2, "value")
		if err != nil {
			return err
		}
		value := append([]byte{}, view...) // the store keeps it
		absent, err := x.update(ctx, string(key), kind(value))
		a.ReturnBool(absent)
		return err
	}
}

func kvstoreRemove(ctx context.Context, x *Exchange, g Guest, a args) error {
	key, err := a.Bytes(g, 0, "key")
	if err != nil {
		return err
	}
	removed, err := x.remove(ctx, string(key))
	a.ReturnBool(removed)
	return err
}

func kvstoreGetVersion(ctx context.Context, x *Exchange, g Guest, a args) error {
	o, err := a.Out(g)
	if err != nil {
		return err
	}
	place := a.U32(2)
	if _, err := guestmem.View(g, place, 8, "version result"); err != nil {
		return err
	}
	key, err := a.Bytes(g, 3, "key")
	if err != nil {
		return err
	}
	e, ok, err := x.entry(ctx, string(key))
	if err != nil {
		return err
	}
	err = guestmem.GiveFound(ctx, &x.mm, g, a, o, e.Value, ok)
	guestmem.PutU64(g, place, e.Version)
	return err
}

// anyVersion makes kvstore_put overwrite whatever is there.
const anyVersion = math.MaxUint64

func kvstorePut(ctx context.Context, x *Exchange, g Guest, a args) error {
	key, err := a.Bytes(g, 0, "key")
	if err != nil {
		return err
	}
	value, err := a.Bytes(g, 2, "value")
	if err != nil {
		return err
	}
	a[0], err = x.put(ctx, string(key), append([]byte{}, value...), a[4], expiry(a.U32(5)))
	return err
}

// expiry is when what is stored now with a ttl in seconds expires; 0 is never.
func expiry(ttl uint32) time.Time {
	if ttl == 0 {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(ttl) * time.Second)
}

// put stores a value at a version, and returns the new version, 0 if the key had
// another one.
func (x *Exchange) put(ctx context.Context, key string, value []byte, at uint64, expires time.Time) (uint64, error) {
	for {
		expected := at
		if at == anyVersion {
			old, _, err := x.entry(ctx, key)
			if err != nil {
				return 0, err
			}
			expected = old.Version
		}
		version, err := x.store(ctx, key, value, expected, expires)
		if !errors.Is(err, ErrConflict) {
			return version, err
		}
		if at != anyVersion || ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
}

// kvstoreIncrement keeps numbers as decimal text, so that other functions can read
// them. The ttl counts from the first increment, as a window's does.
func kvstoreIncrement(ctx context.Context, x *Exchange, g Guest, a args) error {
	key, err := a.Bytes(g, 0, "key")
	if err != nil {
		return err
	}
	delta, ttl, place := int64(a[2]), a.U32(3), a.U32(4)
	if _, err := guestmem.View(g, place, 8, "result"); err != nil {
		return err
	}
	name, sum, valid := string(key), int64(0), true
	_, err = x.update(ctx, name, func(old KVEntry) ([]byte, time.Time, bool) {
		expires := old.Expires
		if old.Version == 0 {
			expires = expiry(ttl)
		}
		sum, valid = AddDecimal(old.Value, delta)
		return strconv.AppendInt(nil, sum, 10), expires, !valid
	})
	if err == nil && valid {
		guestmem.PutU64(g, place, uint64(sum))
	} else if err == nil {
		x.fail("kvstore_increment: the value of %.80q is no number of 64 bits, or grows beyond", name)
	}
	a.ReturnStatus(valid)
	return err
}

// AddDecimal adds to a number of 64 bits as decimal text. It reports false if text is no number, or the sum overflows. No text is 0.
func AddDecimal(text []byte, delta int64) (int64, bool) {
	n := int64(0)
	if len(text) > 0 {
		var err error
		if n, err = strconv.ParseInt(string(text), 10, 64); err != nil {
			return 0, false
		}
	}
	sum := n + delta
	return sum, (sum > n) == (delta > 0)
}

// maxKeys is how many keys kvstore_list returns at most.
const maxKeys = 1000

func kvstoreList(ctx context.Context, x *Exchange, g Guest, a args) error {
	o, err := a.Out(g)
	if err != nil {
		return err
	}
	prefix, err := a.Bytes(g, 2, "prefix")
	if err != nil {
		return err
	}
	after, err := a.Bytes(g, 4, "after")
	if err != nil {
		return err
	}
	if x.t.KV == nil {
		return errNoKV
	}
	begun := time.Now()
	keys, err := x.t.KV.List(ctx, string(prefix), string(after), int(min(a.U32(6), maxKeys)))
	if err != nil {
		return x.reached(ctx, begun, err)
	}
	return guestmem.GiveList(ctx, &x.mm, g, o, keys, false)
}
