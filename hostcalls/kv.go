package hostcalls

import (
	"context"
	"errors"
	"fmt"
	"time"
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
	o, err := a.out(g)
	if err != nil {
		return err
	}
	key, err := a.bytes(g, 2, "key")
	if err != nil {
		return err
	}
	e, ok, err := x.entry(ctx, string(key))
	if err != nil {
		return err
	}
	return giveFound(ctx, x, g, a, o, e.Value, ok)
}

// kvWriter is a function that stores a value by the change that it makes.
func kvWriter(kind func(value []byte) change) impl {
	return func(ctx context.Context, x *Exchange, g Guest, a args) error {
		key, err := a.bytes(g, 0, "key")
		if err != nil {
			return err
		}
		view, err := a.bytes(g, 2, "value")
		if err != nil {
			return err
		}
		value := append([]byte{}, view...) // the store keeps it
		absent, err := x.update(ctx, string(key), kind(value))
		a.returnsBool(absent)
		return err
	}
}

func kvstoreRemove(ctx context.Context, x *Exchange, g Guest, a args) error {
	key, err := a.bytes(g, 0, "key")
	if err != nil {
		return err
	}
	removed, err := x.remove(ctx, string(key))
	a.returnsBool(removed)
	return err
}
