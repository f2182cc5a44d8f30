package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

func TestSiteOverHTTPS(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	e.deploy("alice.example", "index.html", "<h1>alice</h1>")
	a := get(t, e.client(), "https://alice.example/")
	a.want(t, 200, "<h1>alice</h1>")
	if a.Proto != "HTTP/2.0" {
		t.Errorf("proto %s", a.Proto)
	}
	for name, want := range map[string]string{
		"Terrane-Edge": "test1", "Terrane-Revision": "r1", "Content-Type": "text/html; charset=utf-8",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	b := get(t, e.client(), "https://alice.example/")
	one, two := a.Header.Get("Terrane-Request-Id"), b.Header.Get("Terrane-Request-Id")
	if len(one) != 26 || len(two) != 26 || one == two || one[:16] != two[:16] {
		t.Errorf("request ids %q and %q", one, two)
	}
}

func TestPlainRedirects(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	e.deploy("alice.example", "index.html", "alice")
	e.zone.set("slow.example", tenant.Verdict{Reason: "no resolver answered"})
	c := e.client()
	_, port, _ := net.SplitHostPort(e.https)
	a := get(t, c, "http://ALICE.example/a%2Fb?q=%20")
	a.want(t, http.StatusPermanentRedirect, "")
	if got, want := a.Header.Get("Location"), "https://alice.example:"+port+"/a%2Fb?q=%20"; got != want {
		t.Errorf("Location %q, want %q", got, want)
	}
	get(t, c, "http://nobody.example/").want(t, 404, "there is no TXT record at _terrane.nobody.example")
	a = get(t, c, "http://slow.example/")
	a.want(t, 503, "no resolver answered")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestPlainServesWhenTold(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) { o.ServePlain = true }})
	e.deploy("alice.example", "index.html", "alice")
	get(t, e.client(), "http://alice.example/").want(t, 200, "alice")
}

func TestRedirectToPort443HasNoPort(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) { o.HTTPSPort = 443 }})
	e.deploy("alice.example", "index.html", "alice")
	if got := get(t, e.client(), "http://alice.example/x").Header.Get("Location"); got != "https://alice.example/x" {
		t.Errorf("Location %q", got)
	}
}

func TestRefusedHosts(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	e.deploy("alice.example", "index.html", "alice")
	e.zone.set("ghost.example", verified("/git/ghost"))
	bob := e.snapshot("/git/bob", "r1", "index.html", "bob")
	bob.Manifest.Domains = []tenant.Pattern{"bob.example"}
	if err := e.sites.Publish(t.Context(), bob); err != nil {
		t.Fatal(err)
	}
	e.zone.set("bob.example", verified("/git/bob"))
	e.zone.set("thief.example", verified("/git/bob"))
	c := e.client()
	get(t, c, "https://bob.example/").want(t, 200, "bob")
	get(t, c, "http://thief.example/").want(t, 404, `the folder "/git/bob" does not list thief.example`)
	get(t, c, "http://ghost.example/").want(t, 404, `names "/git/ghost"`)
	for _, host := range []string{"thief.example", "ghost.example", "nobody.example"} {
		if resp, err := c.Get("https://" + host + "/"); err == nil {
			closed(t, resp.Body)
			t.Errorf("%s has a certificate", host)
		}
	}
	for _, host := range []string{"192.0.2.1", "localhost", "a..b.example", "[2001:db8::1]"} {
		req := request(t, http.MethodGet, "http://"+e.http+"/", nil)
		req.Host = host
		do(t, http.DefaultClient, req).want(t, 404, "no site bears this name")
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestRevocationEndsOpenConnections(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	e.deploy("alice.example", "index.html", "alice")
	c := e.client()
	get(t, c, "https://alice.example/").want(t, 200, "alice")
	e.zone.set("alice.example", tenant.Verdict{Standing: tenant.Denied, Reason: "the TXT record is gone"})
	get(t, c, "https://alice.example/").want(t, 404, "the TXT record is gone")
	e.zone.set("alice.example", verified("/git/alice"))
	if err := e.sites.Remove(t.Context(), "/git/alice"); err != nil {
		t.Fatal(err)
	}
	get(t, c, "https://alice.example/").want(t, 404, "no store of this edge")
}

func TestMisdirected(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	e.deploy("alice.example", "index.html", "alice")
	e.deploy("bob.example", "index.html", "bob")
	c := e.client()
	req := request(t, http.MethodGet, "https://alice.example/", nil)
	req.Host = "bob.example"
	do(t, c, req).want(t, http.StatusMisdirectedRequest, "differ")
	req = request(t, http.MethodGet, "https://alice.example/", nil)
	req.Host = "Alice.Example.:443"
	do(t, c, req).want(t, 200, "alice")
}

func TestBadPaths(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) { o.ServePlain = true }})
	e.deploy("alice.example", "index.html", "alice", "a..b/..c", "dots", "secret.wasm", "say:x", ".git/config", "x", "terrane.toml", "x")
	for _, tt := range []struct {
		target string
		code   int
	}{
		{"/../etc/passwd", 400},
		{"/a/..", 400},
		{"/%2e%2e/x", 400},
		{"/a%2f..%2fb", 400},
		{"/a%5cb", 400},
		{"/a%00b", 400},
		{`/a\b`, 400},
		{"/a..b/..c", 404}, // hidden: it starts with a dot
		{"/.git/config", 404},
		{"/terrane.toml", 404},
		{"//index.html", 404},
		{"/./index.html", 404},
		{"/", 200},
		{"http://alice.example/", 200},
	} {
		if got := raw(t, e.http, "GET "+tt.target+" HTTP/1.1\r\nHost: alice.example\r\nConnection: close\r\n\r\n"); got != tt.code {
			t.Errorf("%s: %d, want %d", tt.target, got, tt.code)
		}
	}
	if got := raw(t, e.http, "GET / HTTP/1.1\r\nHost: alice.example\r\nX: "+strings.Repeat("a", 80<<10)+"\r\n\r\n"); got != 431 {
		t.Errorf("large head: %d", got)
	}
}

