package server_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/terrane/terrane/server"
)

// half sends the beginning of something and waits until the connection ends.
func (b *besieged) half(to, text string) func(context.Context) {
	return func(ctx context.Context) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
		conn, err := d.DialContext(ctx, "tcp", to)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
		_, _ = io.WriteString(conn, text)
		_, _ = io.Copy(io.Discard, conn)
	}
}

// ping sends PINGs until the connection ends.
func (b *besieged) ping(ctx context.Context) {
	d := tls.Dialer{Config: &tls.Config{ServerName: "alice.example", InsecureSkipVerify: true, NextProtos: []string{"h2"}}}
	conn, err := d.DialContext(ctx, "tcp", b.https)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c := newH2(b.t, conn)
	for err := c.begin(); err == nil; {
		err = c.WritePing(false, [8]byte{})
	}
}

// TestCampaignConnections attacks an edge of 300 connections in each way that this package knows,
// and counts how often another tenant's visitor, or the edge itself, is not answered.
func TestCampaignConnections(t *testing.T) {
	tries := 3
	if os.Getenv("TERRANE_CAMPAIGN") == "full" {
		tries = 200
	}
	b := besiege(t, 4<<20, func(o *server.Options) {
		o.BufferBytes, o.OpenFiles, o.Connections, o.NetworkConnections = 48<<20, 60, 300, 300
	})
	attacks := append(b.attacks(),
		siege{"half requests", 400, b.half(b.http, "GET / HTTP/1.1\r\nHost: alice.example\r\n")},
		siege{"half handshakes", 400, b.half(b.https, "\x16\x03\x01\x02\x00\x01")},
		siege{"connections that say nothing", 400, b.half(b.https, "")},
		siege{"idle connections", 400, b.half(b.http, "GET /say.wasm HTTP/1.1\r\nHost: alice.example\r\n\r\n")},
		siege{"HTTP/2 pings", 4, b.ping},
	)
	self := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return b.srv.DialSelf(ctx, b.https) },
	}}
	answered := func(c *http.Client, url string) bool {
		resp, err := c.Get(url)
		if err != nil {
			t.Log(url, err)
			return false
		}
		_, err = io.Copy(io.Discard, resp.Body)
		closed(t, resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Log(url, resp.Status, err)
		}
		return err == nil && resp.StatusCode == http.StatusOK
	}
	visits, lost, unready := 0, 0, 0
	for _, a := range attacks {
		stop := b.attack(a.n, time.Second, a.once)
		for range tries {
			c := b.visitor() // with a new connection
			for _, url := range []string{"https://bob.example/", "https://bob.example/file.bin"} {
				visits++
				if !answered(c, url) {
					t.Logf("while there were: %s", a.name)
					lost++
				}
			}
			c.CloseIdleConnections()
			if !answered(self, "https://"+string(server.SelfHost)+"/") {
				unready++
			}
		}
		stop()
	}
	if lost+unready > 0 {
		t.Errorf("%d visits and %d requests of the edge itself failed", lost, unready)
	}
	fmt.Printf("campaign: %d kinds of slow readers and senders, half requests, idle connections, HTTP/2 pings and streams | %d | %d visitors of another tenant refused, %d self-requests failed\n",
		len(attacks), visits, lost, unready)
}
