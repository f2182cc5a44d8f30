package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/terrane/terrane/dnsverify/zone"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// child is the command in a separate process, and what it has printed.
type child struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended; read after done

	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed, and replaced, by each Write
}

// Write implements io.Writer.
func (c *child) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
	return c.text.Write(b)
}

// startChild starts this executable as the command: testscript.Main goes by its name.
func startChild(t *testing.T, change func(*exec.Cmd), args ...string) *child {
	t.Helper()
	self, err := os.Executable()
	program := filepath.Join(t.TempDir(), "terrane")
	if err = errors.Join(err, os.Symlink(self, program)); err != nil {
		t.Fatal(err)
	}
	return startProgram(t, program, change, args...)
}

// startProgram starts a program as a child, which ends with the test.
func startProgram(t *testing.T, program string, change func(*exec.Cmd), args ...string) *child {
	t.Helper()
	c := &child{t: t, done: make(chan struct{}), changed: make(chan struct{})}
	c.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), program, args...)
	c.cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir(), "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	c.cmd.Stdout, c.cmd.Stderr = c, c
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if change != nil {
		change(c.cmd)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.done)
		c.err = c.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may have ended
		<-c.done
	})
	return c
}

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Errorf("%q: %v\n%s", c.cmd.Args, err, c.output())
	}
}

func (c *child) output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// printed waits until the child has printed each text.
func (c *child) printed(texts ...string) {
	c.t.Helper()
	late := time.After(4 * time.Minute)
	for {
		c.mu.Lock()
		out, changed := c.text.String(), c.changed
		c.mu.Unlock()
		missing := slices.IndexFunc(texts, func(s string) bool { return !strings.Contains(out, s) })
		if missing < 0 {
			return
		}
		select {
		case <-changed:
		case <-late:
			c.t.Fatalf("%q never printed %q:\n%s", c.cmd.Args, texts[missing], out)
		}
	}
}

// ended waits for the end, and returns how it ended.
func (c *child) ended() error {
	c.t.Helper()
	select {
	case <-c.done:
		return c.err
	case <-time.After(4 * time.Minute):
		c.t.Fatalf("%q does not end:\n%s", c.cmd.Args, c.output())
		return nil
	}
}

// startDNS runs a DNS server until the test ends.
func startDNS(t *testing.T) *zone.Server {
	t.Helper()
	dns, err := zone.New(zone.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- dns.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return dns
}

// signalEdge is an edge whose routes another speaker announces.
type signalEdge struct {
	admin, https, config, root string
	dns                        *zone.Server
}

// newSignalEdge writes the configuration of an edge that has one site with one file.
func newSignalEdge(t *testing.T, size int, wait time.Duration) *signalEdge {
	t.Helper()
	dir := t.TempDir()
	e := &signalEdge{
		admin: latticetest.FreeAddr(t), https: latticetest.FreeAddr(t),
		config: filepath.Join(dir, "terrane.toml"), root: filepath.Join(dir, "data", "ca", "root.crt"),
	}
	e.dns = startDNS(t)
	if err := e.dns.Update(map[string][]string{
		"alice.example.test": {"A 127.0.0.1"}, "_terrane.alice.example.test": {`TXT "kbp=/sites/alice"`},
	}); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`
[edge]
name = "ams1"
region = "ams"
data = %q
[[store]]
kind = "folder"
prefix = "/sites/"
path = %q
[dns]
addresses = ["127.0.0.1"]
resolvers = [%q]
[tls]
mode = "internal"
[http]
listen = ["127.0.0.1:0"]
[https]
listen = [%q]
[admin]
listen = %q
[bgp]
external = true
prefixes = ["192.0.2.10/32"]
shutdown_wait = %q
withdraw_wait = %[6]q
`, filepath.Join(dir, "data"), filepath.Join(dir, "sites"), e.dns.Addr(), e.https, e.admin, wait)
	site := filepath.Join(dir, "sites", "alice")
	if err := errors.Join(os.MkdirAll(site, 0o700), os.WriteFile(filepath.Join(site, "file"), make([]byte, size), 0o600),
		os.WriteFile(e.config, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	return e
}

// download begins to download the file; the caller closes the body.
func (e *signalEdge) download(t *testing.T) io.ReadCloser {
	t.Helper()
	pem, err := os.ReadFile(e.root)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, e.https)
		},
	}}
	late := time.After(4 * time.Minute)
	for { // the domain's first visitor may come before its site is live
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://alice.example.test/file", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err == nil && resp.StatusCode == http.StatusOK {
			return resp.Body
		}
		if err == nil {
			err = errors.Join(errors.New(resp.Status), resp.Body.Close())
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-late:
			t.Fatal(err)
		}
	}
}

