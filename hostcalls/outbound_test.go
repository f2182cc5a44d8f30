package hostcalls_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/fetch"
)

// upstream serves h, and returns a tenant that may fetch from it.
func upstream(t testing.TB, h http.HandlerFunc) (*hostcalls.Tenant, string) {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	client, err := fetch.New(fetch.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &hostcalls.Tenant{Fetcher: client}, srv.URL
}

// echo answers with what it was sent.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header()["X-Echo"] = r.Header["X-A"]
	_, _ = fmt.Fprintf(w, "%s %s %s %s", r.Method, r.RequestURI, r.Header["X-A"], body)
}

func (b *bench) create(method, url string) uint32 {
	b.t.Helper()
	h := b.status("req_create", b.url(method, url)...)
	if h <= 0 {
		b.t.Fatalf("req_create %s %s: %d", method, url, h)
	}
	return uint32(h)
}

func TestSend(t *testing.T) {
	tn, url := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header()["X-Many"] = []string{"one", "two"}
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprintf(w, "%s %s host=%s agent=%s a=%q length=%d body=%s",
			r.Method, r.RequestURI, r.Host, r.UserAgent(), r.Header["X-A"], r.ContentLength, body)
	})
	b := newBench(t, tn, request())
	req := b.create("PUT", url+"/p%20q?r=s#fragment")
	for _, h := range []struct {
		name   string
		values []string
		status int32
	}{
		{"x-a", []string{"1", "2"}, 0},
		{"host", []string{"a b"}, 1},
		{"host", []string{"evil\r\nx: y"}, 1},
		{"host", []string{"other.example"}, 0},
		{"content-length", []string{"999"}, 0},
		{"user-agent", []string{"fastly-terrarium"}, 0},
	} {
		if s := b.setHeader("req_set_header", req, h.name, h.values...); s != h.status {
			t.Errorf("%s = %q: status %d, want %d", h.name, h.values, s, h.status)
		}
	}
	p, n := b.put("data")
	if s := b.status("req_set_body", req, p, n); s != 0 {
		t.Errorf("body: status %d", s)
	}
	if _, ok := b.get("req_get_method", req); ok {
		t.Error("a getter answers for a created request")
	}
	resp := b.status("req_send", req)
	if resp <= 0 {
		t.Fatalf("send: %d %q", resp, b.log.lines)
	}
	h := uint32(resp)
	if code := b.status("resp_get_response_code", h); code != http.StatusTeapot {
		t.Errorf("code: %d", code)
	}
	want := `PUT /p%20q?r=s host=other.example agent=fastly-terrarium a=["1" "2"] length=4 body=data`
	if body, ok := b.get("resp_get_body", h); body != want || !ok {
		t.Errorf("body: got %s, want %s", body, want)
	}
	if got := b.getHeader("resp_get_header", h, "x-MANY"); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("header: got %q", got)
	}
	if got := b.getHeaders("resp_get_headers", h); !slices.Contains(got, "x-many") || !slices.Contains(got, "content-type") {
		t.Errorf("names: got %q", got)
	}
	// The request is consumed, and the response is none.
	for _, handle := range []uint32{req, h, 0, 99, math.MaxUint32, math.MaxInt32 + 1} {
		if got := b.status("req_send", handle); got != -1 {
			t.Errorf("send of the handle %d: %d", int32(handle), got)
		}
		if got := b.status("req_send_async", handle); got != -1 {
			t.Errorf("async send of the handle %d: %d", int32(handle), got)
		}
		if got := b.setHeader("req_set_header", handle, "a", "b"); got != 1 {
			t.Errorf("header of the handle %d: %d", int32(handle), got)
		}
		if got := b.status("req_set_body", handle, 1, 0); got != 1 {
			t.Errorf("body of the handle %d: %d", int32(handle), got)
		}
		if handle != h {
			if _, ok := b.get("resp_get_body", handle); ok || b.status("resp_get_response_code", handle) != 0 {
				t.Errorf("the handle %d is a response", int32(handle))
			}
		}
		b.at = scratch
	}
}

