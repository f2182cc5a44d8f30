package http_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi"
	"github.com/terrane/terrane/hostcalls/wasi/abitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ret     = abitest.Ret
	types   = "wasi:http/types "
	streams = "wasi:io/streams "
)

// guest is a component that has been entered.
type guest struct {
	*abitest.Guest
	request, out uint64
}

func enter(t testing.TB, tn *hostcalls.Tenant, req *hostcalls.Request) *guest {
	g := &guest{Guest: abitest.New(t, wasi.Functions(), tn, req)}
	g.request, g.out = g.Call("terrane:abi request"), g.Call("terrane:abi outparam")
	return g
}

func visit() *hostcalls.Request {
	return &hostcalls.Request{
		Method: "POST", Path: "/a%20b?c=d", Host: "example.com:8443", Scheme: "https", Body: []byte("hello"),
		Header: http.Header{
			"Accept": {"text/html", "text/plain"}, "X-Empty": {""}, "Connection": {"close"}, "Te": {"trailers"},
			"Fastly-Client-Ip": {"6.6.6.6"}, "X-Fastly-Client-Ip": {"6.6.6.6"},
		},
		Client: netip.MustParseAddr("192.0.2.7"),
	}
}

// variant expects a result of a case.
func (g *guest) variant(want int, name string, args ...uint64) {
	g.T.Helper()
	g.Call(name, args...)
	if got := g.U8(0); got != want {
		g.T.Errorf("%s is case %d, want %d", name, got, want)
	}
}

const (
	ok     = 0
	failed = 1
	none   = 0
	some   = 1
)

func (g *guest) fields() uint64 { return g.Call(types + "[constructor]fields") }

// change calls append, or set with several values, and expects ok (-1) or a case of header-error.
func (g *guest) change(want int, fields uint64, name string, values ...string) {
	g.T.Helper()
	n, nl := g.Put(name)
	var list []uint64
	for _, v := range values {
		p, l := g.Put(v)
		list = append(list, p, l)
	}
	if len(values) == 1 {
		g.Call(types+"[method]fields.append", fields, n, nl, list[0], list[1], ret)
	} else {
		g.Call(types+"[method]fields.set", fields, n, nl, g.Words(list...), uint64(len(values)), ret)
	}
	got := -1
	if g.U8(0) == failed {
		got = g.U8(1)
	}
	if got != want {
		g.T.Errorf("%q: %q gives %d, want %d", name, values, got, want)
	}
}

func (g *guest) get(fields uint64, name string) []string {
	g.T.Helper()
	p, n := g.Put(name)
	g.Call(types+"[method]fields.get", fields, p, n, ret)
	var out []string
	for i := range g.U32(4) {
		out = append(out, g.BytesAt(g.U32(0)+8*i))
	}
	return out
}

func (g *guest) entries(fields uint64) string {
	g.T.Helper()
	g.Call(types+"[method]fields.entries", fields, ret)
	var out []string
	for i := range g.U32(4) {
		at := g.U32(0) + 16*i
		out = append(out, g.BytesAt(at)+"="+g.BytesAt(at+8))
	}
	return strings.Join(out, "|")
}

// response makes a response of the fields and returns its handle and that of its body.
func (g *guest) response(fields uint64) (resp, body uint64) {
	g.T.Helper()
	resp = g.Call(types+"[constructor]outgoing-response", fields)
	g.variant(ok, types+"[method]outgoing-response.body", resp, ret)
	return resp, g.U32(4)
}

func (g *guest) set(resp uint64) {
	g.T.Helper()
	g.Call(types+"[static]response-outparam.set", g.out, ok, resp, 0, 0, 0, 0, 0, 0)
}

func (g *guest) stream(body uint64) uint64 {
	g.T.Helper()
	g.variant(ok, types+"[method]outgoing-body.write", body, ret)
	return g.U32(4)
}

func (g *guest) write(stream uint64, text string) int {
	g.T.Helper()
	p, n := g.Put(text)
	g.Call(streams+"[method]output-stream.blocking-write-and-flush", stream, p, n, ret)
	return g.U8(0)
}

