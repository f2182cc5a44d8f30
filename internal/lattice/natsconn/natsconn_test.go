package natsconn_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
	"golang.org/x/net/nettest"
	"golang.org/x/sync/errgroup"

	"github.com/terrane/terrane/internal/lattice/natsconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const subject = "terrane.test"

// connect returns connections to a server of their own.
func connect(t testing.TB, n int) []*nats.Conn {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	all := make([]*nats.Conn, n)
	for i := range all {
		nc, err := nats.Connect("", nats.InProcessServer(s))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		all[i] = nc
	}
	return all
}

func listen(t testing.TB, nc *nats.Conn) *natsconn.Listener {
	t.Helper()
	l, err := natsconn.Listen(nc, "q", subject)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// pair returns both ends of a stream.
func pair(t testing.TB, dialer, listener *nats.Conn) (c1 *natsconn.Conn, c2 net.Conn) {
	t.Helper()
	l := listen(t, listener)
	defer l.Close() //nolint:errcheck // its connections stay
	var group errgroup.Group
	group.Go(func() (err error) { c1, err = natsconn.Dial(t.Context(), dialer, subject); return err })
	group.Go(func() (err error) { c2, err = l.Accept(); return err })
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return c1, c2
}

// TestConn is the conformance suite of net.Conn.
func TestConn(t *testing.T) {
	nc := connect(t, 2)
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		c1, c2 = pair(t, nc[0], nc[1])
		return c1, c2, func() {
			done := make(chan struct{})
			go func() { defer close(done); _ = c1.Close() }()
			_ = c2.Close()
			<-done
		}, nil
	})
}

// TestWhole: all that was written before Close is read, and then io.EOF.
func TestWhole(t *testing.T) {
	nc := connect(t, 2)
	c1, c2 := pair(t, nc[0], nc[1])
	want := make([]byte, 3<<20)
	if _, err := rand.NewChaCha8([32]byte{1}).Read(want); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := c1.Write(want)
		wrote <- errors.Join(err, c1.Close())
	}()
	got, err := io.ReadAll(c2)
	if err := errors.Join(err, <-wrote, c2.Close()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, not the %d that were written", len(got), len(want))
	}
}

// TestLost: a stream whose peer is gone or lies ends with an error, not with io.EOF.
func TestLost(t *testing.T) {
	for name, harm := range map[string]func(peer *nats.Conn, to string) error{
		"gone":    func(peer *nats.Conn, _ string) error { peer.Close(); return nil },
		"gap":     func(peer *nats.Conn, to string) error { return peer.Publish(to, []byte("D\x00\x00\x00\x07x")) },
		"short":   func(peer *nats.Conn, to string) error { return peer.Publish(to, []byte("D\x00")) },
		"nothing": func(peer *nats.Conn, to string) error { return peer.Publish(to, nil) },
		"too long": func(peer *nats.Conn, to string) error {
			return peer.Publish(to, append([]byte("D\x00\x00\x00\x00"), make([]byte, 32<<10+1)...))
		},
		"too soon":   func(peer *nats.Conn, to string) error { return peer.Publish(to, []byte("F\x00\x00\x00\x01")) },
		"free money": func(peer *nats.Conn, to string) error { return peer.Publish(to, []byte("C\x00\x00\x00\x01")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc := connect(t, 2)
			c1, c2 := pair(t, nc[0], nc[1])
			if err := harm(nc[1], c1.LocalAddr().String()); err != nil {
				t.Fatal(err)
			}
			_, err := c1.Read(make([]byte, 1))
			if err == nil || errors.Is(err, io.EOF) {
				t.Fatalf("read: %v, want an error that is not io.EOF", err)
			}
			if err := c1.Close(); err != nil {
				t.Fatal(err)
			}
			_ = c2.Close()
		})
	}
}

// TestUnread: an end that was closed has the other know whether what it sent was read.
func TestUnread(t *testing.T) {
	nc := connect(t, 2)
	for name, tt := range map[string]struct {
		before, after string // that is read before the mark, and written after it
		reads         int    // of what was written after the mark
		want          bool
	}{
		"nothing read":      {after: "request", want: true},
		"some read":         {after: "request", reads: 1},
		"all read":          {after: "request", reads: 7},
		"reused, unread":    {before: "first", after: "request", want: true},
		"reused, some read": {before: "first", after: "request", reads: 1},
		"nothing written":   {before: "first", want: true},
	} {
		t.Run(name, func(t *testing.T) {
			c1, c2 := pair(t, nc[0], nc[1])
			exchange := func(text string, reads int) {
				if _, err := io.WriteString(c1, text); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c2, make([]byte, reads)); err != nil {
					t.Fatal(err)
				}
			}
			exchange(tt.before, len(tt.before))
			mark := c1.Sent()
			if c1.Unread(mark) {
				t.Error("unread, and the other end is open")
			}
			if tt.after != "" {
				exchange(tt.after, tt.reads)
			}
			if err := c2.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := c1.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("read: %v", err)
			}
			if got := c1.Unread(mark); got != tt.want {
				t.Errorf("unread: %v, want %v", got, tt.want)
			}
			_ = c1.Close()
		})
	}
}

