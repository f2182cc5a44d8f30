package conns_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/terrane/terrane/internal/conns"
)

// TestHandlerReportsRequests serves from a limiter of two connections: a large upload is no
// noise, and an idle connection is closed for a new one.
func TestHandlerReportsRequests(t *testing.T) {
	l, err := conns.New(conns.Options{Max: 2, PerNetwork: 2})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ConnContext: conns.Context, Handler: conns.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != 8<<20 && n != 0 {
			t.Errorf("a body of %d bytes: %v", n, err)
		}
		if conns.FromContext(r.Context()) == nil {
			t.Error("a request without its connection")
		}
		w.WriteHeader(http.StatusNoContent)
	}))}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l.Listen(ln)) }()
	url := "http://" + ln.Addr().String()
	for range 5 { // connections that stay open
		tr := &http.Transport{}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Post(url, "application/octet-stream", bytes.NewReader(make([]byte, 8<<20)))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	_ = srv.Close()
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// TestOneLargeChunkIsNoNoise uploads one chunk of 8 MiB, which net/http fills a large buffer
// from in one call.
func TestOneLargeChunkIsNoNoise(t *testing.T) {
	l, err := conns.New(conns.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const size = 8 << 20
	srv := httptest.NewUnstartedServer(conns.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if n, err := io.ReadFull(r.Body, make([]byte, size)); err != nil || r.ContentLength != -1 {
			t.Errorf("read %d bytes of a body of length %d: %v", n, r.ContentLength, err)
		}
	})))
	srv.Config.ConnContext = conns.Context
	srv.Listener = l.Listen(srv.Listener)
	srv.Start()
	defer srv.Close()
	chunk := struct{ *bytes.Reader }{bytes.NewReader(make([]byte, size))} // net/http does not know its length
	resp, err := http.Post(srv.URL, "application/octet-stream", chunk)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}
