package server_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/server"
)

func TestProxyProtocol(t *testing.T) {
	access := new(syncBuffer)
	start := func(trusted string) *edge {
		e := startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) {
			o.ServePlain, o.AccessLog = true, access
			o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix(trusted)}
		}})
		e.deploy("alice.example", "index.html", "alice")
		return e
	}
	const head = "GET / HTTP/1.1\r\nHost: alice.example\r\nConnection: close\r\n\r\n"
	const v1 = "PROXY TCP4 203.0.113.7 192.0.2.1 4321 443\r\n"
	// from sends from 127.0.0.2, which is not the listener's own address.
	from := func(e *edge, text string) string {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
		conn := must(d.DialContext(t.Context(), "tcp", e.http))
		defer closed(t, conn)
		if _, err := fmt.Fprint(conn, text); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(conn) // a reset is an answer too
		line, _, _ := strings.Cut(string(got), "\r\n")
		return line
	}
	trusting := start("127.0.0.0/8")
	if got := from(trusting, v1+head); got != "HTTP/1.1 200 OK" {
		t.Errorf("with a header: %q", got)
	}
	if got := from(trusting, head); strings.Contains(got, "200") {
		t.Errorf("without a header: %q", got)
	}
	get(t, trusting.client(), "https://alice.example/").want(t, 200, "alice") // from itself
	distrusting := start("10.0.0.0/8")
	if got := from(distrusting, v1+head); strings.Contains(got, "200") {
		t.Errorf("a stranger's header: %q", got)
	}
	if got := from(distrusting, head); got != "HTTP/1.1 200 OK" {
		t.Errorf("a stranger: %q", got)
	}
	access.wait(t, `"client":"203.0.113.7:4321"`)
}

func TestHSTS(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) { o.ServePlain, o.HSTS = true, time.Hour }})
	e.deploy("alice.example", "index.html", "alice")
	const name = "Strict-Transport-Security"
	if got := get(t, e.client(), "https://alice.example/").Header.Get(name); got != "max-age=3600" {
		t.Errorf("https: %q", got)
	}
	a := do(t, e.client(), request(t, http.MethodGet, "http://alice.example/", nil))
	if got := a.Header.Get(name); got != "" {
		t.Errorf("http: %q", got)
	}
}
