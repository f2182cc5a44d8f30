package hostcalls_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/terrane/terrane/hostcalls"
)

type brokenWriter struct{ left int }

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errors.New("visitor has left")
	}
	return len(b), nil
}

func TestStream(t *testing.T) {
	var sent bytes.Buffer
	var began []hostcalls.Response
	req := request()
	req.Stream = func(r *hostcalls.Response) (io.Writer, error) {
		began = append(began, hostcalls.Response{Code: r.Code, Header: r.Header.Clone()})
		return &sent, nil
	}
	tn := &hostcalls.Tenant{}
	tn.Limits.ResponseBody = 20
	b := newBench(t, tn, req)
	p, n := b.put("0123456789")
	b.setHeader("resp_set_header", 0, "x-a", "1")
	b.status("resp_set_body", 0, p, 2)
	var got []int32
	for range 3 {
		got = append(got, b.status("resp_send_chunk", 0, p, n))
		got = append(got, b.status("resp_set_response_code", 0, 404), b.setHeader("resp_set_header", 0, "x-late", "1"), b.status("resp_set_body", 0, p, 1))
	}
	// The third would be over the limit of 20 bytes, of which 2 + 10 are used.
	if want := []int32{0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("statuses %v, want %v", got, want)
	}
	if sent.String() != "010123456789" || len(began) != 1 || began[0].Code != 200 || len(began[0].Header) != 1 {
		t.Errorf("sent %q, began %+v", sent.String(), began)
	}
}

func TestStreamToNobody(t *testing.T) {
	req := request()
	for name, stream := range map[string]func(*hostcalls.Response) (io.Writer, error){
		"leaves":  func(*hostcalls.Response) (io.Writer, error) { return &brokenWriter{15}, nil },
		"is gone": func(*hostcalls.Response) (io.Writer, error) { return nil, errors.New("gone") },
	} {
		req.Stream = stream
		b := newBench(t, &hostcalls.Tenant{}, req)
		p, n := b.put("0123456789")
		b.status("resp_send_chunk", 0, p, n)
		if got := b.status("resp_send_chunk", 0, p, n); got != 1 || !b.log.has("cannot be sent to") {
			t.Errorf("visitor %s: status %d, log %q", name, got, b.log.lines)
		}
	}
}
