package server_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// silent is a Fetcher whose hosts never answer.
type silent struct{ ended chan error }

func (s silent) Fetch(ctx context.Context, _ *hostcalls.FetchRequest) (*hostcalls.FetchResponse, error) {
	<-ctx.Done()
	s.ended <- ctx.Err()
	return nil, ctx.Err()
}

// TestDeadlineInAHostcall: a guest that waits for an upstream is ended like one that
// computes, and its wait is too.
func TestDeadlineInAHostcall(t *testing.T) {
	upstream := silent{make(chan error, 1)}
	e := startEdge(t, edgeOptions{engine: newEngine(t), sites: func(o *server.SitesOptions) {
		o.Limits.Wall = 200 * time.Millisecond
		before := o.Guest
		o.Guest = func(s *tenant.Snapshot, limits tenant.Limits) *hostcalls.Tenant {
			g := before(s, limits)
			g.Fetcher = upstream
			return g
		}
	}})
	e.deploy("alice.example", "fetch.wasm", guest(t, "../examples/fetcher/fetch.wasm"), "index.wasm", guest(t, "../examples/hello-wat/hello.wasm"))
	c := e.client()
	a := get(t, c, "https://alice.example/fetch?url=https%3A%2F%2Fupstream.example%2F")
	a.want(t, http.StatusGatewayTimeout, "took too long")
	if err := <-upstream.ended; err == nil {
		t.Error("the wait has not ended")
	}
	e.log.wait(t, a.Header.Get("Terrane-Request-Id")+" fetch.wasm at revision r1 trapped: context deadline exceeded; at ")
	e.log.wait(t, "hostcall_req_send")
	get(t, c, "https://alice.example/").want(t, 200, "Hello")
}

// TestTrapsAreNamed: the tenant's log says which functions ran, the visitor's page does not.
func TestTrapsAreNamed(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newEngine(t), sites: func(o *server.SitesOptions) { o.Limits.CPU = 100 * time.Millisecond }})
	const dir = "../internal/engine/enginetest/testdata/"
	e.deploy("alice.example",
		"unreachable.wasm", guest(t, dir+"unreachable.wasm"), "bounds.wasm", guest(t, dir+"bounds.wasm"),
		"recurse.wasm", guest(t, dir+"recurse.wasm"), "tree.wasm", guest(t, dir+"tree.wasm"), "growfault.wasm", guest(t, dir+"growfault.wasm"))
	c := e.client()
	for _, tt := range []struct {
		guest string
		code  int
		log   []string
	}{
		{"unreachable", 500, []string{"trapped: unreachable; at inner", "; at outer"}},
		{"bounds", 500, []string{"trapped: out of bounds memory access; at "}},
		{"recurse", 500, []string{"trapped: stack overflow; at down"}},
		{"growfault", 503, []string{"trapped: unreachable after the memory could not grow beyond its limit of 16384 KiB; at "}},
		{"tree", 504, []string{"trapped: the time on a processor is used up (limit 100ms); at f"}},
	} {
		a := get(t, c, "https://alice.example/"+tt.guest)
		a.want(t, tt.code, a.Header.Get("Terrane-Request-Id"))
		for _, tells := range []string{"unreachable", "bounds", "overflow", "inner", "down", " at ", "limit"} {
			if strings.Contains(a.body, tells) {
				t.Errorf("%s: the visitor is told %q", tt.guest, tells)
			}
		}
		for _, want := range tt.log {
			e.log.wait(t, want)
		}
	}
}

// TestVisitorWhoNeverReads: a guest that sends a stream to a visitor who takes none of it is
// ended when its time is up.
func TestVisitorWhoNeverReads(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newEngine(t),
		sites: func(o *server.SitesOptions) {
			o.Limits.Wall, o.Limits.CPU, o.Limits.ResponseBody = 300*time.Millisecond, time.Minute, 1<<40
		},
		server: func(o *server.Options) { o.ServePlain, o.WriteTimeout = true, time.Hour }})
	e.deploy("alice.example", "index.wasm", guest(t, "testdata/gush.wasm"))
	conn, err := net.Dial("tcp", e.http)
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, conn)
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: alice.example\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	e.log.wait(t, "index.wasm at revision r1 trapped: context ") // ended by the deadline, or by the broken connection
	e.log.wait(t, "gush")
}
