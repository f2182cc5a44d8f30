package acme_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/certs/acme"
)

// slowlyClosed lets the other side say something between our hanging up and our closing.
type slowlyClosed struct {
	*net.TCPConn
	reads chan struct{} // closed with the first byte
	once  sync.Once
}

func (c *slowlyClosed) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.once.Do(func() { close(c.reads) })
	return n, err
}

func (c *slowlyClosed) Close() error {
	err := c.CloseWrite()
	<-c.reads
	return errors.Join(err, c.TCPConn.Close())
}

// TestHearNothingAfterTheEnd has a server answer only when its client has given up, and
// the answer arrive.
func TestHearNothingAfterTheEnd(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hangs" {
			close(asked)
			<-r.Context().Done()
		}
	}))
	defer srv.Close()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &slowlyClosed{TCPConn: conn.(*net.TCPConn), reads: make(chan struct{})}, nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	arrived := make(chan struct{}, 2)
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() { arrived <- struct{}{} }})
	var heard atomic.Int64
	traced = acme.Hear(traced, time.Now(), &heard)
	get := func(path string) error {
		req, err := http.NewRequestWithContext(traced, http.MethodGet, srv.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	if err := get("/"); err != nil || heard.Load() == 0 {
		t.Fatalf("an answer is not heard: %v", err)
	}
	<-arrived
	heard.Store(0)
	go func() {
		<-asked
		cancel()
	}()
	err := get("/hangs")
	<-arrived
	if !errors.Is(err, context.Canceled) || heard.Load() != 0 {
		t.Errorf("an answer after the end is heard: %v", err)
	}
}
