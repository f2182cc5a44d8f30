// Package keyvalue is wasi:keyvalue in its two drafts: the tenant's store as the bucket "default".
// The writes of a request are seen by each that begins after them, as in the tenant's store;
// increment and swap are atomic. increment keeps numbers as decimal text, as hostcall_kvstore_increment does.
package keyvalue

import (
	"context"
	"errors"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi/abi"
)

// Interfaces are those of wasi:keyvalue.
func Interfaces() []abi.Interface {
	const types = "error = variant{no-such-store, access-denied, other(string)} "
	draft := func(version, cursor string, listKeys func(context.Context, *abi.Call) error, pairs string, getMany func(context.Context, *abi.Call) error, more abi.Interface) []abi.Interface {
		more.Name, more.Version, more.Types = "wasi:keyvalue/atomics", version, types+more.Types
		return []abi.Interface{{
			Name: "wasi:keyvalue/store", Version: version,
			Types:     types + "key-response = record{keys: list<string>, cursor: option<" + cursor + ">}",
			Resources: []abi.ResourceType{abi.NewResource[*bucket]("bucket")},
			Funcs: []abi.Func{
				{Name: "open", Type: "func(identifier: string) -> result<bucket, error>", Do: open},
				{Name: "[method]bucket.get", Type: "func(self: borrow<bucket>, key: string) -> result<option<list<u8>>, error>", Do: get},
				{Name: "[method]bucket.set", Type: "func(self: borrow<bucket>, key: string, value: list<u8>) -> result<_, error>", Do: set},
				{Name: "[method]bucket.delete", Type: "func(self: borrow<bucket>, key: string) -> result<_, error>", Do: remove},
				{Name: "[method]bucket.exists", Type: "func(self: borrow<bucket>, key: string) -> result<bool, error>", Do: exists},
				{Name: "[method]bucket.list-keys", Type: "func(self: borrow<bucket>, cursor: option<" + cursor + ">) -> result<key-response, error>", Do: listKeys},
			},
		}, {
			Name: "wasi:keyvalue/batch", Version: version, Uses: "bucket", Types: types,
			Funcs: []abi.Func{
				{Name: "get-many", Type: "func(bucket: borrow<bucket>, keys: list<string>) -> result<list<" + pairs + ">, error>", Do: getMany},
				{Name: "set-many", Type: "func(bucket: borrow<bucket>, key-values: list<tuple<string, list<u8>>>) -> result<_, error>", Do: setMany},
				{Name: "delete-many", Type: "func(bucket: borrow<bucket>, keys: list<string>) -> result<_, error>", Do: deleteMany},
			},
		}, more}
	}
	first := draft("0.2.0-draft", "u64", listKeysByNumber, "option<tuple<string, list<u8>>>", getMany(true), abi.Interface{
		Uses: "bucket",
		Funcs: []abi.Func{
			{Name: "increment", Type: "func(bucket: borrow<bucket>, key: string, delta: u64) -> result<u64, error>", Do: incrementUnsigned},
		},
	})
	second := draft("0.2.0-draft2", "string", listKeysByName, "tuple<string, option<list<u8>>>", getMany(false), abi.Interface{
		Uses:      "bucket",
		Types:     "cas-error = variant{store-error(error), cas-failed(cas)}",
		Resources: []abi.ResourceType{abi.NewResource[*cas]("cas")},
		Funcs: []abi.Func{
			{Name: "increment", Type: "func(bucket: borrow<bucket>, key: string, delta: s64) -> result<s64, error>", Do: increment},
			{Name: "[static]cas.new", Type: "func(bucket: borrow<bucket>, key: string) -> result<cas, error>", Do: newCAS},
			{Name: "[method]cas.current", Type: "func(self: borrow<cas>) -> result<option<list<u8>>, error>", Do: current},
			{Name: "swap", Type: "func(cas: cas, value: list<u8>) -> result<_, cas-error>", Do: swap},
		},
	})
	return append(first, second...)
}

// The cases of error.
const (
	noSuchStore = 0
	otherError  = 2
)

// bucket is the resource of that name.
type bucket struct{}

// Drop implements abi.Resource.
func (*bucket) Drop() {}

// part is what this package keeps for a request: where list-keys goes on, by the number that
// the guest has for it.
type part struct{ cursors []string }

func partOf(s *abi.State) *part {
	return abi.PartOf(s, abi.PartKeyValue, func(*abi.State) *part { return &part{} })
}

// Idle implements abi.Part.
func (*part) Idle() {}

// Answer implements abi.Part.
func (*part) Answer() {}

// Close implements abi.Part.
func (p *part) Close() { p.cursors = nil }

func open(_ context.Context, c *abi.Call) error {
	name, err := c.Text(0)
	if err != nil {
		return err
	}
	if len(name) > 0 && string(name) != "default" {
		c.Err().Case(noSuchStore)
		return nil
	}
	return c.Ok().New(&bucket{}, 0)
}

// fail answers with an error of the store; one of the request's end is a trap.
func fail(ctx context.Context, c *abi.Call, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	putError(c.Err(), err)
	return nil
}

func putError(to abi.Place, err error) { to.Case(otherError).Text(abi.Valid(err.Error())) }

// key is the key in core parameters 1 and 2, of a call whose first one is a bucket.
func key(c *abi.Call) (string, error) {
	if _, err := abi.Lent[*bucket](c, 0); err != nil {
		return "", err
	}
	b, err := c.Text(1)
	return string(b), err
}

