package hostcalls

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"strconv"
	"time"
)

// extraFunctions are what authors asked Terrarium for, in the conventions of env.
func extraFunctions() []Func {
	f := func(name, sig string, do impl) Func { return define(moduleEnv, "hostcall_"+name, sig, do) }
	return []Func{
		f("env_get", "iiii:i", envGet),
		f("edge_name", "ii", giveText(func(x *Exchange) string { return x.t.Edge })),
		f("edge_region", "ii", giveText(func(x *Exchange) string { return x.t.Region })),
		f("request_id", "ii", giveText(func(x *Exchange) string { return x.req.ID })),
		f("last_error", "ii", giveText(func(x *Exchange) string { return x.reason })),
		f("log", "iii", logLine),

		f("kvstore_get_version", "iiiii:i", kvstoreGetVersion),
		f("kvstore_put", "iiiiIi:I", kvstorePut),
		f("kvstore_increment", "iiIii:i", kvstoreIncrement),
		f("kvstore_list", "iiiiiii", kvstoreList),

		f("req_set_timeout", "ii:i", reqSetTimeout),
		f("req_send_streaming", "i:i", reqSendStreaming),
		f("resp_read", "iii:i", respRead),
		f("resp_send_chunk", "iii:i", respSendChunk),

		f("publish", "iiii:i", publish),
		f("request", "iiii:i", ask),
	}
}

func giveText(of func(*Exchange) string) impl {
	return func(ctx context.Context, x *Exchange, g Guest, a args) error {
		o, err := a.out(g)
		if err != nil {
			return err
		}
		return give(ctx, x, g, o, of(x))
	}
}

func envGet(ctx context.Context, x *Exchange, g Guest, a args) error {
	o, err := a.out(g)
	if err != nil {
		return err
	}
	name, err := a.bytes(g, 2, "name")
	if err != nil {
		return err
	}
	value, ok := x.t.Env[string(name)]
	return giveFound(ctx, x, g, a, o, value, ok)
}

