package certs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/certs"
)

// pebbleFiles are the programs and files of the Pebble that tools/go.mod pins, which
// go tool builds when it must.
var pebbleFiles = sync.OnceValues(func() (f struct{ ca, dns, src string }, err error) {
	for _, v := range []struct {
		to   *string
		args []string
	}{
		{&f.ca, []string{"tool", "-modfile=../../tools/go.mod", "-n", "pebble"}},
		{&f.dns, []string{"tool", "-modfile=../../tools/go.mod", "-n", "pebble-challtestsrv"}},
		{&f.src, []string{"list", "-modfile=../../tools/go.mod", "-m", "-f", "{{.Dir}}", "github.com/letsencrypt/pebble/v2"}},
	} {
		out, err := exec.Command("go", v.args...).Output()
		if err != nil {
			return f, err
		}
		*v.to = strings.TrimSpace(string(out))
	}
	return f, nil
})

// pebble is Let's Encrypt's test CA, with a DNS server that says 127.0.0.1 of all
// names, and ports for its validations.
type pebble struct {
	url       string // of the directory, behind a gate
	addr      string // of its API
	api       *gate
	http, tls *gate  // where it validates
	roots     []byte // what its API is trusted by
	issuer    []byte // what its certificates are trusted by
	out       string // the file it logs to
}

func startPebble(t *testing.T) *pebble {
	t.Helper()
	t.Parallel()
	files, err := pebbleFiles()
	if err != nil {
		t.Skipf("Pebble cannot be built: %v", err)
	}
	p := &pebble{api: newGate(t), http: newGate(t), tls: newGate(t), out: filepath.Join(t.TempDir(), "pebble.log")}
	p.roots = read(t, filepath.Join(files.src, "test/certs/pebble.minica.pem"))
	api, manage, dns, manageDNS := freePort(t), freePort(t), freePort(t), freePort(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": api, "managementListenAddress": manage,
		"certificate": filepath.Join(files.src, "test/certs/localhost/cert.pem"), "privateKey": filepath.Join(files.src, "test/certs/localhost/key.pem"),
		"httpPort": p.http.port(), "tlsPort": p.tls.port(), "keyAlgorithm": "ecdsa",
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "90 days", "validityPeriod": 90 * 24 * 3600}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, exec.Command(files.dns, "-http01", "", "-https01", "", "-doh", "", "-tlsalpn01", "", "-dnsserver", dns, "-management", manageDNS,
		"-defaultIPv6", ""), os.DevNull)
	start(t, exec.Command(files.ca, "-config", file, "-dnsserver", dns, "-strict"), p.out)
	p.addr = api
	p.api.to(api)
	p.url = fmt.Sprintf("https://localhost:%d/dir", p.api.port())
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(p.roots)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	eventually(t, "pebble starts", func() bool {
		if resp, err := client.Get(p.url); err != nil || resp.Body.Close() != nil {
			return false
		}
		resp, err := client.Get("https://" + manage + "/roots/0")
		if err != nil {
			return false
		}
		p.issuer, err = io.ReadAll(resp.Body)
		return errors.Join(err, resp.Body.Close()) == nil
	})
	return p
}

// orders counts those that Pebble took, which it logs before it answers.
func (p *pebble) orders(t *testing.T) int {
	t.Helper()
	return bytes.Count(read(t, p.out), []byte("Added order"))
}

// validateAt lets both challenges arrive at e.
func (p *pebble) validateAt(e *edge) {
	p.http.to(e.http)
	p.tls.to(e.tls)
}

// start runs cmd until the test ends, and lets it write to a file itself.
func start(t *testing.T, cmd *exec.Cmd, output string) {
	t.Helper()
	out, err := os.OpenFile(output, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0", "PEBBLE_WFE_NONCEREJECT=10")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// eventually polls for what other processes do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(60 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within 60 s", what)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// gate forwards connections to where it is told to, or closes them.
type gate struct {
	ln   net.Listener
	seen atomic.Int32 // connections

	mu     sync.Mutex
	target string
	conns  map[net.Conn]bool
}

func newGate(t *testing.T) *gate {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{ln: ln, conns: make(map[net.Conn]bool)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			g.seen.Add(1)
			wg.Go(func() { g.forward(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		g.to("")
		wg.Wait()
	})
	return g
}

func (g *gate) port() int { return g.ln.Addr().(*net.TCPAddr).Port }
func (g *gate) shut()     { g.to("") }

// to closes the connections to where the gate led before.
func (g *gate) to(addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.target = addr
	for c := range g.conns {
		_ = c.Close()
	}
	clear(g.conns)
}

// open returns a connection to the target, or nil.
func (g *gate) open(c net.Conn) net.Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.target == "" {
		return nil
	}
	up, err := net.Dial("tcp", g.target)
	if err != nil {
		return nil
	}
	g.conns[c], g.conns[up] = true, true
	return up
}

func (g *gate) forward(c net.Conn) {
	defer func() { _ = c.Close() }()
	up := g.open(c)
	if up == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(up, c)
		_ = up.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(c, up)
	_, _ = c.Close(), up.Close()
	<-done
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
	delete(g.conns, up)
}

// edge is an ACME with listeners.
type edge struct {
	acme      *certs.ACME
	http, tls string
	stop      func()
}

// startEdge runs an ACME that trusts p, on the storage of dir unless o has another.
func startEdge(t *testing.T, p *pebble, dir string, clock *clock, o certs.ACMEOptions) *edge {
	t.Helper()
	if o.Storage == nil {
		o.Storage = newFolder(t, dir, 2*time.Second)
	}
	if o.CAs == nil {
		o.CAs = []string{p.url}
	}
	if o.Permit == nil {
		o.Permit = permitExample
	}
	if o.Email == "" { // certmagic would take that of any other instance in the process
		o.Email = "ops@terrane.example"
	}
	o.Roots, o.Every = append(o.Roots, p.roots...), 50*time.Millisecond
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	a, err := certs.NewACME(o)
	if err != nil {
		t.Fatal(err)
	}
	if clock != nil {
		certs.SetNow(a, clock.now)
	}
	return serveEdge(t, a)
}

func serveEdge(t *testing.T, a *certs.ACME) *edge {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	e := &edge{acme: a}
	quiet := log.New(io.Discard, "", 0)
	plain := &http.Server{Handler: a.HTTPHandler(http.NotFoundHandler()), ErrorLog: quiet}
	secure := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: quiet}
	var wg sync.WaitGroup
	for i, s := range []*http.Server{plain, secure} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		*[]*string{&e.http, &e.tls}[i] = ln.Addr().String()
		if s == secure {
			ln = tls.NewListener(ln, a.TLSConfig())
		}
		wg.Go(func() { _ = s.Serve(ln) })
	}
	wg.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	e.stop = sync.OnceFunc(func() {
		cancel()
		_, _ = plain.Close(), secure.Close()
		wg.Wait()
	})
	t.Cleanup(e.stop)
	return e
}

// get is the certificate that the edge shows for host to those who trust p.
func (e *edge) get(t *testing.T, p *pebble, host string) (*x509.Certificate, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{Config: trust(p.issuer, host)}).DialContext(ctx, "tcp", e.tls)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

func (e *edge) mustGet(t *testing.T, p *pebble, host string) *x509.Certificate {
	t.Helper()
	cert, err := e.get(t, p, host)
	if err != nil {
		t.Fatalf("%s: %v", host, err)
	}
	return cert
}

// clock is ahead of the real one.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }
