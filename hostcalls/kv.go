package hostcalls

import (
	"context"
	"errors"
	"fmt"
)

var errNoKV = errors.New("there is no key-value store here")

// change is what a writing function makes of a key: the value to store, or keep
// to leave the entry as it is. old is the zero KVEntry if the key is absent.
type change func(old KVEntry) (value []byte, keep bool)

// update applies a change to a key, again if another request was quicker. It
// reports whether the key was absent. An error is the store's or the caller's,
// for which the ABI has no answer: the guest traps, so that nothing is lost silently.
func (x *Exchange) update(ctx context.Context, key string, do change) (absent bool, err error) {
	if err := x.checkKey(key); err != nil {
		return false, err
	}
	for {
		old, err := x.t.KV.Get(ctx, key)
		absent := errors.Is(err, ErrNotFound)
		if err != nil && !absent {
			return false, err
		}
		value, keep := do(old)
		if keep {
			return absent, nil
		}
		if len(value) > KVValueMax {
			return false, fmt.Errorf("a value of %d bytes, more than %d", len(value), KVValueMax)
		}
		if _, err = x.t.KV.Put(ctx, key, value, old.Version, 0); !errors.Is(err, ErrConflict) {
			return absent, err
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
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

// get returns a key's value; ok is false if there is none.
func (x *Exchange) get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	if err := x.checkKey(key); err != nil {
		return nil, false, err
	}
	e, err := x.t.KV.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return nil, false, nil
	}
	return e.Value, err == nil, err
}

// remove removes a key, and reports whether it was there.
func (x *Exchange) remove(ctx context.Context, key string) (bool, error) {
	if err := x.checkKey(key); err != nil {
		return false, err
	}
	for {
		e, err := x.t.KV.Get(ctx, key)
		if err == nil {
			err = x.t.KV.Delete(ctx, key, e.Version)
		}
		switch {
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
	return func(KVEntry) ([]byte, bool) { return value, false }
}

func upsert(value []byte) change {
	return func(old KVEntry) ([]byte, bool) { return value, old.Version != 0 }
}

func appending(value []byte) change {
	return func(old KVEntry) ([]byte, bool) {
		all := make([]byte, 0, len(old.Value)+len(value))
		return append(append(all, old.Value...), value...), false
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
	value, ok, err := x.get(ctx, string(key))
	if err != nil {
		return err
	}
	if ok {
		err = giveEvenEmpty(ctx, x, g, o, value)
	} else {
		o.set(g, 0, 0)
	}
	a.returnsBool(ok)
	return err
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