func (g *guest) finish(stream, body uint64) {
	g.T.Helper()
	g.Call(streams+"[resource-drop]output-stream", stream)
	g.variant(ok, types+"[static]outgoing-body.finish", body, none, 0, ret)
}

// answer is what a visitor gets: of a refused response the reason.
func (g *guest) answer() (resp *hostcalls.Response, body string) {
	g.T.Helper()
	r := g.X.Response()
	if err := g.X.Refused(); err != nil {
		return r, "refused: " + err.Error()
	}
	return r, string(r.Body)
}

func TestRequest(t *testing.T) {
	g := enter(t, nil, visit())
	const method = types + "[method]incoming-request."
	g.variant(2, method+"method", g.request, ret) // post
	g.variant(some, method+"path-with-query", g.request, ret)
	if got := g.Bytes(4); got != "/a%20b?c=d" {
		t.Errorf("path %q", got)
	}
	g.variant(some, method+"scheme", g.request, ret)
	if g.U8(4) != 1 {
		t.Errorf("scheme %d", g.U8(4))
	}
	g.variant(some, method+"authority", g.request, ret)
	if got := g.Bytes(4); got != "example.com:8443" {
		t.Errorf("authority %q", got)
	}
	h := g.Call(method+"headers", g.request)
	if got, want := g.entries(h), "accept=text/html|accept=text/plain|fastly-client-ip=192.0.2.7|host=example.com:8443|te=trailers|x-empty="; got != want {
		t.Errorf("headers %q, want %q", got, want)
	}
	g.change(2, h, "x-new", "1")
	g.Call(types+"[resource-drop]fields", h)

	g.variant(ok, method+"consume", g.request, ret)
	body := g.U32(4)
	g.variant(failed, method+"consume", g.request, ret)
	g.variant(ok, types+"[method]incoming-body.stream", body, ret)
	in := g.U32(4)
	g.variant(failed, types+"[method]incoming-body.stream", body, ret)
	g.variant(ok, streams+"[method]input-stream.read", in, 3, ret)
	if got := g.Bytes(4); got != "hel" {
		t.Errorf("read %q", got)
	}
	g.Traps("before", types+"[static]incoming-body.finish", body)
	g.Call(streams+"[resource-drop]input-stream", in)
	g.Call(types+"[resource-drop]incoming-request", g.request)
	trailers := g.Call(types+"[static]incoming-body.finish", body)
	g.variant(some, types+"[method]future-trailers.get", trailers, ret)
	if g.U8(8) != ok || g.U8(16) != ok || g.U8(24) != none {
		t.Errorf("trailers % x", g.Mem[ret:ret+48])
	}
	g.variant(some, types+"[method]future-trailers.get", trailers, ret)
	if g.U8(8) != failed {
		t.Error("trailers come twice")
	}
}

func TestOtherMethods(t *testing.T) {
	for i, m := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PURGE"} {
		g := enter(t, nil, &hostcalls.Request{Method: m, Path: "/", Scheme: "http", Header: http.Header{}})
		g.variant(i, types+"[method]incoming-request.method", g.request, ret)
		if i == 9 && g.Bytes(4) != m {
			t.Errorf("%q", g.Bytes(4))
		}
	}
}

func TestEndOfBody(t *testing.T) {
	g := enter(t, nil, visit())
	g.variant(ok, types+"[method]incoming-request.consume", g.request, ret)
	g.variant(ok, types+"[method]incoming-body.stream", g.U32(4), ret)
	in := g.U32(4)
	g.variant(ok, streams+"[method]input-stream.blocking-read", in, 1<<40, ret)
	if g.Bytes(4) != "hello" {
		t.Errorf("%q", g.Bytes(4))
	}
	p := g.Call(streams+"[method]input-stream.subscribe", in)
	g.Traps("before", streams+"[resource-drop]input-stream", in)
	g.Call("wasi:io/poll [method]pollable.block", p)
	for range 2 {
		g.variant(failed, streams+"[method]input-stream.blocking-read", in, 10, ret)
		if g.U8(4) != 1 {
			t.Errorf("the end is the error %d", g.U8(4))
		}
	}
}