// TestHangUp has a terminal close, with every signal that kernels and shells send then, while a
// visitor downloads: the edge withdraws its routes, the download is finished, and the log
// says that the edge stops and that it has.
func TestHangUp(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			const size = 32 << 20 // more than the kernel holds between the two
			e := newSignalEdge(t, size, 200*time.Millisecond)
			edge := startChild(t, nil, "serve", "--config", e.config, "--access-log", "")
			edge.printed("edge is ready")
			speaker := startChild(t, nil, "announcements", "--admin", "http://"+e.admin)
			speaker.printed("announce\n")
			body := e.download(t)
			defer body.Close() //nolint:errcheck // it was read
			edge.signal(s)
			edge.printed("edge stops")
			edge.signal(syscall.SIGHUP) // the second one of a terminal; systemd's after SIGTERM
			speaker.printed("leave\n", "withdraw\n")
			if n, err := io.Copy(io.Discard, body); n != size || err != nil {
				t.Errorf("downloaded %d bytes of %d: %v", n, size, err)
			}
			if err := edge.ended(); err != nil {
				t.Errorf("the edge ended with %v:\n%s", err, edge.output())
			}
			edge.printed(`cause="`+s.String()+` signal received"`, "edge has stopped")
			speaker.signal(syscall.SIGHUP)
			if err := speaker.ended(); err != nil {
				t.Errorf("announcements ended with %v", err)
			}
		})
	}
}

// TestSecondSignal: what is stopped already ends at once at a second SIGTERM.
func TestSecondSignal(t *testing.T) {
	e := newSignalEdge(t, 1, time.Hour)
	edge := startChild(t, nil, "serve", "--config", e.config)
	edge.printed("state=announcing")
	edge.signal(syscall.SIGHUP)
	edge.printed("state=draining")
	edge.signal(syscall.SIGTERM)
	var exit *exec.ExitError
	if err := edge.ended(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v, want SIGTERM at once", err)
	}
}

// TestBrokenOutput closes what an edge prints to: it goes on, and ends in order.
func TestBrokenOutput(t *testing.T) {
	e := newSignalEdge(t, 1, time.Millisecond)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	edge := startChild(t, func(cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = w, w }, "serve", "--config", e.config)
	speaker := startChild(t, nil, "announcements", "--admin", "http://"+e.admin)
	speaker.printed("announce\n")
	if err := errors.Join(w.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if err := e.download(t).Close(); err != nil { // a line for the access log
		t.Error(err)
	}
	edge.signal(syscall.SIGTERM) // writes more lines
	if err := edge.ended(); err != nil {
		t.Errorf("the edge ended with %v", err)
	}
}

// TestIgnoredHangUp: nohup ignores SIGHUP for what it starts.
func TestIgnoredHangUp(t *testing.T) {
	e := newSignalEdge(t, 1, time.Millisecond)
	edge := startChild(t, func(cmd *exec.Cmd) {
		cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `trap "" HUP; exec "$@"`, "sh"}, cmd.Args...)
	}, "serve", "--config", e.config)
	edge.printed("state=announcing")
	edge.signal(syscall.SIGHUP)
	edge.signal(syscall.SIGTERM)
	if err := edge.ended(); err != nil {
		t.Errorf("the edge ended with %v", err)
	}
	edge.printed(`cause="terminated signal received"`)
}

// TestHangUpCommands hangs up on the other commands that run for long.
func TestHangUpCommands(t *testing.T) {
	asked := make(chan struct{})
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/logs" {
			_ = http.NewResponseController(w).Flush()
		}
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer edge.Close()
	t.Run("logs", func(t *testing.T) {
		c := startChild(t, nil, "logs", "/sites/alice", "--follow", "--admin", edge.URL)
		<-asked
		c.signal(syscall.SIGHUP)
		if err := c.ended(); err != nil {
			t.Errorf("ended with %v:\n%s", err, c.output())
		}
	})
	t.Run("status", func(t *testing.T) {
		c := startChild(t, nil, "status", "--wait", "0123456789", "--timeout", "1h", "--admin", edge.URL)
		<-asked
		c.signal(syscall.SIGHUP)
		if err := c.ended(); err == nil || !strings.Contains(c.output(), "hangup signal received") {
			t.Errorf("ended with %v:\n%s", err, c.output())
		}
	})
	t.Run("dev", func(t *testing.T) {
		c := startChild(t, nil, "dev", t.TempDir(), "--http", "127.0.0.1:0", "--https", "127.0.0.1:0")
		c.printed("Ctrl-C ends")
		c.signal(syscall.SIGHUP)
		if err := c.ended(); err != nil {
			t.Errorf("ended with %v:\n%s", err, c.output())
		}
		c.printed("edge has stopped")
	})
	t.Run("dev, broken pipe", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		c := startChild(t, func(cmd *exec.Cmd) { cmd.Stdout = w }, "dev", dir, "--http", "127.0.0.1:0", "--https", "127.0.0.1:0")
		if err := errors.Join(w.Close(), r.Close()); err != nil {
			t.Fatal(err)
		}
		if err := c.ended(); err != nil && !strings.Contains(c.output(), "broken pipe") {
			t.Errorf("ended with %v:\n%s", err, c.output())
		}
		c.printed("edge has stopped")
	})
}
