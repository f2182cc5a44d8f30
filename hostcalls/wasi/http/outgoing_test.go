package http_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/fetch"
)

// upstream answers what it was asked.
func upstream(t *testing.T, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Seen", fmt.Sprintf("%s %s %s %d %v %v", r.Method, r.Host, r.URL, r.ContentLength, r.Header["X-A"], r.Trailer))
	w.Header().Set("Trailer", "X-End")
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(body)
	w.Header().Set("X-End", "bye")
}

// fetching is a tenant whose requests go out by the real client.
func fetching(t *testing.T, o fetch.Options) *hostcalls.Tenant {
	c, err := fetch.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &hostcalls.Tenant{Fetcher: c}
}

func lab(t *testing.T) *hostcalls.Tenant { return fetching(t, fetch.Options{AllowPrivate: true}) }

// outgoing makes a request to the authority.
func (g *guest) outgoing(authority, path string, fields uint64) uint64 {
	g.T.Helper()
	const method = types + "[method]outgoing-request."
	r := g.Call(types+"[constructor]outgoing-request", fields)
	a, an := g.Put(authority)
	p, pn := g.Put(path)
	if g.Call(method+"set-authority", r, some, a, an)+g.Call(method+"set-path-with-query", r, some, p, pn)+
		g.Call(method+"set-scheme", r, some, 0, 0, 0) != 0 {
		g.T.Errorf("%s%s is refused", authority, path)
	}
	return r
}

func (g *guest) send(request uint64) (future uint64) {
	g.T.Helper()
	g.variant(ok, "wasi:http/outgoing-handler handle", request, none, 0, ret)
	return g.U32(8)
}

// await returns the response, or the error-code -1-n.
func (g *guest) await(future uint64) int {
	g.T.Helper()
	p := g.Call(types+"[method]future-incoming-response.subscribe", future)
	g.Traps("before", types+"[resource-drop]future-incoming-response", future)
	g.Call("wasi:io/poll [method]pollable.block", p)
	g.Call("wasi:io/poll [resource-drop]pollable", p)
	const get = types + "[method]future-incoming-response.get"
	g.variant(some, get, future, ret)
	if g.U8(8) != ok {
		g.T.Fatal("a response is given twice")
	}
	result, code := int(g.U32(24)), -1-g.U8(24)
	if g.U8(16) == failed {
		result = code
	}
	again := string(g.Mem[ret : ret+64])
	g.variant(some, get, future, ret)
	if g.U8(8) != failed {
		g.T.Error("a response is given twice")
	}
	copy(g.Mem[ret:], again)
	return result
}

// read reads an incoming body to its end, and returns it with its trailers.
func (g *guest) read(response uint64) (string, string) {
	g.T.Helper()
	g.variant(ok, types+"[method]incoming-response.consume", response, ret)
	body := g.U32(4)
	g.variant(failed, types+"[method]incoming-response.consume", response, ret)
	g.variant(ok, types+"[method]incoming-body.stream", body, ret)
	in := g.U32(4)
	var out strings.Builder
	for {
		g.Call(streams+"[method]input-stream.blocking-read", in, 100_000, ret)
		if g.U8(0) == failed {
			break
		}
		out.WriteString(g.Bytes(4))
	}
	if g.U8(4) != 1 {
		fmt.Fprintf(&out, " and the error %d", g.U8(4))
	}
	g.Call(streams+"[resource-drop]input-stream", in)
	f := g.Call(types+"[static]incoming-body.finish", body)
	p := g.Call(types+"[method]future-trailers.subscribe", f)
	g.Call("wasi:io/poll [method]pollable.block", p)
	g.variant(some, types+"[method]future-trailers.get", f, ret)
	trailers := ""
	if g.U8(16) == ok && g.U8(24) == some {
		trailers = g.entries(g.U32(28))
	}
	return out.String(), trailers
}

func TestOutgoing(t *testing.T) {
	at := upstream(t, echo)
	g := enter(t, lab(t), nil)
	f := g.fields()
	g.change(-1, f, "x-a", "1", "2")
	r := g.outgoing(at, "/p?q=1", f)
	resp := g.await(g.send(r))
	if resp < 0 {
		t.Fatalf("the error %d", resp)
	}
	if code := g.Call(types+"[method]incoming-response.status", uint64(resp)); code != 202 {
		t.Errorf("status %d", code)
	}
	h := g.Call(types+"[method]incoming-response.headers", uint64(resp))
	if got, want := g.get(h, "x-seen"), "GET "+at+" /p?q=1 0 [1 2] map[]"; len(got) != 1 || got[0] != want {
		t.Errorf("seen %q, want %q", got, want)
	}
	g.change(2, h, "x-a", "1")
	if body, trailers := g.read(uint64(resp)); body != "" || trailers != "x-end=bye" {
		t.Errorf("%q, trailers %q", body, trailers)
	}
}