func TestFields(t *testing.T) {
	const syntax, forbidden, immutable = 0, 1, 2
	g := enter(t, nil, nil)
	f := g.fields()
	g.change(-1, f, "X-One", "1")
	g.change(-1, f, "x-one", "\t\xff 2")
	g.change(-1, f, "x-two", "a", "b")
	g.change(-1, f, "host", "elsewhere.example")
	g.change(syntax, f, "x one", "1")
	g.change(syntax, f, "", "1")
	g.change(syntax, f, "x-bad", "a\nb")
	g.change(syntax, f, "x-bad", "ok", "a\x00b")
	g.change(forbidden, f, "Transfer-Encoding", "chunked")
	g.change(forbidden, f, "Keep-alive", "\n") // the name is judged first
	g.change(forbidden, f, "upgrade")
	if got := g.get(f, "X-ONE"); strings.Join(got, "|") != "1|\t\xff 2" {
		t.Errorf("%q", got)
	}
	if got := g.get(f, "no such name"); got != nil {
		t.Errorf("%q", got)
	}
	copied := g.Call(types+"[method]fields.clone", f)
	g.change(-1, copied, "x-two") // an empty set deletes
	n, nl := g.Put("X-One")
	g.variant(ok, types+"[method]fields.delete", copied, n, nl, ret)
	if got := g.entries(copied); got != "host=elsewhere.example" {
		t.Errorf("the copy has %q", got)
	}
	if got := g.entries(f); got != "x-one=1|x-one=\t\xff 2|x-two=a|x-two=b|host=elsewhere.example" {
		t.Errorf("%q", got)
	}
	if g.Call(types+"[method]fields.has", f, n, nl) != 1 || g.Call(types+"[method]fields.has", copied, n, nl) != 0 {
		t.Error("has")
	}

	resp := g.Call(types+"[constructor]outgoing-response", f)
	g.Traps("no handle", types+"[method]fields.entries", f, ret)
	given := g.Call(types+"[method]outgoing-response.headers", resp)
	g.change(immutable, given, "x-three", "1")
	g.change(immutable, given, "x-three", "1", "\n") // for set, before the values
	g.change(syntax, given, "x-three", "\n")         // for append, after the value
	g.change(forbidden, given, "connection", "1")
	g.variant(failed, types+"[method]fields.delete", given, n, nl, ret)
	mine := g.Call(types+"[method]fields.clone", given)
	g.change(-1, mine, "x-three", "1")
}

func TestFromList(t *testing.T) {
	g := enter(t, nil, nil)
	list := func(pairs ...string) (at, n uint64) {
		var words []uint64
		for _, s := range pairs {
			p, l := g.Put(s)
			words = append(words, p, l)
		}
		return g.Words(words...), uint64(len(pairs) / 2)
	}
	const fromList = types + "[static]fields.from-list"
	at, n := list("A", "1", "b", "2")
	g.variant(ok, fromList, at, n, ret)
	if got := g.entries(g.U32(4)); got != "a=1|b=2" {
		t.Errorf("%q", got)
	}
	for want, bad := range map[int][]string{0: {"a", "1", "b", "\r"}, 1: {"connection", "close"}} {
		at, n = list(bad...)
		g.variant(failed, fromList, at, n, ret)
		if g.U8(4) != want {
			t.Errorf("%q: %d", bad, g.U8(4))
		}
	}
	// One value of 1 MiB, named 100,000 times.
	name, _ := g.Put("x")
	big := uint64(2 << 20)
	for i := range 1 << 20 {
		g.Mem[big+uint64(i)] = 'v'
	}
	var words []uint64
	for range 100_000 {
		words = append(words, name, 1, big, 1<<20)
	}
	g.Traps("more than 2 MiB", fromList, g.Words(words...), 100_000, ret)
}

