package server_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/terrane/terrane/server"
)

// h2conn is a connection on which a test speaks HTTP/2 frame by frame.
type h2conn struct {
	t testing.TB
	net.Conn
	*http2.Framer
	encoded bytes.Buffer
	encoder *hpack.Encoder
	stream  uint32 // the newest
}

func dialH2(t testing.TB, e *edge, host string) *h2conn {
	t.Helper()
	conn, err := tls.Dial("tcp", e.https, &tls.Config{ServerName: host, InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := newH2(t, conn)
	if err := c.begin(); err != nil {
		t.Fatal(err)
	}
	return c
}

func newH2(t testing.TB, conn net.Conn) *h2conn {
	c := &h2conn{t: t, Framer: http2.NewFramer(conn, conn), Conn: conn, stream: math.MaxUint32} // before 1
	c.encoder = hpack.NewEncoder(&c.encoded)
	return c
}

func (c *h2conn) begin(settings ...http2.Setting) error {
	_, err := io.WriteString(c.Conn, http2.ClientPreface)
	return errors.Join(err, c.WriteSettings(settings...), c.WriteSettingsAck())
}

// request opens a stream.
func (c *h2conn) request(method, host, path string, endStream bool) (stream uint32, err error) {
	c.encoded.Reset()
	for _, f := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", host}, {":path", path}} {
		if err := c.encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			c.t.Fatal(err)
		}
	}
	c.stream += 2
	return c.stream, c.WriteHeaders(http2.HeadersFrameParam{StreamID: c.stream, BlockFragment: c.encoded.Bytes(), EndStream: endStream, EndHeaders: true})
}

// TestConnectionsThatAskForNothingEnd sends frames of HTTP/2 that lead to no answer.
func TestConnectionsThatAskForNothingEnd(t *testing.T) {
	reg := prometheus.NewRegistry()
	e := startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) { o.Metrics = reg }})
	e.deploy("alice.example", "index.html", "alice", "say.wasm", "say:alice")
	c := e.client()
	get(t, c, "https://alice.example/").want(t, 200, "alice")
	for _, tt := range []struct {
		name string
		send func(c *h2conn) error
	}{
		{"PING", func(c *h2conn) error { return c.WritePing(false, [8]byte{}) }},
		{"SETTINGS", func(c *h2conn) error { return c.WriteSettings() }},
		{"WINDOW_UPDATE", func(c *h2conn) error { return c.WriteWindowUpdate(0, 1) }},
		{"PRIORITY", func(c *h2conn) error { return c.WritePriority(1, http2.PriorityParam{StreamDep: 3}) }},
		{"unknown frames", func(c *h2conn) error { return c.WriteRawFrame(0xbe, 0, 0, nil) }},
		{"opened and reset streams", func(c *h2conn) error {
			id, err := c.request("POST", "alice.example", "/say.wasm", false)
			return errors.Join(err, c.WriteRSTStream(id, http2.ErrCodeCancel))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := dialH2(t, e, "alice.example")
			read := make(chan struct{})
			go func() { defer close(read); _, _ = io.Copy(io.Discard, conn) }()
			// Each frame is a TLS record, as it would be of a client that does not hurry.
			for start, sent := time.Now(), 0; ; sent++ {
				if err := conn.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
				if err := tt.send(conn); errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) > time.Minute {
					t.Fatalf("still open after %d frames: %v", sent, err)
				} else if err != nil {
					break
				}
			}
			<-read
		})
	}
	if got := metricOf(t, reg, "terrane_conns_closed_total", "noise"); got < 5 { // net/http itself can end the last one
		t.Errorf("%v connections closed for noise, want 5", got)
	}
	get(t, c, "https://alice.example/").want(t, 200, "alice")
}

// TestSlowNoiseDoesNotKeepAConnection has connections do now and then what leads to no answer.
func TestSlowNoiseDoesNotKeepAConnection(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) {
		o.IdleTimeout, o.HeaderTimeout = time.Second, time.Second
	}})
	e.deploy("alice.example", "say.wasm", "say:alice")
	for name, send := range map[string]func(c *h2conn) error{
		"PING": func(c *h2conn) error { return c.WritePing(false, [8]byte{}) },
		"opened and reset streams": func(c *h2conn) error {
			id, err := c.request("POST", "alice.example", "/say.wasm", false)
			return errors.Join(err, c.WriteRSTStream(id, http2.ErrCodeCancel))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dialH2(t, e, "alice.example")
			closed := make(chan struct{})
			go func() { defer close(closed); _, _ = io.Copy(io.Discard, conn) }()
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			late := time.After(4 * time.Minute)
			for {
				select {
				case <-closed:
					return
				case <-tick.C:
					_ = send(conn) // an error is seen by the reader too
				case <-late:
					t.Fatal("still open")
				}
			}
		})
	}
}

// metricOf is the value of a metric with this value of a label.
func metricOf(t testing.TB, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("there is no metric %s of %q", name, label)
	return 0
}