// TestUnreadLost: of a peer that is gone nobody knows what it has read.
func TestUnreadLost(t *testing.T) {
	t.Parallel()
	nc := connect(t, 2)
	c1, c2 := pair(t, nc[0], nc[1])
	if _, err := io.WriteString(c1, "request"); err != nil {
		t.Fatal(err)
	}
	nc[1].Close()
	if _, err := c1.Read(make([]byte, 1)); err == nil || c1.Unread(0) {
		t.Errorf("read: %v, unread: %v", err, c1.Unread(0))
	}
	_, _ = c1.Close(), c2.Close()
}

// TestFlood: a peer that sends more than it may is cut off, whatever of it was taken.
func TestFlood(t *testing.T) {
	nc := connect(t, 2)
	c1, c2 := pair(t, nc[0], nc[1])
	for i := range 1000 {
		if err := nc[1].Publish(c1.LocalAddr().String(), append([]byte{'D', 0, 0, byte(i >> 8), byte(i)}, make([]byte, 1000)...)); err != nil {
			t.Fatal(err)
		}
	}
	n, err := io.Copy(io.Discard, c1)
	if err == nil || n > 100*1000 {
		t.Errorf("%d bytes were taken, %v", n, err)
	}
	if err := c1.Close(); err != nil {
		t.Fatal(err)
	}
	_ = c2.Close()
}

// TestCalls: calls that make no sense harm nobody, nor make an edge speak where a
// peer may not.
func TestCalls(t *testing.T) {
	nc := connect(t, 2)
	elsewhere, err := nc[0].SubscribeSync("terrane.notice.>")
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t, nc[1])
	for range 200 {
		if err := errors.Join(nc[0].Publish(subject, []byte("x")), nc[0].PublishRequest(subject, "terrane.notice.ams1", nil)); err != nil {
			t.Fatal(err)
		}
		if err := nc[0].Flush(); err != nil {
			t.Fatal(err)
		}
	}
	accepted := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = c.Close()
		}
		accepted <- err
	}()
	var c *natsconn.Conn
	for c == nil { // the queue of calls may be full
		limit, cancel := context.WithTimeout(t.Context(), time.Second)
		c, err = natsconn.Dial(limit, nc[0], subject)
		cancel()
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.Close(), <-accepted); err != nil {
		t.Error(err)
	}
	if n, _, err := elsewhere.Pending(); err != nil || n > 0 {
		t.Errorf("%d messages where the peer sent them, %v", n, err)
	}
}

// TestClosing: a call that a listener has got and not accepted is refused at once.
func TestClosing(t *testing.T) {
	nc := connect(t, 2)
	l := listen(t, nc[1])
	dialed := make(chan error, 1)
	go func() {
		_, err := natsconn.Dial(t.Context(), nc[0], subject)
		dialed <- err
	}()
	for l.Calls() == 0 {
		if err := nc[0].Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-dialed; !errors.Is(err, natsconn.ErrRefused) {
		t.Errorf("dial: %v, want ErrRefused", err)
	}
}

func TestNobodyListens(t *testing.T) {
	nc := connect(t, 1)
	if _, err := natsconn.Dial(t.Context(), nc[0], subject); !errors.Is(err, natsconn.ErrNoListener) {
		t.Fatalf("dial: %v, want ErrNoListener", err)
	}
}

// TestHTTP serves HTTP on a Listener.
func TestHTTP(t *testing.T) {
	nc := connect(t, 2)
	client := serve(t, nc)
	for range 3 {
		body := bytes.Repeat([]byte("terrane "), 100_000)
		resp, err := client.Post("http://edge/", "text/plain", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, body) {
			t.Fatalf("%d bytes came back, want %d", len(got), len(body))
		}
	}
}

// serve echoes bodies, and returns a client of that.
func serve(t testing.TB, nc []*nats.Conn) *http.Client {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
	}))
	_ = srv.Listener.Close()
	srv.Listener = listen(t, nc[1])
	srv.Start()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return natsconn.Dial(ctx, nc[0], subject)
	}}
	t.Cleanup(func() { transport.CloseIdleConnections(); srv.Close() })
	return &http.Client{Transport: transport}
}

// BenchmarkHTTP is a small request on a stream that is open.
func BenchmarkHTTP(b *testing.B) {
	client := serve(b, connect(b, 2))
	for b.Loop() {
		resp, err := client.Post("http://edge/", "text/plain", bytes.NewReader([]byte("hello")))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}