// raw sends bytes and returns the status of the answer.
func raw(t *testing.T, addr, request string) int {
	t.Helper()
	return rawResponse(t, addr, request).StatusCode
}

// rawLocation is the Location of the response to a GET of path, sent as it is.
func rawLocation(t *testing.T, addr, path string) string {
	t.Helper()
	return rawResponse(t, addr, "GET "+path+" HTTP/1.1\r\nHost: alice.example\r\n\r\n").Header.Get("Location")
}

// rawResponse is the response to the request, without its body.
func rawResponse(t *testing.T, addr, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, conn)
	if _, err := fmt.Fprint(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, resp.Body)
	return resp
}

func TestWellKnown(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) {
		o.Refused = func(id tenant.ID) (tenant.Revision, string, bool) {
			return "r2", "bad.wasm: not Wasm", id == "/git/alice"
		}
	}})
	e.deploy("alice.example", "index.html", "alice")
	type report struct {
		Edge, Revision, Problem string
		Host                    tenant.Host
		DNS                     struct{ Standing, Tenant, Reason string }
		Refused                 struct{ Revision, Reason string }
	}
	read := func(url string) (r report) {
		t.Helper()
		a := get(t, e.client(), url)
		if err := json.Unmarshal([]byte(a.body), &r); err != nil {
			t.Errorf("%s: %v in %q", url, err, a.body)
		}
		return r
	}
	got := read("https://alice.example/.well-known/terrane")
	if got.Edge != "test1" || got.Revision != "r1" || got.DNS.Standing != "verified" || got.DNS.Tenant != "/git/alice" ||
		got.Refused.Revision != "r2" || got.Refused.Reason != "bad.wasm: not Wasm" || got.Problem != "" {
		t.Errorf("live: %+v", got)
	}
	got = read("http://nobody.example/.well-known/terrane")
	if got.DNS.Standing != "denied" || got.Problem == "" || got.Revision != "" || got.Refused.Revision != "" {
		t.Errorf("denied: %+v", got)
	}
	got = read("https://" + string(server.SelfHost) + "/.well-known/terrane")
	if got.Edge != "test1" || got.Host != server.SelfHost {
		t.Errorf("self: %+v", got)
	}
}

func TestListenErrorsSayHowToMend(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	for _, tt := range []struct{ addr, want string }{
		{e.http, "choose another port"},
		{"192.0.2.1:0", "no interface of this machine has the address"},
	} {
		s := must(server.New(server.Options{Sites: e.sites, HTTP: []string{"127.0.0.1:0", tt.addr}}))
		err := s.Run(context.Background())
		if err == nil || !strings.Contains(err.Error(), tt.addr) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.addr, err, tt.want)
		}
	}
}

func TestSessionResumesAndHTTP1(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	e.deploy("alice.example", "index.html", "alice")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(e.ca.RootPEM())
	cfg := &tls.Config{RootCAs: roots, ServerName: "alice.example", NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for i := range 2 {
		conn, err := tls.Dial("tcp", e.https, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: alice.example\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", resp, err)
		}
		if got := conn.ConnectionState().DidResume; got != (i == 1) {
			t.Errorf("connection %d resumed: %v", i, got)
		}
		closed(t, resp.Body)
		closed(t, conn)
	}
}
