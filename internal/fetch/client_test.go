package fetch

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/dnsverify"
	"github.com/terrane/terrane/dnsverify/dnstest"
	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newClient(t *testing.T, o Options, judge func(netip.Addr) error) *Client {
	t.Helper()
	c, err := build(o, judge)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func anyAddress(netip.Addr) error { return nil }

func get(c *Client, ctx context.Context, rawURL string, allow ...string) (string, error) { //nolint:revive // ctx is t's
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", err
	}
	resp, err := c.Fetch(ctx, &hostcalls.FetchRequest{Method: "GET", URL: u, Allow: allow})
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	return string(b), errors.Join(err, resp.Body.Close())
}

func serve(t *testing.T, h http.HandlerFunc) string {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func isRefusal(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	c, err := New(Options{Own: Infrastructure{Addresses: []netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("2606:4700::1")}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, host := range []string{
		"127.0.0.1", "127.1.2.3", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1",
		"100.100.100.200", "168.63.129.16", "0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.1", "240.0.0.1", "198.18.0.1",
		"[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[::7f00:1]", "[64:ff9b::7f00:1]", "[fe80::1]", "[fc00::1]",
		"[fd00:ec2::254]", "[ff02::1]", "[fec0::1]", "[2002:7f00:1::]", "[2001::1]", "[2001:db8::1]",
		"8.8.8.8", "[2606:4700::1]", "[::ffff:8.8.8.8]", "127.0.0.1:22",
	} {
		if _, err := get(c, t.Context(), "http://"+host+"/"); !isRefusal(err) {
			t.Errorf("%s: got %v, want a refusal", host, err)
		}
	}
	judge := guard{reserved: reserved(), own: newOwn(Infrastructure{})}
	for _, ip := range []string{"1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1"} {
		if err := judge.check(netip.MustParseAddr(ip)); err != nil {
			t.Errorf("%s: %v", ip, err)
		}
	}
}

func TestLabsReachNoMetadata(t *testing.T) {
	c, err := New(Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, host := range []string{
		"169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "[::ffff:a9fe:a9fe]", "[fe80::1]", "[fd00:ec2::254]",
	} {
		if _, err := get(c, t.Context(), "http://"+host+"/"); !isRefusal(err) {
			t.Errorf("%s: got %v, want a refusal", host, err)
		}
	}
	judge := guard{reserved: metadata()}
	for _, ip := range []string{"127.0.0.1", "10.0.0.1", "192.168.1.1", "fc00::1", "1.1.1.1"} {
		if err := judge.check(netip.MustParseAddr(ip)); err != nil {
			t.Errorf("%s: %v", ip, err)
		}
	}
}

// newResolver is a DNS server, and the client that asks it.
func newResolver(t *testing.T) (*dnstest.Server, *net.Resolver) {
	t.Helper()
	s := dnstest.Start(t)
	c, err := dnsverify.NewClient(dnsverify.ClientOptions{Resolvers: s.Resolvers()})
	if err != nil {
		t.Fatal(err)
	}
	return s, c.NetResolver()
}

// A name that resolves to a private address is as good as that address, whatever
// it resolved to before.
func TestRebinding(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "inside") })
	port := target[strings.LastIndex(target, ":")+1:]
	dns, r := newResolver(t)
	dns.MustSet(t, "rebind.example", "0 A 127.0.0.2")
	c := newClient(t, Options{Resolver: r}, func(ip netip.Addr) error {
		if ip == netip.MustParseAddr("127.0.0.1") {
			return refuse("private")
		}
		return nil
	})
	_, err := get(c, t.Context(), "http://rebind.example:"+port)
	if isRefusal(err) || err == nil {
		t.Fatalf("first address: got %v, want a failed connection", err)
	}
	dns.MustSet(t, "rebind.example", "0 A 127.0.0.1")
	if _, err = get(c, t.Context(), "http://rebind.example:"+port); !isRefusal(err) {
		t.Errorf("second address: got %v, want a refusal", err)
	}
}

func TestRedirects(t *testing.T) {
	inner := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "inner") })
	other := strings.Replace(inner, "127.0.0.1", "127.0.0.2", 1)
	outer := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var left int
		_, _ = fmt.Sscanf(r.URL.Path, "/left/%d", &left)
		switch {
		case r.URL.Path == "/to":
			http.Redirect(w, r, r.URL.Query().Get("u"), http.StatusFound)
		case left > 0:
			http.Redirect(w, r, fmt.Sprint("/left/", left-1), http.StatusTemporaryRedirect)
		default:
			_, _ = fmt.Fprint(w, "outer")
		}
	})
	c := newClient(t, Options{}, func(ip netip.Addr) error {
		if ip == netip.MustParseAddr("127.0.0.2") {
			return refuse("private")
		}
		return nil
	})
	innerHost := strings.TrimPrefix(inner, "http://")
	for _, tt := range []struct {
		name, url string
		allow     []string
		want      string
	}{
		{"ten", outer + "/left/10", nil, "outer"},
		{"eleven", outer + "/left/11", nil, ""},
		{"to an allowed host", outer + "/to?u=" + url.QueryEscape(inner), nil, "inner"},
		{"to a private address", outer + "/to?u=" + url.QueryEscape(other), nil, ""},
		{"out of the tenant's list", outer + "/to?u=" + url.QueryEscape(inner), []string{strings.TrimPrefix(outer, "http://")}, ""},
		{"within it", outer + "/to?u=" + url.QueryEscape(inner), []string{strings.TrimPrefix(outer, "http://"), innerHost}, "inner"},
		{"to a file", outer + "/to?u=file:///etc/passwd", nil, ""},
	} {
		got, err := get(c, t.Context(), tt.url, tt.allow...)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s: got %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestAllowed(t *testing.T) {
	for _, tt := range []struct {
		patterns, url string
		want          bool
	}{
		{"*", "https://anything.example", true},
		{"api.example.com", "https://api.example.com/x", true},
		{"API.example.com", "https://Api.Example.com./x", true},
		{"api.example.com", "https://api.example.com.evil.example", false},
		{"api.example.com", "https://xapi.example.com", false},
		{"*.example.com", "https://a.b.example.com", true},
		{"*.example.com", "https://example.com", false},
		{"*.example.com", "https://badexample.com", false},
		{"a.example b.example", "http://b.example", true},
		{"example.com:443", "https://example.com", true},
		{"example.com:443", "http://example.com", false},
		{"example.com:8080", "http://example.com:8080", true},
		{"192.0.2.1", "http://192.0.2.1:99", true},
		{"[2001:db8::1]:80", "http://[2001:db8::1]", true},
		{"", "https://example.com", false},
		{"example.com", "https://example.com@evil.example/", false},
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := allowed(strings.Fields(tt.patterns), u); got != tt.want {
			t.Errorf("%q %s: got %v", tt.patterns, tt.url, got)
		}
	}
	for _, p := range []string{"", "*.", "a.*.example", "http://example.com", "a b", "*x"} {
		if _, err := New(Options{Allow: []string{p}}); err == nil {
			t.Errorf("the pattern %q was taken", p)
		}
	}
}

func TestNobodyIsAllowed(t *testing.T) {
	u := serve(t, func(http.ResponseWriter, *http.Request) {})
	c := newClient(t, Options{Allow: []string{}}, anyAddress)
	if _, err := get(c, t.Context(), u); !isRefusal(err) {
		t.Errorf("operator: got %v, want a refusal", err)
	}
	c = newClient(t, Options{}, anyAddress)
	if _, err := c.Fetch(t.Context(), &hostcalls.FetchRequest{Method: "GET", URL: mustParse(u), Allow: []string{}}); !isRefusal(err) {
		t.Errorf("tenant: got %v, want a refusal", err)
	}
}

func mustParse(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func TestRequestIsAsAsked(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, r.Method, r.Host, r.UserAgent(), r.Header["X-A"], string(b))
	})
	c := newClient(t, Options{}, anyAddress)
	h := http.Header{"X-A": {"1", "2"}}
	resp, err := c.Fetch(t.Context(), &hostcalls.FetchRequest{
		Method: "QUERY", URL: mustParse(u), Header: h, Host: "h.example", Body: []byte("body"),
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if want := "QUERYh.exampleterrane[1 2]body"; string(got) != want || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	if len(h) != 1 {
		t.Errorf("the request's header was changed: %v", h)
	}
}

func TestTime(t *testing.T) {
	stop := make(chan struct{})
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			_, _ = fmt.Fprint(w, "begun")
			_ = http.NewResponseController(w).Flush()
		}
		<-stop
	})
	defer close(stop)
	c := newClient(t, Options{Timeout: 50 * time.Millisecond}, anyAddress)
	for _, path := range []string{"/never", "/slow"} {
		_, err := get(c, t.Context(), u+path)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "in time") {
			t.Errorf("%s: got %v, want the deadline", path, err)
		}
	}
}