func get(ctx context.Context, c *abi.Call) error {
	k, err := key(c)
	if err != nil {
		return err
	}
	e, found, err := c.X.Entry(ctx, k)
	if err != nil {
		return fail(ctx, c, err)
	}
	putValue(c.Ok(), e.Value, found)
	return nil
}

func putValue(to abi.Place, value []byte, found bool) {
	if !found {
		to.None()
		return
	}
	to.Some().Bytes(value)
}

func exists(ctx context.Context, c *abi.Call) error {
	k, err := key(c)
	if err != nil {
		return err
	}
	_, found, err := c.X.Entry(ctx, k)
	if err != nil {
		return fail(ctx, c, err)
	}
	c.Ok().PutBool(found)
	return nil
}

// put stores a value whatever the key holds.
func put(ctx context.Context, c *abi.Call, k string, view []byte) error {
	value := append([]byte{}, view...) // the store keeps it
	return c.X.Update(ctx, k, func(hostcalls.KVEntry) ([]byte, time.Time, bool) { return value, time.Time{}, false })
}

func set(ctx context.Context, c *abi.Call) error {
	k, err := key(c)
	if err != nil {
		return err
	}
	value, err := c.Bytes(3)
	if err != nil {
		return err
	}
	return answer(ctx, c, put(ctx, c, k, value))
}

// answer is a result without a value.
func answer(ctx context.Context, c *abi.Call, err error) error {
	if err != nil {
		return fail(ctx, c, err)
	}
	c.Ok()
	return nil
}

func remove(ctx context.Context, c *abi.Call) error {
	k, err := key(c)
	if err != nil {
		return err
	}
	return answer(ctx, c, c.X.Remove(ctx, k))
}

// page is how many keys list-keys returns at most.
const page = 1000

// list returns the keys that come after a key, and whether there may be more. Keys that other
// guests have chosen and that are no text are left out.
func list(ctx context.Context, c *abi.Call, after string) (keys []string, last string, more bool, err error) {
	all, err := c.X.Keys(ctx, "", after, page)
	if err != nil {
		return nil, "", false, err
	}
	for _, k := range all {
		if utf8.ValidString(k) {
			keys = append(keys, k)
		}
	}
	if len(all) > 0 {
		last = all[len(all)-1]
	}
	return keys, last, len(all) == page, nil
}

func putKeys(to abi.Place, keys []string) {
	l := to.List(len(keys))
	for i, k := range keys {
		l.At(i).Text(k)
	}
}

// cursorText is a cursor of the second draft: the last key, quoted so that it is text.
func cursorText(last string) string { return strconv.QuoteToASCII(last) }

var errCursor = errors.New("the cursor is none that list-keys has returned")

func listKeysByName(ctx context.Context, c *abi.Call) error {
	if _, err := abi.Lent[*bucket](c, 0); err != nil {
		return err
	}
	some, err := c.Case(1, 2)
	if err != nil {
		return err
	}
	after := ""
	if some == 1 {
		b, err := c.Text(2)
		if err != nil {
			return err
		}
		if after, err = strconv.Unquote(string(b)); err != nil {
			return fail(ctx, c, errCursor)
		}
	}
	keys, last, more, err := list(ctx, c, after)
	if err != nil {
		return fail(ctx, c, err)
	}
	r := c.Ok()
	putKeys(r.Field(0), keys)
	if more {
		r.Field(1).Some().Text(cursorText(last))
	} else {
		r.Field(1).None()
	}
	return nil
}

// maxCursors bounds the cursors of a request.
const maxCursors = 10_000

func listKeysByNumber(ctx context.Context, c *abi.Call) error {
	if _, err := abi.Lent[*bucket](c, 0); err != nil {
		return err
	}
	some, err := c.Case(1, 2)
	if err != nil {
		return err
	}
	p, after := partOf(c.State), ""
	if some == 1 {
		n := c.U64(2)
		if n == 0 || n > uint64(len(p.cursors)) {
			return fail(ctx, c, errCursor)
		}
		after = p.cursors[n-1]
	}
	keys, last, more, err := list(ctx, c, after)
	if err != nil {
		return fail(ctx, c, err)
	}
	r := c.Ok()
	putKeys(r.Field(0), keys)
	if more && len(p.cursors) < maxCursors {
		p.cursors = append(p.cursors, last)
		r.Field(1).Some().Put(uint64(len(p.cursors)))
	} else {
		r.Field(1).None()
	}
	return nil
}

var errNumber = errors.New("the value is no number of 64 bits, or the sum is none")

// incrementUnsigned is increment by what may not fit a signed number.
func incrementUnsigned(ctx context.Context, c *abi.Call) error {
	if _, err := key(c); err != nil {
		return err
	}
	if int64(c.U64(3)) < 0 {
		return fail(ctx, c, errNumber)
	}
	return increment(ctx, c)
}

func increment(ctx context.Context, c *abi.Call) error {
	k, err := key(c)
	if err != nil {
		return err
	}
	delta, sum, valid := int64(c.U64(3)), int64(0), false
	err = c.X.Update(ctx, k, func(old hostcalls.KVEntry) ([]byte, time.Time, bool) {
		sum, valid = hostcalls.AddDecimal(old.Value, delta)
		return strconv.AppendInt(nil, sum, 10), old.Expires, !valid
	})
	if err == nil && !valid {
		err = errNumber
	}
	if err != nil {
		return fail(ctx, c, err)
	}
	c.Ok().Put(uint64(sum))
	return nil
}