// TestUpload sends bodies that are finished before the request is sent, and after it.
func TestUpload(t *testing.T) {
	at := upstream(t, echo)
	const size = 300_000
	for _, tt := range []struct {
		name          string
		before        bool
		length, trail bool
		want          string
	}{
		{"before", true, false, false, "300000 [] map[]"},
		{"after", false, false, false, "-1 [] map[]"},
		{"after, of known length", false, true, false, "300000 [] map[]"},
		{"after, with trailers", false, false, true, "-1 [] map[X-T:[1]]"},
		{"before, with trailers", true, false, true, "-1 [] map[X-T:[1]]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := enter(t, lab(t), nil)
			f := g.fields()
			if tt.length {
				g.change(-1, f, "content-length", strconv.Itoa(size))
			}
			r := g.outgoing(at, "/", f)
			g.Call(types+"[method]outgoing-request.set-method", r, 3, 0, 0)
			g.variant(ok, types+"[method]outgoing-request.body", r, ret)
			body := g.U32(4)
			g.variant(failed, types+"[method]outgoing-request.body", r, ret)
			out := g.stream(body)
			var future uint64
			if !tt.before {
				future = g.send(r)
			}
			for range size / 3000 {
				p, n := g.Put(strings.Repeat("x", 3000))
				if g.Call(streams+"[method]output-stream.blocking-write-and-flush", out, p, n, ret); g.U8(0) != ok {
					t.Fatalf("write: %d", g.U8(4))
				}
			}
			g.Call(streams+"[resource-drop]output-stream", out)
			trailers, has := uint64(0), uint64(none)
			if tt.trail {
				has, trailers = some, g.fields()
				g.change(-1, trailers, "x-t", "1")
			}
			g.variant(ok, types+"[static]outgoing-body.finish", body, has, trailers, ret)
			if tt.before {
				future = g.send(r)
			}
			resp := g.await(future)
			if resp < 0 {
				t.Fatalf("the error %d: %s", resp, g.Log.Lines())
			}
			h := g.Call(types+"[method]incoming-response.headers", uint64(resp))
			if got := g.get(h, "x-seen"); len(got) != 1 || got[0] != "PUT "+at+" / "+tt.want {
				t.Errorf("seen %q", got)
			}
			if body, _ := g.read(uint64(resp)); len(body) != size {
				t.Errorf("%d bytes have come back", len(body))
			}
		})
	}
}

