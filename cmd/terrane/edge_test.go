package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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
	"github.com/terrane/terrane/internal/lattice/fleet"
	"github.com/terrane/terrane/internal/tomlfile"
	"github.com/terrane/terrane/tenant"
)

// anEdge is an edge that serves a folder on free ports, with DNS of its own.
type anEdge struct {
	t    testing.TB
	dir  string // the tenants' folders
	dns  *zone.Server
	edge *edge
	log  *watched
	// roots are trusted beside the edge's own authority.
	roots []byte
	// forgives is what an error at the end may say.
	forgives string
	stop     func()
}

// startEdge runs an edge until the test ends, or stop is called. before, if any, is
// called when its DNS stands and it does not run yet.
func startEdge(t testing.TB, change func(*config.Config), before ...func(*anEdge)) *anEdge {
	t.Helper()
	return startEdgeWith(t, edgeOptions{}, change, before...)
}

// startEdgeWith is startEdge with options; those that all edges of tests need are set.
func startEdgeWith(t testing.TB, opt edgeOptions, change func(*config.Config), before ...func(*anEdge)) *anEdge {
	t.Helper()
	e := &anEdge{t: t, dir: t.TempDir(), log: newWatched("")}
	var err error
	if e.dns, err = zone.New(zone.Options{}); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Edge.Name, cfg.Edge.Data = "test", t.TempDir()
	cfg.Stores = []config.Store{{Kind: "folder", Prefix: "/sites/", Path: e.dir, Depth: 1, Poll: tomlfile.Duration(100 * time.Millisecond)}}
	cfg.DNS.Addresses = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	cfg.DNS.Resolvers = []netip.AddrPort{e.dns.Addr()}
	cfg.DNS.MinTTL = tomlfile.Duration(time.Millisecond)
	cfg.HTTP.Listen, cfg.HTTPS.Listen, cfg.Admin.Listen = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}, "127.0.0.1:0"
	cfg.TLS.Mode = "internal"
	cfg.Limits.CPU = tomlfile.Duration(200 * time.Millisecond)
	if change != nil {
		change(cfg)
	}
	opt.fleet = fleet.Options{Wait: 300 * time.Millisecond, Shown: time.Second}
	if len(cfg.Lattice.Leaf) > 0 { // its hub is there, however slow this machine is
		opt.fleet.Wait = 20 * time.Second
	}
	opt.log, opt.servePlain, opt.again = slog.New(slog.NewTextHandler(e.log, nil)), true, []time.Duration{0, 0, 0, 0}
	if e.edge, err = newEdge(t.Context(), cfg, opt); err != nil {
		t.Fatal(err)
	}
	for _, f := range before {
		f(e)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- runParts(ctx, []part{{"dns", e.dns.Run}, {"edge", e.edge.run}}) }()
	e.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil && (e.forgives == "" || !strings.Contains(err.Error(), e.forgives)) {
			t.Errorf("edge: %v", err)
		}
	})
	t.Cleanup(e.stop)
	<-e.edge.server.Ready()
	<-e.edge.admin.Bound()
	return e
}

// deploy moves a folder into its place and waits until it is live or refused.
func (e *anEdge) deploy(name string, files map[string][]byte) {
	e.t.Helper()
	next := e.t.TempDir()
	for file, data := range files {
		if err := os.WriteFile(filepath.Join(next, file), data, 0o600); err != nil {
			e.t.Fatal(err)
		}
	}
	e.swap(name, next)
}

func (e *anEdge) swap(name, next string) {
	e.t.Helper()
	id := tenant.ID("/sites/" + name)
	before, _ := e.edge.syncer.Tenant(id)
	place := filepath.Join(e.dir, name)
	if err := os.RemoveAll(place); err != nil {
		e.t.Fatal(err)
	}
	if err := os.Rename(next, place); err != nil {
		e.t.Fatal(err)
	}
	e.await("a release of "+name, func() bool {
		now, _ := e.edge.syncer.Tenant(id)
		newLive := now.Live != nil && (before.Live == nil || now.Live.Revision != before.Live.Revision)
		newRefusal := now.Refused != nil && (before.Refused == nil || now.Refused.Revision != before.Refused.Revision)
		return newLive || newRefusal
	})
}

// await polls until cond holds.
func (e *anEdge) await(what string, cond func() bool) {
	e.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			e.t.Fatalf("waited in vain for %s:\n%s", what, e.log)
		}
	}
}

// domain gives a host the records.
func (e *anEdge) domain(host string, texts ...string) {
	e.t.Helper()
	records := map[string][]string{host: {"A 127.0.0.1"}}
	for _, t := range texts {
		records["_terrane."+host] = append(records["_terrane."+host], `TXT "`+t+`"`)
	}
	if err := e.dns.Update(records); err != nil {
		e.t.Fatal(err)
	}
}

// request asks over HTTPS under the SNI, and over HTTP if that is empty.
func (e *anEdge) request(sni, host, path string) (status int, body string) {
	e.t.Helper()
	return e.send(http.MethodGet, sni, host, path, "")
}

// send is request with a method and a body.
func (e *anEdge) send(method, sni, host, path, form string) (status int, body string) {
	e.t.Helper()
	http1, https := e.edge.server.Addrs()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(e.roots)
	if e.edge.authority != nil {
		roots.AppendCertsFromPEM(e.edge.authority.RootPEM())
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

func (e *anEdge) want(host, path string, status int, part string) {
	e.t.Helper()
	if got, body := e.request(host, host, path); got != status || !strings.Contains(body, part) {
		e.t.Errorf("https://%s%s: %d %q, want %d with %q", host, path, got, body, status, part)
	}
}

// refusal is what the well-known page says of the newest revision.
func (e *anEdge) refusal(host string) string {
	e.t.Helper()
	_, body := e.request(host, host, "/.well-known/terrane")
	var report struct{ Refused struct{ Reason string } }
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		e.t.Errorf("%s: %v in %s", host, err, body)
	}
	return report.Refused.Reason
}

// admin asks the operator's listener.
func (e *anEdge) admin(path string) (int, string) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, "http://"+e.edge.admin.Addr().String()+path, http.NoBody)
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

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
