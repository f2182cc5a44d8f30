package fetch

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/tenant"
)

func fetchRequest(u, host string) *hostcalls.FetchRequest {
	return &hostcalls.FetchRequest{Method: "GET", URL: mustParse(u), Host: host}
}

func getAs(t *testing.T, c *Client, id tenant.ID, u string) string {
	t.Helper()
	r := fetchRequest(u, "")
	r.Tenant = id
	resp, err := c.Fetch(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestConnectionsAreOfOneTenant: a connection is used again by the tenant that made it,
// and by no other, its preview included.
func TestConnectionsAreOfOneTenant(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto+r.RemoteAddr) }))
		srv.EnableHTTP2 = h2
		srv.StartTLS()
		defer srv.Close()
		c := newClient(t, Options{Roots: certificate(srv)}, anyAddress)
		a := getAs(t, c, "/git/alice", srv.URL)
		b := getAs(t, c, "/git/bob", srv.URL)
		if again := getAs(t, c, "/git/alice", srv.URL); again != a {
			t.Errorf("alice's second request came over %s, her first over %s", again, a)
		}
		if b == a {
			t.Errorf("bob's request came over alice's connection %s", a)
		}
		if p := getAs(t, c, "/git/alice@red", srv.URL); p == a || p == b {
			t.Errorf("the preview's request came over %s", p)
		}
		if (a[:8] == "HTTP/2.0") != h2 {
			t.Errorf("the protocol of %s", a)
		}
	}
}

// TestIdleConnectionsAreBounded: the connections of tenants that fetch no more are closed,
// and those of one that does not stop are kept.
func TestIdleConnectionsAreBounded(t *testing.T) {
	const tenants = maxIdle + 50
	closed := make(chan net.Conn, 2*tenants)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) }))
	srv.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- c
		}
	}
	srv.Start()
	defer srv.Close()
	c := newClient(t, Options{}, anyAddress)
	first := getAs(t, c, "/git/busy", srv.URL)
	for i := range tenants {
		getAs(t, c, tenant.ID(fmt.Sprintf("/git/t%d", i)), srv.URL)
		if got := getAs(t, c, "/git/busy", srv.URL); got != first {
			t.Fatalf("after %d other tenants a request came over %s, not %s", i, got, first)
		}
	}
	for range tenants - maxIdle {
		<-closed
	}
	c.pools.mu.Lock()
	defer c.pools.mu.Unlock()
	if c.pools.open > maxIdle+1 || c.pools.requests != 0 || len(c.pools.byTenant) > maxIdle+1 {
		t.Errorf("%d connections, %d requests, %d tenants", c.pools.open, c.pools.requests, len(c.pools.byTenant))
	}
}

// TestManyTenants: a tenant without connections is forgotten after a while.
func TestManyTenants(t *testing.T) {
	c := newClient(t, Options{}, func(netip.Addr) error { return refuse("nobody") })
	for i := range maxPools + 10 {
		r := fetchRequest("http://192.0.2.1", "")
		r.Tenant = tenant.ID(fmt.Sprintf("/git/t%d", i))
		if _, err := c.Fetch(t.Context(), r); !isRefusal(err) {
			t.Fatal(err)
		}
	}
	if n := len(c.pools.byTenant); n > maxPools || c.pools.used.Len() != n {
		t.Errorf("%d tenants are kept, %d in order", n, c.pools.used.Len())
	}
}

// TestHostIsJudged: a Host header that names another host than the URL is judged as one.
func TestHostIsJudged(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, r.Host)
	})
	own := mustParse(u).Host
	for _, tt := range []struct {
		name, path, host string
		operator, tenant []string
		want             string // empty: refused
	}{
		{"no list", "/", "other.example", nil, nil, "other.example"},
		{"the tenant's", "/", "other.example", nil, []string{own, "other.example"}, "other.example"},
		{"not the tenant's", "/", "other.example", nil, []string{own}, ""},
		{"the operator's", "/", "other.example:1", []string{own, "*.example:1"}, nil, "other.example:1"},
		{"not the operator's", "/", "other.example", []string{own}, nil, ""},
		{"another port", "/", "other.example:2", []string{own, "other.example:1"}, nil, ""},
		{"its own", "/", own, []string{own}, []string{own}, own},
		{"kept by a redirect", "/redirect", "other.example", nil, []string{own, "other.example"}, "other.example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, Options{Allow: tt.operator}, anyAddress)
			r := fetchRequest(u+tt.path, tt.host)
			r.Allow = tt.tenant
			resp, err := c.Fetch(t.Context(), r)
			if tt.want == "" {
				if !isRefusal(err) {
					t.Fatalf("got %v, want a refusal", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil || string(b) != tt.want {
				t.Errorf("got %q, %v", b, err)
			}
		})
	}
}

// TestLocalHost: a request to a site of this process names no host but another of its
// sites, and does not come from the loopback address.
func TestLocalHost(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host+" "+r.RemoteAddr) })
	for from, want := range map[netip.Addr]string{{}: "192.0.0.8:0", netip.MustParseAddr("2001:db8::1"): "[2001:db8::1]:0"} {
		c, err := New(Options{From: from, Local: func(u *url.URL) http.Handler {
			if u.Hostname() == "a.example" || u.Hostname() == "b.example" {
				return h
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, host := range []string{"", "b.example"} {
			resp, err := c.Fetch(t.Context(), fetchRequest("http://a.example/", host))
			if err != nil {
				t.Fatal(err)
			}
			if host == "" {
				host = "a.example"
			}
			b, err := io.ReadAll(resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil || string(b) != host+" "+want {
				t.Errorf("got %q, %v", b, err)
			}
		}
		for _, host := range []string{"edge.terrane.invalid", "git.example"} {
			if _, err := c.Fetch(t.Context(), fetchRequest("http://a.example/", host)); !isRefusal(err) {
				t.Errorf("as %s: %v, want a refusal", host, err)
			}
		}
	}
}
