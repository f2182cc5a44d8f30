package hostcalls_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
)

// TestRefusedResponse: guests ignore the status of what they set, so the exchange
// remembers which part of the response the host refused.
func TestRefusedResponse(t *testing.T) {
	header := func(b *bench, name string, values ...string) {
		b.at = scratch
		b.setHeader("resp_set_header", 0, name, values...)
	}
	body := func(b *bench, text string) {
		b.at = scratch
		p, n := b.put(text)
		b.status("resp_set_body", 0, p, n)
	}
	chunk := func(b *bench, text string) {
		b.at = scratch
		p, n := b.put(text)
		b.status("resp_send_chunk", 0, p, n)
	}
	long := strings.Repeat("x", 101)
	for _, c := range []struct {
		name string
		set  func(*bench)
		want string // in the reason; empty: nothing is refused
	}{
		{"nothing", func(*bench) {}, ""},
		{"all is well", func(b *bench) { b.status("resp_set_response_code", 0, 404); header(b, "a", "b"); body(b, "c") }, ""},
		{"a body over the limit", func(b *bench) { body(b, long) }, "a response body of 101 bytes exceeds the limit of 100"},
		{"then a shorter one", func(b *bench) { body(b, long); body(b, "sorry") }, ""},
		{"but not a header", func(b *bench) { body(b, long); header(b, "a", "b") }, "exceeds the limit of 100"},
		{"a status", func(b *bench) { b.status("resp_set_response_code", 0, 99) }, "the status code 99 is not from 200 to 999"},
		{"then another", func(b *bench) {
			b.status("resp_set_response_code", 0, 1000)
			b.status("resp_set_response_code", 0, 500)
		}, ""},
		{"a header's name", func(b *bench) { header(b, "a b", "c") }, `"a b" is not a name of a header`},
		{"a header's value", func(b *bench) { header(b, "location", "/\r\nSet-Cookie: a=b") }, "the header Location has a control character in its value"},
		{"then a valid one", func(b *bench) { header(b, "location", "\n"); header(b, "LOCATION", "/") }, ""},
		{"then none", func(b *bench) { header(b, "location", "\n"); header(b, "location") }, ""},
		{"then another", func(b *bench) { header(b, "location", "\n"); header(b, "x", "/") }, "the header Location"},
		{"headers over the limit", func(b *bench) {
			for range 90 {
				header(b, "a", strings.Repeat("x", 3000))
			}
		}, "the header A exceeds the limit on the request's headers"},
		{"a long name counts for each value", func(b *bench) {
			for range 30 {
				header(b, strings.Repeat("n", 256), strings.Split(strings.Repeat("v", 60), "")...)
			}
		}, "exceeds the limit on the request's headers"},
		{"many at once", func(b *bench) {
			for i := range 100 {
				header(b, strings.Repeat("n", i+1), "\n")
			}
			for i := range 100 {
				header(b, strings.Repeat("n", i+1), "v")
			}
		}, "has a control character"},
		{"chunks over the limit", func(b *bench) { chunk(b, long[:60]); chunk(b, long[:60]); chunk(b, "x") }, "more than the limit of 100 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tn := &hostcalls.Tenant{}
			tn.Limits.ResponseBody = 100
			b := newBench(t, tn, request())
			c.set(b)
			b.x.Response()
			if err := b.x.Refused(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestRefusedChunk: nothing follows what is missing, and a body after parts of it is refused.
func TestRefusedChunk(t *testing.T) {
	var sent strings.Builder
	tn := &hostcalls.Tenant{}
	tn.Limits.ResponseBody = 10
	for _, c := range []struct {
		name string
		do   func(b *bench, p, n uint32)
		want string
	}{
		{"over the limit", func(b *bench, p, n uint32) {
			b.status("resp_send_chunk", 0, p, n)
			b.status("resp_send_chunk", 0, p, 1)
		}, "more than the limit of 10 bytes"},
		{"a body", func(b *bench, p, _ uint32) { b.status("resp_set_body", 0, p, 1) }, "set after parts of it were sent"},
		{"another status", func(b *bench, _, _ uint32) { b.status("resp_set_response_code", 0, 500) }, "the status code 500 was set after 200 was sent"},
		{"the same status", func(b *bench, _, _ uint32) { b.status("resp_set_response_code", 0, 200) }, ""},
		{"a header, which is logged", func(b *bench, _, _ uint32) { b.setHeader("resp_set_header", 0, "a", "b") }, ""},
		{"no body", func(b *bench, p, _ uint32) { b.status("resp_set_body", 0, p, 0) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent.Reset()
			req := request()
			req.Stream = func(*hostcalls.Response) (io.Writer, error) { return &sent, nil }
			b := newBench(t, tn, req)
			p, n := b.put("01234567")
			b.status("resp_send_chunk", 0, p, n)
			c.do(b, p, n)
			if err := b.x.Refused(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if sent.String() != "01234567" {
				t.Errorf("sent %q", sent.String())
			}
		})
	}
}

// TestNoChunkAfterRefusal: an answer that lacks a part is not begun, so that the visitor
// gets a 500 and not a broken 200.
func TestNoChunkAfterRefusal(t *testing.T) {
	for _, c := range []struct {
		name  string
		again bool // the guest sets a valid header before the chunk
		sent  string
	}{{"refused", false, ""}, {"set again", true, "text"}} {
		t.Run(c.name, func(t *testing.T) {
			var sent strings.Builder
			begun := false
			req := request()
			req.Stream = func(*hostcalls.Response) (io.Writer, error) { begun = true; return &sent, nil }
			b := newBench(t, &hostcalls.Tenant{}, req)
			b.setHeader("resp_set_header", 0, "location", "/\n")
			if c.again {
				b.setHeader("resp_set_header", 0, "location", "/")
			}
			p, n := b.put("text")
			b.status("resp_send_chunk", 0, p, n)
			b.setHeader("resp_set_header", 0, "location", "/") // too late
			if begun != c.again || sent.String() != c.sent || (b.x.Refused() == nil) != c.again {
				t.Errorf("begun %v, sent %q, refused: %v", begun, sent.String(), b.x.Refused())
			}
		})
	}
}

// answering is a Fetcher that answers at once.
type answering func(*hostcalls.FetchRequest) *hostcalls.FetchResponse

func (f answering) Fetch(_ context.Context, r *hostcalls.FetchRequest) (*hostcalls.FetchResponse, error) {
	return f(r), nil
}

// TestRefusedRequest: a request that lacks a part which the guest wanted is not sent.
func TestRefusedRequest(t *testing.T) {
	f := answering(func(*hostcalls.FetchRequest) *hostcalls.FetchResponse {
		return &hostcalls.FetchResponse{Code: 204, Body: http.NoBody}
	})
	for _, c := range []struct {
		name string
		set  func(b *bench, req uint32)
		sent bool
	}{
		{"valid", func(b *bench, req uint32) { b.setHeader("req_set_header", req, "authorization", "a") }, true},
		{"header", func(b *bench, req uint32) { b.setHeader("req_set_header", req, "authorization", "a\n") }, false},
		{"name", func(b *bench, req uint32) { b.setHeader("req_set_header", req, "a b", "a") }, false},
		{"header set again", func(b *bench, req uint32) {
			b.setHeader("req_set_header", req, "authorization", "a\n")
			b.setHeader("req_set_header", req, "authorization", "a")
		}, true},
		{"host", func(b *bench, req uint32) { b.setHeader("req_set_header", req, "host", "a/b") }, false},
		{"body", func(b *bench, req uint32) { b.status("req_set_body", req, 0, 2000) }, false},
		{"shorter body", func(b *bench, req uint32) {
			b.status("req_set_body", req, 0, 2000)
			b.status("req_set_body", req, 0, 2)
		}, true},
	} {
		for _, send := range []string{"req_send", "req_send_async"} {
			t.Run(c.name+" "+send, func(t *testing.T) {
				tn := &hostcalls.Tenant{Fetcher: f}
				tn.Limits.Memory = 1000
				b := newBench(t, tn, request())
				req := b.create("POST", "http://upstream.example/")
				c.set(b, req)
				if got := b.status(send, req); got > 0 != c.sent {
					t.Errorf("send: %d, log %q", got, b.log.lines)
				}
			})
		}
	}
}

// TestHeadersOfAnswersAreHeld: the headers of upstreams count against the request's
// memory, as their bodies do.
func TestHeadersOfAnswersAreHeld(t *testing.T) {
	f := answering(func(*hostcalls.FetchRequest) *hostcalls.FetchResponse {
		h := http.Header{}
		for i := range 50 {
			h[strings.Repeat("X", i+1)] = []string{"1", "2"}
		}
		return &hostcalls.FetchResponse{Code: 200, Header: h, Body: http.NoBody}
	})
	tn := &hostcalls.Tenant{Fetcher: f}
	tn.Limits.Memory = 40 << 10 // a response takes 14 KiB and the buffer of its body
	b := newBench(t, tn, request())
	for i, want := range []bool{true, true, false} {
		got := b.status("req_send", b.create("GET", "http://upstream.example/"))
		if got > 0 != want {
			t.Errorf("fetch %d: %d, log %q", i, got, b.log.lines)
		}
		b.at = scratch
	}
	if !b.log.has("the headers and bodies of the request's fetches exceed 40960 bytes") {
		t.Errorf("log %q", b.log.lines)
	}
}