func logLine(_ context.Context, x *Exchange, g Guest, a args) error {
	msg, err := a.text(g, 1, "message")
	if err != nil {
		return err
	}
	levels := [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	if !x.logs() {
		return nil
	}
	x.log(levels[min(a.u32(0), uint32(len(levels)-1))], string(msg))
	return nil
}

func kvstoreGetVersion(ctx context.Context, x *Exchange, g Guest, a args) error {
	o, err := a.out(g)
	if err != nil {
		return err
	}
	place := a.u32(2)
	if _, err := view(g, place, 8, "version result"); err != nil {
		return err
	}
	key, err := a.bytes(g, 3, "key")
	if err != nil {
		return err
	}
	e, ok, err := x.entry(ctx, string(key))
	if err != nil {
		return err
	}
	err = giveFound(ctx, x, g, a, o, e.Value, ok)
	put(g, place, e.Version)
	return err
}

// anyVersion makes kvstore_put overwrite whatever is there.
const anyVersion = math.MaxUint64

func kvstorePut(ctx context.Context, x *Exchange, g Guest, a args) error {
	key, err := a.bytes(g, 0, "key")
	if err != nil {
		return err
	}
	value, err := a.bytes(g, 2, "value")
	if err != nil {
		return err
	}
	a[0], err = x.put(ctx, string(key), append([]byte{}, value...), a[4], expiry(a.u32(5)))
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
	key, err := a.bytes(g, 0, "key")
	if err != nil {
		return err
	}
	delta, ttl, place := int64(a[2]), a.u32(3), a.u32(4)
	if _, err := view(g, place, 8, "result"); err != nil {
		return err
	}
	name, sum, valid := string(key), int64(0), true
	_, err = x.update(ctx, name, func(old KVEntry) ([]byte, time.Time, bool) {
		expires := old.Expires
		if old.Version == 0 {
			expires = expiry(ttl)
		}
		sum, valid = add(old.Value, delta)
		return strconv.AppendInt(nil, sum, 10), expires, !valid
	})
	if err == nil && valid {
		put(g, place, uint64(sum))
	} else if err == nil {
		x.fail("kvstore_increment: the value of %.80q is no number of 64 bits, or grows beyond", name)
	}
	a.returnsStatus(valid)
	return err
}

// add reports false if text is no number, or the sum overflows. No text is 0.
func add(text []byte, delta int64) (int64, bool) {
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
	o, err := a.out(g)
	if err != nil {
		return err
	}
	prefix, err := a.bytes(g, 2, "prefix")
	if err != nil {
		return err
	}
	after, err := a.bytes(g, 4, "after")
	if err != nil {
		return err
	}
	if x.t.KV == nil {
		return errNoKV
	}
	begun := time.Now()
	keys, err := x.t.KV.List(ctx, string(prefix), string(after), int(min(a.u32(6), maxKeys)))
	if err != nil {
		return x.reached(ctx, begun, err)
	}
	return x.giveList(ctx, g, o, keys, false)
}

func reqSetTimeout(_ context.Context, x *Exchange, _ Guest, a args) error {
	r := x.at(a.handle(0)).request
	if r != nil {
		r.timeout = time.Duration(a.u32(1)) * time.Millisecond
	}
	a.returnsStatus(r != nil)
	return nil
}

func reqSendStreaming(ctx context.Context, x *Exchange, _ Guest, a args) error {
	if r := x.at(a.handle(0)).request; r != nil {
		r.streaming = true
	}
	return reqSend(ctx, x, nil, a)
}

// respRead reads what has arrived of a response's body, at least one byte, into
// the guest's buffer. It returns the number of bytes: 0 at the end.
func respRead(ctx context.Context, x *Exchange, g Guest, a args) error {
	buf, err := a.bytes(g, 1, "buffer")
	if err != nil {
		return err
	}
	buf = buf[:min(len(buf), math.MaxInt32)]
	r := x.at(a.handle(0)).response
	if r == nil || len(buf) == 0 {
		if r == nil {
			x.fail("no response has the handle %d", a.handle(0))
		}
		a.returns(failed)
		return nil
	}
	n, err := r.read(buf)
	if err != nil && !errors.Is(err, io.EOF) {
		x.fail("read of a response: %v", err)
		n = failed
	}
	a.returns(int32(n))
	return ctx.Err()
}

// read takes from the stream, or from a body that is already whole.
func (r *response) read(buf []byte) (n int, err error) {
	if r.stream == nil {
		n = copy(buf, r.body[r.offset:])
		r.offset += n
		return n, nil
	}
	for n == 0 && err == nil {
		n, err = r.stream.Read(buf)
	}
	if n > 0 {
		err = nil // it comes again
	}
	return n, err
}

// respSendChunk sends a part of the body to the visitor at once, headers and
// status before the first; they are settled then.
func respSendChunk(ctx context.Context, x *Exchange, g Guest, a args) error {
	chunk, err := a.bytes(g, 1, "chunk")
	if err != nil {
		return err
	}
	a.returnsStatus(a.handle(0) == responseOutgoing && x.sendChunk(chunk))
	return ctx.Err()
}

func (x *Exchange) sendChunk(chunk []byte) bool {
	x.answered = true
	if limit := x.t.maxBody(); x.refused[partBody] != "" || x.streamed+int64(len(x.resp.Body)+len(chunk)) > limit {
		return x.refuse(&x.refused, partBody, "a response body of more than the limit of %d bytes", limit)
	}
	if x.req.Stream == nil { // the server sends the whole body when the guest has returned
		x.resp.Body = append(x.resp.Body, chunk...)
		return true
	}
	if err := x.refused.err(); x.stream == nil && err != nil { // the visitor would get an answer that lacks a part
		return x.refuse(&x.refused, partBody, "no chunk is sent after a refused part of the response: %v", err)
	}
	if x.stream == nil {
		w, err := x.req.Stream(&x.resp)
		if err != nil {
			x.fail("the visitor cannot be sent to: %v", err)
			return false
		}
		x.stream = w
	}
	before := x.resp.Body
	x.resp.Body = before[:0]
	for _, part := range [...][]byte{before, chunk} {
		x.streamed += int64(len(part))
		if len(part) == 0 {
			continue
		}
		if _, err := x.stream.Write(part); err != nil {
			x.fail("the visitor cannot be sent to: %v", err)
			return false
		}
	}
	return true
}

// settled reports whether status and headers have been sent.
func (x *Exchange) settled() bool { return x.stream != nil }

// tooLate reports whether a header can no longer be set, and logs it. The response goes on: it
// is what it would be without the header.
func (x *Exchange) tooLate() bool {
	if x.settled() {
		x.fail("a response header was set after the header was sent")
	}
	return x.settled()
}