// What a guest is told names no address that is not its own business.
func TestFailuresTellNothingOfTheNetwork(t *testing.T) {
	dns, r := newResolver(t)
	dns.FailName("failing.example", dnstest.ServFail)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	_ = l.Close()
	big := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Big", strings.Repeat("x", 2*maxHeader))
	})
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	selfSigned := httptest.NewUnstartedServer(http.NotFoundHandler())
	selfSigned.Config.ErrorLog = log.New(io.Discard, "", 0)
	selfSigned.StartTLS()
	defer selfSigned.Close()
	c := newClient(t, Options{Resolver: r}, anyAddress)
	for url, want := range map[string]string{
		"http://absent.example":                    "has no address",
		"http://failing.example":                   "could not be resolved",
		"http://" + closed:                         "refused the connection",
		strings.Replace(plain, "http", "https", 1): "does not speak TLS",
		selfSigned.URL:                             "certificate is not good",
		big:                                        "could not be reached",
	} {
		_, err := get(c, t.Context(), url)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), dns.Addr().String()) || strings.Contains(err.Error(), "127.") {
			t.Errorf("%s: got %v, want %q", url, err, want)
		}
	}
}

func certificate(srv *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}

func TestRoots(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "ok") }))
	defer srv.Close()
	c := newClient(t, Options{Roots: certificate(srv)}, anyAddress)
	if got, err := get(c, t.Context(), srv.URL); got != "ok" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := New(Options{Roots: []byte("no PEM")}); err == nil {
		t.Error("roots without a certificate were taken")
	}
}

func TestCheck(t *testing.T) {
	err := Options{
		Allow: []string{"example.com", "http://x", "*", "a b"},
		Deny:  []string{"10.0.0.0/8", "10.0.0.1/8", "*", "1.1.1.1:53"},
		Roots: []byte("none"), Timeout: -1,
	}.Check()
	want := []string{
		`allow[1]: pattern "http://x": want *`, `allow[3]: pattern "a b": want *`,
		`deny[1]: network "10.0.0.1/8": has bits`, `deny[2]: "*": want a network`, `deny[3]: "1.1.1.1:53": an address is denied with all its ports`,
		"roots: no certificate in PEM", "timeout: -1ns: want 0 or more",
	}
	faults, rest := fault.Split(err)
	if len(faults) != len(want) || rest != nil {
		t.Fatalf("got\n%v", err)
	}
	for i, f := range faults {
		if !strings.HasPrefix(f.Error(), want[i]) {
			t.Errorf("fault %d: %v, want %s", i, f, want[i])
		}
	}
	if _, err := New(Options{Allow: []string{"http://x"}}); err == nil || !strings.HasPrefix(err.Error(), "allow[0]: ") {
		t.Errorf("New: %v", err)
	}
}
