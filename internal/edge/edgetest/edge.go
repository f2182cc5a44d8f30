package edgetest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrane/terrane/dnsverify/zone"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge"
	"github.com/terrane/terrane/internal/lattice/fleet"
	"github.com/terrane/terrane/internal/parts"
	"github.com/terrane/terrane/internal/tomlfile"
	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// Edge is an edge that serves a folder on free ports, with DNS of its own.
type Edge struct {
	*edge.Edge
	t   testing.TB
	Dir string // the tenants' folders
	DNS *zone.Server
	Log *Output
	// Roots are trusted beside the edge's own authority.
	Roots []byte
	// Forgives is what an error at the end may say.
	Forgives string
	Stop     func()
}

// Start runs an edge until the test ends, or stop is called. before, if any, is
// called when its DNS stands and it does not run yet.
func Start(t testing.TB, change func(*config.Config), before ...func(*Edge)) *Edge {
	t.Helper()
	return StartWith(t, edge.Options{}, change, before...)
}

// StartWith is Start with options; those that all edges of tests need are set.
func StartWith(t testing.TB, opt edge.Options, change func(*config.Config), before ...func(*Edge)) *Edge {
	t.Helper()
	e := &Edge{t: t, Dir: t.TempDir(), Log: NewOutput("")}
	var err error
	if e.DNS, err = zone.New(zone.Options{}); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Edge.Name, cfg.Edge.Data = "test", t.TempDir()
	cfg.Stores = []config.Store{{Kind: "folder", Prefix: "/sites/", Path: e.Dir, Depth: 1, Poll: tomlfile.Duration(100 * time.Millisecond)}}
	cfg.DNS.Addresses = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	cfg.DNS.Resolvers = []netip.AddrPort{e.DNS.Addr()}
	cfg.DNS.MinTTL = tomlfile.Duration(time.Millisecond)
	cfg.HTTP.Listen, cfg.HTTPS.Listen, cfg.Admin.Listen = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}, "127.0.0.1:0"
	cfg.TLS.Mode = "internal"
	cfg.Limits.CPU = tomlfile.Duration(200 * time.Millisecond)
	if change != nil {
		change(cfg)
	}
	opt.Fleet = fleet.Options{Wait: 300 * time.Millisecond, Shown: time.Second}
	if len(cfg.Lattice.Leaf) > 0 { // its hub is there, however slow this machine is
		opt.Fleet.Wait = 20 * time.Second
	}
	opt.Logger, opt.ServePlain, opt.Again = slog.New(slog.NewTextHandler(e.Log, nil)), true, []time.Duration{0, 0, 0, 0}
	if e.Edge, err = edge.New(t.Context(), cfg, opt); err != nil {
		t.Fatal(err)
	}
	for _, f := range before {
		f(e)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- parts.Run(ctx, []parts.Part{{Name: "dns", Run: e.DNS.Run}, {Name: "edge", Run: e.Run}})
	}()
	e.Stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil && (e.Forgives == "" || !strings.Contains(err.Error(), e.Forgives)) {
			t.Errorf("edge: %v", err)
		}
	})
	t.Cleanup(e.Stop)
	<-e.Server.Ready()
	<-e.Admin.Bound()
	return e
}

// Deploy moves a folder into its place and waits until it is live or refused.
func (e *Edge) Deploy(name string, files map[string][]byte) {
	e.t.Helper()
	next := e.t.TempDir()
	for file, data := range files {
		if err := os.WriteFile(filepath.Join(next, file), data, 0o600); err != nil {
			e.t.Fatal(err)
		}
	}
	e.Swap(name, next)
}

// Swap puts the folder next into the place of a tenant's, and waits like Deploy.
func (e *Edge) Swap(name, next string) {
	e.t.Helper()
	id := tenant.ID("/sites/" + name)
	before, _ := e.Syncer.Tenant(id)
	place := filepath.Join(e.Dir, name)
	if err := os.RemoveAll(place); err != nil {
		e.t.Fatal(err)
	}
	if err := os.Rename(next, place); err != nil {
		e.t.Fatal(err)
	}
	e.Await("a release of "+name, func() bool {
		now, _ := e.Syncer.Tenant(id)
		newLive := now.Live != nil && (before.Live == nil || now.Live.Revision != before.Live.Revision)
		newRefusal := now.Refused != nil && (before.Refused == nil || now.Refused.Revision != before.Refused.Revision)
		return newLive || newRefusal
	})
}

// Await polls until cond holds.
func (e *Edge) Await(what string, cond func() bool) {
	e.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(4 * time.Minute)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			e.t.Fatalf("waited in vain for %s:\n%s", what, e.Log)
		}
	}
}

// Domain gives a host the records.
func (e *Edge) Domain(host string, texts ...string) {
	e.t.Helper()
	records := map[string][]string{host: {"A 127.0.0.1"}}
	for _, t := range texts {
		records["_terrane."+host] = append(records["_terrane."+host], `TXT "`+t+`"`)
	}
	if err := e.DNS.Update(records); err != nil {
		e.t.Fatal(err)
	}
}

// Request asks over HTTPS under the SNI, and over HTTP if that is empty.
func (e *Edge) Request(sni, host, path string) (status int, body string) {
	e.t.Helper()
	return e.Send(http.MethodGet, sni, host, path, "")
}

// Send is request with a method and a body.
func (e *Edge) Send(method, sni, host, path, form string) (status int, body string) {
	e.t.Helper()
	http1, https := e.Server.Addrs()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(e.Roots)
	if e.Authority != nil {
		roots.AppendCertsFromPEM(e.Authority.RootPEM())
	}
	to, url := https[0], "https://"+sni
	if sni == "" {
		to, url = http1[0], "http://"+host
	}
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, to.String())
		},
	}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(e.t.Context(), method, url+"/", strings.NewReader(form))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Host, req.URL.Opaque = host, "//"+host+path // the path goes out as it is
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, err.Error()
	}
	data, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		e.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// Want checks the answer to a request over HTTPS: its status, and a part of its body.
func (e *Edge) Want(host, path string, status int, part string) {
	e.t.Helper()
	if got, body := e.Request(host, host, path); got != status || !strings.Contains(body, part) {
		e.t.Errorf("https://%s%s: %d %q, want %d with %q", host, path, got, body, status, part)
	}
}

// Refusal is what the well-known page says of the newest revision.
func (e *Edge) Refusal(host string) string {
	e.t.Helper()
	_, body := e.Request(host, host, "/.well-known/terrane")
	var report struct{ Refused struct{ Reason string } }
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		e.t.Errorf("%s: %v in %s", host, err, body)
	}
	return report.Refused.Reason
}

// Get asks the operator's listener.
func (e *Edge) Get(path string) (int, string) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, "http://"+e.Admin.Addr().String()+path, http.NoBody)
	if err != nil {
		e.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		e.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// File reads a file of the repository, by its path from the root.
func File(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Hook tells the edge of a push as a forge does.
func (e *Edge) Hook(secret string) int {
	e.t.Helper()
	http1, _ := e.Server.Addrs()
	const body = `{"ref": "refs/heads/main"}`
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, "http://"+http1[0].String()+server.WebhookPath, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Host = "alice.example"
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		e.t.Error(err)
	}
	return resp.StatusCode
}
