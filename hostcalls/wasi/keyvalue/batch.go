package keyvalue

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi/abi"
)

// The bounds of a batch.
const (
	maxBatch      = 1024
	maxBatchBytes = 16 << 20
)

var (
	errBatch      = errors.New("more than 1024 keys in a batch")
	errBatchBytes = errors.New("the values of a batch have more than 16 MiB")
)

// keys are the list<string> in core parameters 1 and 2.
func keys(c *abi.Call) (out []string, fault error, trap error) {
	if _, err := abi.Lent[*bucket](c, 0); err != nil {
		return nil, nil, err
	}
	items, err := c.Items(1, 1)
	if err != nil {
		return nil, nil, err
	}
	if items.Len() > maxBatch {
		return nil, errBatch, nil
	}
	for i := range items.Len() {
		b, err := items.At(i).Text()
		if err != nil {
			return nil, nil, err
		}
		if len(b) > hostcalls.KVKeyMax {
			return nil, errKey, nil
		}
		out = append(out, string(b))
	}
	return out, nil, nil
}

var errKey = errors.New("a key has more than " + strconv.Itoa(hostcalls.KVKeyMax) + " bytes")

// getMany returns, with outer, an option of a pair for each key, else a pair with an option.
func getMany(outer bool) func(context.Context, *abi.Call) error {
	return func(ctx context.Context, c *abi.Call) error {
		all, fault, err := keys(c)
		if err != nil {
			return err
		}
		entries, found, total := make([]hostcalls.KVEntry, len(all)), make([]bool, len(all)), 0
		for i, k := range all {
			if fault != nil {
				break
			}
			if entries[i], found[i], fault = c.X.Entry(ctx, k); fault == nil {
				if total += len(entries[i].Value); total > maxBatchBytes {
					fault = errBatchBytes
				}
			}
		}
		if fault != nil {
			return fail(ctx, c, fault)
		}
		l := c.Ok().List(len(all))
		for i, k := range all {
			pair := l.At(i)
			switch {
			case !outer:
				pair.Field(0).Text(k)
				putValue(pair.Field(1), entries[i].Value, found[i])
			case found[i]:
				pair = pair.Some()
				pair.Field(0).Text(k)
				pair.Field(1).Bytes(entries[i].Value)
			default:
				pair.None()
			}
		}
		return nil
	}
}

func setMany(ctx context.Context, c *abi.Call) error {
	if _, err := abi.Lent[*bucket](c, 0); err != nil {
		return err
	}
	items, err := c.Items(1, 1)
	if err != nil {
		return err
	}
	if items.Len() > maxBatch {
		return fail(ctx, c, errBatch)
	}
	for i := range items.Len() {
		k, err := items.At(i).Field(0).Text()
		if err != nil {
			return err
		}
		value, err := items.At(i).Field(1).Bytes()
		if err != nil {
			return err
		}
		if len(k) > hostcalls.KVKeyMax {
			return fail(ctx, c, errKey)
		}
		if err := put(ctx, c, string(k), value); err != nil {
			return fail(ctx, c, err)
		}
	}
	c.Ok()
	return nil
}

func deleteMany(ctx context.Context, c *abi.Call) error {
	all, fault, err := keys(c)
	if err != nil {
		return err
	}
	for i := 0; i < len(all) && fault == nil; i++ {
		fault = c.X.Remove(ctx, all[i])
	}
	return answer(ctx, c, fault)
}

// cas is the resource of that name: an entry as it was.
type cas struct {
	key   string
	entry hostcalls.KVEntry
	found bool
}

// Drop implements abi.Resource.
func (*cas) Drop() {}

func newCAS(ctx context.Context, c *abi.Call) error {
	k, err := key(c)
	if err != nil {
		return err
	}
	e, found, err := c.X.Entry(ctx, k)
	if err != nil {
		return fail(ctx, c, err)
	}
	return c.Ok().New(&cas{k, e, found}, 0)
}

func current(_ context.Context, c *abi.Call) error {
	old, err := abi.Lent[*cas](c, 0)
	if err != nil {
		return err
	}
	putValue(c.Ok(), old.entry.Value, old.found)
	return nil
}

// The cases of cas-error.
const (
	storeError = 0
	casFailed  = 1
)

func swap(ctx context.Context, c *abi.Call) error {
	old, err := abi.Taken[*cas](c, 0)
	if err != nil {
		return err
	}
	view, err := c.Bytes(1)
	if err != nil {
		return err
	}
	_, err = c.X.Store(ctx, old.key, append([]byte{}, view...), old.entry.Version, time.Time{})
	if errors.Is(err, hostcalls.ErrConflict) {
		now := &cas{key: old.key}
		if now.entry, now.found, err = c.X.Entry(ctx, old.key); err == nil {
			return c.Err().Case(casFailed).New(now, 0)
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		putError(c.Err().Case(storeError), err)
	default:
		c.Ok()
	}
	return nil
}