func TestOutgoingErrors(t *testing.T) {
	at := upstream(t, echo)
	slow := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	silent := upstream(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	broken := upstream(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	moved := upstream(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })

	g := enter(t, lab(t), nil)
	if resp := g.await(g.send(g.outgoing(moved, "/", g.fields()))); resp < 0 || g.Call(types+"[method]incoming-response.status", uint64(resp)) != 302 {
		t.Errorf("a redirect was followed, or %d", resp)
	}
	if got := g.await(g.send(g.outgoing(broken, "/", g.fields()))); got != -1-7 { // connection-terminated
		t.Errorf("broken: %d", got)
	}
	if got := g.await(g.send(g.outgoing("127.0.0.1:1", "/", g.fields()))); got != -1-6 { // connection-refused
		t.Errorf("refused: %d", got)
	}
	timed := func(which string, to string) int {
		o := g.Call(types + "[constructor]request-options")
		g.Call(types+"[method]request-options.set-"+which, o, some, 50_000_000)
		g.variant(some, types+"[method]request-options."+which, o, ret)
		if g.U64(8) != 50_000_000 {
			t.Errorf("%s is %d", which, g.U64(8))
		}
		g.variant(ok, "wasi:http/outgoing-handler handle", g.outgoing(to, "/", g.fields()), some, o, ret)
		return g.await(g.U32(8))
	}
	if got := timed("first-byte-timeout", silent); got != -1-33 { // HTTP-response-timeout
		t.Errorf("no first byte: %d", got)
	}
	resp := timed("between-bytes-timeout", slow)
	if resp < 0 {
		t.Fatalf("slow: %d", resp)
	}
	if body, _ := g.read(uint64(resp)); body != " and the error 0" {
		t.Errorf("slow: %q", body)
	}
	// What is dropped half way ends.
	g.Call(types+"[resource-drop]future-incoming-response", g.send(g.outgoing(silent, "/", g.fields())))
	open := g.await(g.send(g.outgoing(slow, "/", g.fields())))
	g.variant(ok, types+"[method]incoming-response.consume", uint64(open), ret)

	policy := enter(t, fetching(t, fetch.Options{Allow: []string{"127.0.0.1", "allowed.example"}}), nil)
	if got := policy.await(policy.send(policy.outgoing("denied.example", "/", policy.fields()))); got != -1-15 { // HTTP-request-denied
		t.Errorf("denied: %d", got)
	}
	if got := policy.await(policy.send(policy.outgoing(at, "/", policy.fields()))); got != -1-4 { // destination-IP-prohibited
		t.Errorf("prohibited: %d", got)
	}
	bare := enter(t, &hostcalls.Tenant{}, nil)
	if got := bare.await(bare.send(bare.outgoing(at, "/", bare.fields()))); got != -1-38 {
		t.Errorf("no fetcher: %d", got)
	}
	for range 17 {
		bare.Call("wasi:http/outgoing-handler handle", bare.outgoing(at, "/", bare.fields()), none, 0, ret)
	}
	if bare.U8(0) != failed || bare.U8(8) != 11 { // connection-limit-reached
		t.Errorf("too many: %d %d", bare.U8(0), bare.U8(8))
	}
}

func TestOutgoingSetters(t *testing.T) {
	g := enter(t, nil, nil)
	r := g.Call(types+"[constructor]outgoing-request", g.fields())
	const method = types + "[method]outgoing-request."
	for _, tt := range []struct {
		setter, value string
		want          uint64
	}{
		{"authority", "example.com", 0}, {"authority", "example.com:80", 0}, {"authority", "[::1]:80", 0}, {"authority", "example.com:99999", 1},
		{"authority", "", 1}, {"authority", "user@example.com", 1}, {"authority", "a b", 1}, {"authority", "a/b", 1}, {"authority", "a:b", 1},
		{"path-with-query", "/a?b", 0}, {"path-with-query", "", 0}, {"path-with-query", "/a b", 1}, {"path-with-query", "/a\r\nb", 1},
	} {
		p, n := g.Put(tt.value)
		if got := g.Call(method+"set-"+tt.setter, r, some, p, n); got != tt.want {
			t.Errorf("%s %q: %d", tt.setter, tt.value, got)
		} else if got == 0 {
			g.variant(some, method+tt.setter, r, ret)
			if g.Bytes(4) != tt.value {
				t.Errorf("%s is %q, not %q", tt.setter, g.Bytes(4), tt.value)
			}
		}
	}
	for value, want := range map[string]uint64{"ws": 0, "a+b-c.1": 0, "1a": 1, "": 1, "a:": 1} {
		p, n := g.Put(value)
		if got := g.Call(method+"set-scheme", r, some, 2, p, n); got != want {
			t.Errorf("scheme %q: %d", value, got)
		}
	}
	for value, want := range map[string]uint64{"PURGE": 0, "bad method": 1, "": 1} {
		p, n := g.Put(value)
		if got := g.Call(method+"set-method", r, 9, p, n); got != want {
			t.Errorf("method %q: %d", value, got)
		}
	}
	p, n := g.Put("POST")
	g.Call(method+"set-method", r, 9, p, n)
	g.variant(2, method+"method", r, ret) // a known method is no other one
	g.variant(failed, "wasi:http/outgoing-handler handle", r, none, 0, ret)
	if g.U8(8) != 35 { // HTTP-protocol-error, as its scheme is a+b-c.1 or ws
		t.Errorf("handle of another scheme: %d", g.U8(8))
	}
	r = g.Call(types+"[constructor]outgoing-request", g.fields())
	g.variant(failed, "wasi:http/outgoing-handler handle", r, none, 0, ret)
	if g.U8(8) != 19 { // HTTP-request-URI-invalid: it has no authority
		t.Errorf("handle without authority: %d", g.U8(8))
	}
}

func TestWaitsEndWithTheRequest(t *testing.T) {
	silent := upstream(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	g := enter(t, lab(t), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	g.Ctx = ctx
	p := g.Call(types+"[method]future-incoming-response.subscribe", g.send(g.outgoing(silent, "/", g.fields())))
	g.Traps("deadline", "wasi:io/poll [method]pollable.block", p)
	g.Traps("deadline", "wasi:io/poll poll", g.Words(p), 1, ret)
}
