package server_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// lost is state and messages without a majority.
type lost struct{ wait bool }

var errLost = errors.New("nobody leads it")

func (l lost) fail(ctx context.Context) error {
	if l.wait {
		<-ctx.Done()
		return ctx.Err()
	}
	return errLost
}

func (l lost) Get(ctx context.Context, _ string) (hostcalls.KVEntry, error) {
	return hostcalls.KVEntry{}, l.fail(ctx)
}

func (l lost) Put(ctx context.Context, _ string, _ []byte, _ uint64, _ time.Time) (uint64, error) {
	return 0, l.fail(ctx)
}

func (l lost) Delete(ctx context.Context, _ string, _ uint64) error { return l.fail(ctx) }

func (l lost) List(ctx context.Context, _, _ string, _ int) ([]string, error) {
	return nil, l.fail(ctx)
}

func (lost) Publish(context.Context, *hostcalls.Message) error {
	return errors.Join(hostcalls.ErrUnavailable, errLost)
}

func (lost) Request(context.Context, *hostcalls.Message) (*hostcalls.Response, error) {
	return nil, errLost
}

// TestUnavailableState: a visitor is told to come again when the guest could not reach what
// it keeps, whether it trapped, was out of time, or answered 500.
func TestUnavailableState(t *testing.T) {
	store := lost{}
	e := startEdge(t, edgeOptions{engine: newEngine(t), sites: func(o *server.SitesOptions) {
		o.Limits.Wall = 1500 * time.Millisecond
		before := o.Guest
		o.Guest = func(s *tenant.Snapshot, limits tenant.Limits) *hostcalls.Tenant {
			g := before(s, limits)
			g.KV, g.Messages = store, store
			return g
		}
	}})
	post := guest(t, "../cmd/terrane/testdata/guests/post.wasm") // answers 502 itself
	fails := strings.Replace(post, "\x41\xf6\x03", "\x41\xf4\x03", 1)
	files := []string{
		"vote.wasm", guest(t, "../examples/vote/vote.wasm"), "index.wasm", guest(t, "../examples/json-api/api.wasm"),
		"keep.wasm", guest(t, "../cmd/terrane/testdata/guests/keep.wasm"), "post.wasm", post, "fails.wasm", fails,
		"trap.wasm", guest(t, "testdata/trap.wasm"),
	}
	e.deploy("alice.example", files...)
	c := e.client()
	for path, want := range map[string]int{"vote": 503, "api/notes": 503, "keep": 503, "fails": 503, "post": 502, "trap": 500} {
		a := get(t, c, "https://alice.example/"+path)
		retry := a.Header.Get("Retry-After")
		if a.StatusCode != want || (retry != "") != (want == http.StatusServiceUnavailable) {
			t.Errorf("%s: %d with Retry-After %q, want %d: %s", path, a.StatusCode, retry, want, a.body)
		}
	}
	e.log.wait(t, "nobody leads it")

	store.wait = true
	e.deploy("alice.example", append(files, "another.wasm", guest(t, "../examples/hello-wat/hello.wasm"))...)
	a := get(t, c, "https://alice.example/vote")
	if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("state that does not answer in time: %d %v %s", a.StatusCode, a.Header, a.body)
	}
}
