package conns_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
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