func TestResponse(t *testing.T) {
	for _, before := range []bool{true, false} {
		g := enter(t, nil, nil)
		f := g.fields()
		g.change(-1, f, "content-type", "text/plain")
		g.change(-1, f, "x-many", "1", "2")
		g.change(-1, f, "host", "example.com")
		resp, body := g.response(f)
		if g.Call(types+"[method]outgoing-response.status-code", resp) != 200 {
			t.Error("the first status is not 200")
		}
		for status, want := range map[uint64]uint64{201: 0, 100: 1, 1000: 1, 1<<16 + 404: 0} {
			if got := g.Call(types+"[method]outgoing-response.set-status-code", resp, status); got != want {
				t.Errorf("status %d: %d", status, got)
			}
		}
		g.Call(types+"[method]outgoing-response.set-status-code", resp, 404)
		g.variant(failed, types+"[method]outgoing-response.body", resp, ret)
		out := g.stream(body)
		g.variant(failed, types+"[method]outgoing-body.write", body, ret)
		if !before {
			g.set(resp)
		}
		g.write(out, "hello, ")
		if before {
			g.set(resp)
		}
		g.write(out, "world")
		g.Traps("before", types+"[static]outgoing-body.finish", body, none, 0, ret)
		g.finish(out, body)
		r, text := g.answer()
		if r.Code != 404 || text != "hello, world" || strings.Join(r.Header["X-Many"], "|") != "1|2" || r.Header.Get("Content-Type") != "text/plain" || r.Header["Host"] != nil {
			t.Errorf("%d %v %q", r.Code, r.Header, text)
		}
		g.Traps("no handle", types+"[static]response-outparam.set", g.out, ok, resp, 0, 0, 0, 0, 0, 0)
	}
}

func TestResponsesThatAreNone(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		do         func(g *guest)
	}{
		{"nothing", "without a response", func(*guest) {}},
		{"outparam dropped", "without a response", func(g *guest) { g.Call(types+"[resource-drop]response-outparam", g.out) }},
		{"no finish", "outgoing-body.finish", func(g *guest) {
			resp, body := g.response(g.fields())
			g.set(resp)
			g.write(g.stream(body), "half")
		}},
		{"body dropped", "outgoing-body.finish", func(g *guest) {
			resp, body := g.response(g.fields())
			g.set(resp)
			g.Call(types+"[resource-drop]outgoing-body", body)
		}},
		{"an error", `internal-error: "oh no"`, func(g *guest) {
			p, n := g.Put("oh no")
			g.Call(types+"[static]response-outparam.set", g.out, failed, 38, some, p, n, 0, 0, 0)
		}},
		{"another error", `HTTP-request-header-size: "x-big" (70000)`, func(g *guest) {
			p, n := g.Put("x-big")
			g.Call(types+"[static]response-outparam.set", g.out, failed, 22, some, some, p, n, some, 70000)
		}},
		{"too much header", "256 KiB", func(g *guest) {
			f := g.fields()
			for range 3 {
				g.change(-1, f, "x-big", strings.Repeat("x", 100_000))
			}
			resp, _ := g.response(f)
			g.set(resp)
		}},
		{"too much body", "limit of 1000", func(g *guest) {
			resp, body := g.response(g.fields())
			out := g.stream(body)
			g.set(resp)
			if g.write(out, strings.Repeat("x", 1000)) != ok || g.write(out, "x") != failed {
				g.T.Error("the limit does not hold")
			}
			g.finishFails(out, body)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tn := &hostcalls.Tenant{}
			tn.Limits.ResponseBody = 1000
			g := enter(t, tn, nil)
			tt.do(g)
			if _, text := g.answer(); !strings.HasPrefix(text, "refused: ") || !strings.Contains(text, tt.want) {
				t.Errorf("%q, want a refusal with %q", text, tt.want)
			}
		})
	}
	g := enter(t, nil, nil)
	g.Traps("not one of 39 cases", types+"[static]response-outparam.set", g.out, failed, 39, 0, 0, 0, 0, 0, 0)
}

func (g *guest) finishFails(stream, body uint64) {
	g.T.Helper()
	g.Call(streams+"[resource-drop]output-stream", stream)
	g.variant(failed, types+"[static]outgoing-body.finish", body, none, 0, ret)
}