func TestCreateRefuses(t *testing.T) {
	b := newBench(t, &hostcalls.Tenant{}, request())
	for _, c := range []struct{ method, url string }{
		{"", "http://example.com"}, {"G T", "http://example.com"}, {"CONNECT", "http://example.com"},
		{strings.Repeat("G", 100), "http://example.com"},
		{"GET", ""}, {"GET", "/relative"}, {"GET", "example.com"}, {"GET", "ftp://example.com"}, {"GET", "file:///etc/passwd"},
		{"GET", "http://"}, {"GET", "http:///path"}, {"GET", "http:opaque"}, {"GET", "http://a b/"}, {"GET", "http://exa\nmple.com"},
		{"GET", "http://[::1"}, {"GET", "http://example.com:port/"}, {"GET", "\xff"},
	} {
		b.at = scratch
		if got := b.status("req_create", b.url(c.method, c.url)...); got != -1 {
			t.Errorf("%q %q: handle %d", c.method, c.url, got)
		}
	}
	b.Grow(32)
	copy(b.mem[page:], "http://example.com/"+strings.Repeat("x", 1<<20))
	if got := b.status("req_create", scratch, 3, page, 1<<20); got != -1 {
		t.Errorf("a URL of 1 MB: handle %d", got)
	}
	b.at = scratch
	n := 0
	args := b.url("GET", "http://example.com/")
	for b.status("req_create", args...) > 0 {
		if n++; n > 10_000 {
			t.Fatal("requests can be created without end")
		}
	}
}

func TestSendFailures(t *testing.T) {
	tn, url := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/huge":
			for err := error(nil); err == nil; _, err = w.Write(make([]byte, 64<<10)) {
			}
		case "/announced":
			w.Header().Set("Content-Length", "5368709120")
			w.WriteHeader(http.StatusOK)
		case "/half":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	tn.Limits.ResponseBody = 1 << 20
	for path, why := range map[string]string{
		"/huge": "exceeds the limit", "/announced": "exceeds the limit", "/half": "too early",
	} {
		b := newBench(t, tn, request())
		if got := b.status("req_send", b.create("GET", url+path)); got != -1 {
			t.Errorf("%s: %d", path, got)
		}
		if log := tn.Logger.(*recorder); !log.has(why) {
			t.Errorf("%s: the log does not say %q: %q", path, why, log.lines)
		}
	}
	b := newBench(t, &hostcalls.Tenant{}, request())
	if got := b.status("req_send", b.create("GET", url)); got != -1 {
		t.Errorf("no fetcher: %d", got)
	}
}

// What the host holds for a guest is bounded, over all its fetches.
func TestHeldBodiesAreBounded(t *testing.T) {
	tn, url := upstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 100_000)) })
	tn.Limits.Memory = 350_000
	b := newBench(t, tn, request())
	var got []int32
	for range 6 {
		got = append(got, b.status("req_send", b.create("GET", url)))
	}
	if got[0] <= 0 || got[1] <= 0 || got[5] != -1 || !b.log.has("exceed 350000 bytes") {
		t.Errorf("handles %v, log %q", got, b.log.lines)
	}
}

func TestSubrequestsAreCounted(t *testing.T) {
	tn, url := upstream(t, func(http.ResponseWriter, *http.Request) {})
	tn.Limits.Subrequests = 3
	b := newBench(t, tn, request())
	for i, want := range []bool{true, true, true, false} {
		fn := []string{"req_send", "req_send_async"}[i%2]
		if got := b.status(fn, b.create("GET", url)); got > 0 != want {
			t.Errorf("subrequest %d: %d", i+1, got)
		}
	}
}

func TestLoopsEnd(t *testing.T) {
	tn, url := upstream(t, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.Header["Cdn-Loop"]) })
	for _, c := range []struct {
		passed []string
		want   string
	}{
		{nil, "[terrane]"},
		{[]string{"other; x=1", "terrane"}, "[other; x=1, terrane, terrane]"},
		{[]string{"terrane, Terrane", "terrane,terrane"}, ""},
	} {
		req := request()
		req.Header["Cdn-Loop"] = c.passed
		b := newBench(t, tn, req)
		h := b.create("GET", url)
		b.setHeader("req_set_header", h, "cdn-loop", "forged")
		got, _ := b.get("resp_get_body", uint32(b.status("req_send", h)))
		if got != c.want {
			t.Errorf("%q: got %q, want %q", c.passed, got, c.want)
		}
	}
}

