package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrane/terrane/dnsverify/zone"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// ownProcess is an edge in a separate process.
type ownProcess struct {
	*child
	t                       *testing.T
	name, dir, admin, https string // dir: the folder that is its store
	store                   string // of its configuration, instead of dir
	more                    string // of its configuration
	access                  string // its access log
	data                    string
	dns                     *zone.Server
	client                  *http.Client

	mu      sync.Mutex
	records map[string][]string // guarded by mu
}

// startProcess starts the binary as an edge that serves a folder. change may put it under
// constraints, more is added to its configuration.
func startProcess(t *testing.T, binary, more string, change func(*exec.Cmd)) *ownProcess {
	t.Helper()
	p := newOwnProcess(t, "ams1")
	p.more = more
	p.start(binary, change)
	p.await("readiness", func() bool { return p.ready() == nil })
	return p
}

// newOwnProcess prepares an edge, and runs its DNS.
func newOwnProcess(t *testing.T, name string) *ownProcess {
	t.Helper()
	data := t.TempDir()
	p := &ownProcess{
		t: t, name: name, dir: t.TempDir(), admin: latticetest.FreeAddr(t), https: latticetest.FreeAddr(t), data: data,
		access: filepath.Join(data, "access.log"), records: make(map[string][]string),
	}
	p.dns = startDNS(t)
	return p
}

// start starts the edge, and returns when clients can trust it.
func (p *ownProcess) start(binary string, change func(*exec.Cmd)) {
	p.t.Helper()
	store := p.store
	if store == "" {
		store = fmt.Sprintf("kind = \"folder\"\nprefix = \"/sites/\"\npath = %q\npoll = \"100ms\"\n", p.dir)
	}
	file := filepath.Join(p.data, "terrane.toml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
[edge]
name = %q
region = "ams"
data = %q
[[store]]
%s
[dns]
addresses = ["127.0.0.1"]
resolvers = [%q]
min_ttl = "1s"
[tls]
mode = "internal"
[http]
listen = ["127.0.0.1:0"]
[https]
listen = [%q]
drain = "3s"
[admin]
listen = %q
%s`, p.name, filepath.Join(p.data, "edge"), store, p.dns.Addr(), p.https, p.admin, p.more), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.child = startProgram(p.t, binary, change, "serve", "--config", file, "--access-log", p.access)
	p.await("its administration", func() bool {
		resp, err := http.Get("http://" + p.admin + "/readyz")
		return err == nil && resp.Body.Close() == nil
	})
	pem, err := os.ReadFile(filepath.Join(p.data, "edge", "ca", "root.crt"))
	if err != nil {
		p.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	tr := &http.Transport{
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(0)},
		ExpectContinueTimeout: time.Minute,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.https)
		},
	}
	p.client = &http.Client{Transport: tr, Timeout: time.Minute}
	p.t.Cleanup(tr.CloseIdleConnections)
}

// ready returns why the edge is not ready.
func (p *ownProcess) ready() error {
	_, err := p.page("/readyz")
	return err
}

func (p *ownProcess) await(what string, cond func() bool) {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(4 * time.Minute); !cond(); {
		select {
		case <-tick.C:
		case <-p.done:
			p.t.Fatalf("waited for %s: the edge has ended: %v\n%s", what, p.err, p.tail())
		case <-late:
			p.t.Fatalf("waited in vain for %s:\n%s", what, p.tail())
		}
	}
}

// tail is the end of the edge's log.
func (p *ownProcess) tail() string {
	out := p.output()
	return out[max(0, len(out)-8<<10):]
}

// domain gives a tenant the host NAME.example.
func (p *ownProcess) domain(name string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records[name+".example"] = []string{"A 127.0.0.1"}
	p.records["_terrane."+name+".example"] = []string{`TXT "terrane=/sites/` + name + `"`}
	if err := p.dns.Update(p.records); err != nil {
		p.t.Fatal(err)
	}
}

// deploy moves files into a tenant's folder.
func (p *ownProcess) deploy(name string, files map[string][]byte) {
	p.t.Helper()
	next := p.t.TempDir()
	for file, data := range files {
		if err := os.WriteFile(filepath.Join(next, file), data, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	place := filepath.Join(p.dir, name)
	if err := errors.Join(os.RemoveAll(place), os.Rename(next, place)); err != nil {
		p.t.Fatal(err)
	}
}

// forget takes the host NAME.example away from its tenant.
func (p *ownProcess) forget(name string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.records, "_terrane."+name+".example")
	if err := p.dns.Update(map[string][]string{"_terrane." + name + ".example": nil}); err != nil {
		p.t.Fatal(err)
	}
}

// page reads an admin page of the edge.
func (p *ownProcess) page(path string) (string, error) {
	resp, err := http.Get("http://" + p.admin + path)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, text)
	}
	return string(text), err
}

// ask sends a request to a tenant; a body makes it a POST. The error is of the connection.
func (p *ownProcess) ask(name, path, body string) (status int, text string, err error) {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, "https://"+name+".example"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if len(body) > 1<<20 { // else an early refusal may be lost with the connection
		req.Header.Set("Expect", "100-continue")
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), errors.Join(err, resp.Body.Close())
}

// shows reports whether a tenant's page is this.
func (p *ownProcess) shows(name, path, want string) bool {
	code, text, err := p.ask(name, path, "")
	return err == nil && code == http.StatusOK && text == want
}
