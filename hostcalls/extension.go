package hostcalls

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"time"
)

// Extension is what an ABI in another package keeps for a request.
type Extension interface {
	// Answer completes the response. The guest has returned.
	Answer()
	// Close ends everything that goes on for the request, waits for it, and makes the Extension ready for
	// another request of the same tenant.
	Close()
}

// extended is an Exchange's Extension.
type extended struct {
	extension Extension // nil until it is first asked for
	used      bool      // in this request
	complete  bool      // the response
}

// Extension returns the Extension of x, which create makes when it is first asked for.
func (x *Exchange) Extension(create func() Extension) Extension {
	e := &x.extended
	if e.extension == nil {
		e.extension = create()
	}
	e.used = true
	return e.extension
}

func (e *extended) answer() {
	if e.used && !e.complete {
		e.complete = true
		e.extension.Answer()
	}
}

func (e *extended) close() {
	if e.used {
		e.extension.Close()
	}
}

// What an ABI in another package uses of an Exchange follows. It is called by the request's
// goroutine, except where it says otherwise.

// Reply is the response that is being built.
func (x *Exchange) Reply() *Response {
	x.answered = true
	return &x.resp
}

// SendChunk adds a part to the body of the response. Header and status are settled with the
// first part that is sent, and each part is sent at once where Request.Stream is set. It
// reports false if the part was refused or could not be sent.
func (x *Exchange) SendChunk(chunk []byte) bool { return x.sendChunk(chunk) }

// Sent reports whether a part of the response has been sent.
func (x *Exchange) Sent() bool { return x.settled() }

// Refuse notes that the response must not be sent, and why.
func (x *Exchange) Refuse(format string, a ...any) { x.refuse(&x.refused, partBody, format, a...) }

// MaxBody is the number of bytes that a response's body may have.
func (x *Exchange) MaxBody() int64 { return x.t.maxBody() }

// Hold reserves n bytes of host memory for outbound requests and their responses; a negative n
// frees them. It may be called by any goroutine that Extension.Close waits for.
func (x *Exchange) Hold(n int64) error { return x.hold(n) }

// Spend takes one of the request's outbound requests.
func (x *Exchange) Spend() error { return x.spend() }

// Fetch sends an outbound request for the tenant. It may be called by any goroutine that
// Extension.Close waits for.
func (x *Exchange) Fetch(ctx context.Context, r *FetchRequest) (*FetchResponse, error) {
	if x.t.Fetcher == nil {
		return nil, errNoFetcher
	}
	if err := x.markLoop(r.Header); err != nil {
		return nil, err
	}
	r.Tenant, r.Allow = x.t.ID, x.t.Allow
	return x.t.Fetcher.Fetch(ctx, r)
}

// LookupIP resolves a name. It may be called by any goroutine that Extension.Close waits for.
func (x *Exchange) LookupIP(ctx context.Context, name string) ([]netip.Addr, error) {
	if x.t.Resolver == nil {
		return nil, errNoResolver
	}
	v4, err4 := x.t.Resolver.LookupIP(ctx, name, false)
	v6, err6 := x.t.Resolver.LookupIP(ctx, name, true)
	if len(v4)+len(v6) == 0 {
		return nil, errors.Join(err4, err6)
	}
	return append(v4, v6...), nil
}

// Log writes a line to the tenant's log, within the bounds of Logger.
func (x *Exchange) Log(level slog.Level, text string) { x.log(level, text) }

// Fail logs why a call failed.
func (x *Exchange) Fail(format string, a ...any) { x.fail(format, a...) }

// Env is the manifest's environment. It must not be changed.
func (x *Exchange) Env() map[string]string { return x.t.Env }

// Environ is the environment of a CGI program, sorted, each NAME=VALUE.
func (x *Exchange) Environ() []string { return x.environ() }

// Files are the tenant's, nil if there are none.
func (x *Exchange) Files() fs.FS { return x.t.Files }

// ClientFields calls add for each line of the request's header, by its canonical name, with
// the visitor's address as the edge knows it.
func (x *Exchange) ClientFields(add func(name, value string)) {
	known := x.req.Client.IsValid()
	for name, values := range x.req.Header {
		if name == hostHeader || known && (name == clientHeader || name == forgedHeader) {
			continue
		}
		for _, v := range values {
			add(name, v)
		}
	}
	add(hostHeader, x.req.Host)
	if known {
		add(clientHeader, x.clientIP())
	}
}

// Entry returns the value of a key in the tenant's store; found is false if there is none.
func (x *Exchange) Entry(ctx context.Context, key string) (e KVEntry, found bool, err error) {
	return x.entry(ctx, key)
}

// Store is KV.Put within the bounds of keys and values.
func (x *Exchange) Store(ctx context.Context, key string, value []byte, at uint64, expires time.Time) (uint64, error) {
	return x.store(ctx, key, value, at, expires)
}

// Update stores what do makes of a key's value, again if another request was quicker. With
// keep the entry remains as it is.
func (x *Exchange) Update(ctx context.Context, key string, do func(old KVEntry) (value []byte, expires time.Time, keep bool)) error {
	_, err := x.update(ctx, key, do)
	return err
}

// Remove removes a key.
func (x *Exchange) Remove(ctx context.Context, key string) error {
	_, err := x.remove(ctx, key)
	return err
}

// Keys lists at most limit keys that begin with prefix and come after after.
func (x *Exchange) Keys(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	if x.t.KV == nil {
		return nil, errNoKV
	}
	begun := time.Now()
	keys, err := x.t.KV.List(ctx, prefix, after, limit)
	return keys, x.reached(ctx, begun, err)
}

// CGI reports whether the guest is a CGI program, whose stdout is the response.
func (x *Exchange) CGI() bool { return x.cgi }

// Stdout is where a CGI program answers.
func (x *Exchange) Stdout() io.Writer { return (*stdout)(x) }