func TestAsyncOverlaps(t *testing.T) {
	const n = 5
	var arrived sync.WaitGroup
	arrived.Add(n)
	tn, url := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		arrived.Done()
		arrived.Wait() // nobody is answered before all are here
		_, _ = fmt.Fprint(w, r.URL.Path)
	})
	b := newBench(t, tn, request())
	var pending []uint32
	for i := range n {
		p := b.status("req_send_async", b.create("GET", fmt.Sprint(url, "/", i)))
		if p <= 0 {
			t.Fatalf("async: %d", p)
		}
		pending = append(pending, uint32(p))
	}
	for i, p := range slices.Backward(pending) {
		resp := b.status("pending_req_wait", p)
		if body, _ := b.get("resp_get_body", uint32(resp)); body != fmt.Sprint("/", i) {
			t.Errorf("pending %d: response %d %q", i, resp, body)
		}
		if again := b.status("pending_req_wait", p); again != -1 {
			t.Errorf("a consumed pending gives %d", again)
		}
	}
}

// selects calls pending_req_select.
func (b *bench) selects(pending ...uint32) (which, resp int32) {
	b.t.Helper()
	for i, p := range pending {
		b.putU32(0x900+4*uint32(i), p)
	}
	b.putU32(outWord, 0x55555555)
	resp = b.status("pending_req_select", 0x900, uint32(len(pending)), outWord)
	return int32(b.u32(outWord)), resp
}

func TestPollAndSelect(t *testing.T) {
	gates := map[string]chan struct{}{"/a": make(chan struct{}), "/b": make(chan struct{}), "/c": make(chan struct{})}
	tn, url := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		<-gates[r.URL.Path]
		if r.URL.Path == "/c" {
			panic(http.ErrAbortHandler)
		}
		_, _ = fmt.Fprint(w, r.URL.Path)
	})
	b := newBench(t, tn, request())
	send := func(path string) uint32 {
		return uint32(b.status("req_send_async", b.create("POST", url+path)))
	}
	pa, pb, pc := send("/a"), send("/b"), send("/c")
	if got := b.status("pending_req_poll", pa); got != -2 {
		t.Errorf("poll before the answer: %d", got)
	}
	close(gates["/b"])
	which, resp := b.selects(pa, pb, pc)
	if body, _ := b.get("resp_get_body", uint32(resp)); uint32(which) != pb || body != "/b" {
		t.Errorf("select: %d %q, want %d /b", which, body, pb)
	}
	if got := b.status("pending_req_poll", pa); got != -2 {
		t.Errorf("poll of another after select: %d", got)
	}
	close(gates["/c"])
	if which, resp := b.selects(pa, pc); uint32(which) != pc || resp != -1 {
		t.Errorf("select of a failure: %d %d, want %d -1", which, resp, pc)
	}
	if which, resp := b.selects(pa, pb); uint32(which) != pb || resp != -1 {
		t.Errorf("select with a consumed handle: %d %d, want %d -1", which, resp, pb)
	}
	if which, resp := b.selects(0); which != 0 || resp != -1 {
		t.Errorf("select of the handle 0: %d %d", which, resp)
	}
	if which, resp := b.selects(); which != -1 || resp != -1 {
		t.Errorf("select of nothing: %d %d", which, resp)
	}
	close(gates["/a"])
	for got := int32(-2); got == -2; {
		if got = b.status("pending_req_poll", pa); got == -1 {
			t.Fatalf("poll: %d %q", got, b.log.lines)
		}
	}
	if got := b.status("pending_req_poll", pa); got != -1 {
		t.Errorf("poll of a consumed handle: %d", got)
	}
}

// Nothing outlives the request: neither its time nor its Exchange.
func TestWaitingEnds(t *testing.T) {
	stop := make(chan struct{})
	tn, url := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-stop:
		}
	})
	defer close(stop)
	b := newBench(t, tn, request())
	b.status("req_send_async", b.create("GET", url)) // Close must end it
	p := b.status("req_send_async", b.create("GET", url))
	req := b.create("GET", url)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for name, arg := range map[string]uint32{"pending_req_wait": uint32(p), "req_send": req} {
		err := b.funcs[name].Call(ctx, b.x, b.memoryGuest, []uint64{uint64(arg)})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v, want the deadline", name, err)
		}
	}
	b.putU32(0x900, uint32(p))
	err := b.funcs["pending_req_select"].Call(ctx, b.x, b.memoryGuest, []uint64{0x900, 1, outWord})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("select: got %v, want the deadline", err)
	}
}