func TestContentLength(t *testing.T) {
	with := func(g *guest, length string) (resp, body uint64) {
		f := g.fields()
		g.change(-1, f, "Content-Length", length)
		return g.response(f)
	}
	g := enter(t, nil, nil)
	resp, body := with(g, "5")
	g.set(resp)
	out := g.stream(body)
	if g.write(out, "hello") != ok {
		t.Error("a body of the length fails")
	}
	g.finish(out, body)
	if _, text := g.answer(); text != "hello" {
		t.Errorf("%q", text)
	}

	g = enter(t, nil, nil)
	_, body = with(g, "5")
	out = g.stream(body)
	if g.write(out, "hello!") != failed || g.U8(4) != 0 {
		t.Error("a body beyond the length is written")
	}
	g.variant(some, types+"http-error-code", g.U32(8), ret)
	if g.U8(8) != 28 || g.U8(16) != some || g.U64(24) != 6 { // HTTP-response-body-size(some(6))
		t.Errorf("error-code % x", g.Mem[ret:ret+40])
	}

	g = enter(t, nil, nil)
	resp, body = with(g, "5")
	g.set(resp)
	out = g.stream(body)
	g.write(out, "hell")
	g.finishFails(out, body)
	if g.U8(8) != 28 || g.U8(16) != some || g.U64(24) != 4 {
		t.Errorf("error-code % x", g.Mem[ret:ret+40])
	}
	if _, text := g.answer(); !strings.HasPrefix(text, "refused") {
		t.Errorf("%q", text)
	}

	for _, bad := range []string{"five", "-1", "+5", "5 5", ""} {
		g := enter(t, nil, nil)
		f := g.fields()
		g.change(-1, f, "content-length", bad)
		resp := g.Call(types+"[constructor]outgoing-response", f)
		g.variant(failed, types+"[method]outgoing-response.body", resp, ret)
	}
}

func TestStreamRules(t *testing.T) {
	g := enter(t, nil, nil)
	_, body := g.response(g.fields())
	out := g.stream(body)
	g.variant(ok, streams+"[method]output-stream.check-write", out, ret)
	n := g.U64(8)
	if n < 4096 {
		t.Errorf("a budget of %d", n)
	}
	g.Traps("check-write", streams+"[method]output-stream.write", out, 8192, n+1, ret)
	g.Traps("4096", streams+"[method]output-stream.blocking-write-and-flush", out, 8192, 4097, ret)
	g.Traps("4096", streams+"[method]output-stream.blocking-write-zeroes-and-flush", out, 4097, ret)
	g.Traps("check-write", streams+"[method]output-stream.write-zeroes", out, n+1, ret)
	g.Traps("empty", "wasi:io/poll poll", 4096, 0, ret)
	g.Traps("outside", "wasi:io/poll poll", 4096, 1<<30, ret)
	a := g.Call(streams+"[method]output-stream.subscribe", out)
	never := g.Call("wasi:clocks/monotonic-clock subscribe-duration", 1<<62)
	b := g.Call(streams+"[method]output-stream.subscribe", out)
	g.Call("wasi:io/poll poll", g.Words(a, never, b), 3, ret)
	if g.U32(4) != 2 || g.At(g.U32(0)) != 0 || g.At(g.U32(0)+4) != 2 {
		t.Errorf("poll has found %d", g.U32(4))
	}
	g.Traps("no handle", "wasi:io/poll poll", g.Words(a, out), 2, ret)
	soon := g.Call("wasi:clocks/monotonic-clock subscribe-duration", 1_000_000)
	g.Call("wasi:io/poll poll", g.Words(never, soon), 2, ret)
	if g.U32(4) != 1 || g.At(g.U32(0)) != 1 {
		t.Errorf("poll has found %d", g.U32(4))
	}
	g.Call(streams+"[method]output-stream.blocking-write-zeroes-and-flush", out, 3, ret)

	g.variant(ok, types+"[method]incoming-request.consume", g.request, ret)
	g.variant(ok, types+"[method]incoming-body.stream", g.U32(4), ret)
	g.variant(failed, streams+"[method]output-stream.blocking-splice", out, g.U32(4), 10, ret) // the body is empty
	if g.U8(8) != 1 {
		t.Errorf("error %d", g.U8(8))
	}
}
