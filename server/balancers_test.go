package server_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/server"
)

// behindBalancers is an edge that wants PROXY headers, and what it logs and counts.
type behindBalancers struct {
	*edge
	access, log *syncBuffer
	reg         *prometheus.Registry
}

func startBehindBalancers(t *testing.T) *behindBalancers {
	b := &behindBalancers{access: new(syncBuffer), log: new(syncBuffer), reg: prometheus.NewRegistry()}
	b.edge = startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) {
		o.ServePlain, o.AccessLog, o.Metrics = true, b.access, b.reg
		o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		o.Logger = slog.New(slog.NewTextHandler(b.log, nil))
	}})
	b.deploy("alice.example", "index.html", "alice")
	return b
}

// refused is how many connections had what in place of a header.
func (b *behindBalancers) refused(kind string) float64 {
	return metricOf(b.t, b.reg, "terrane_conns_proxy_refused_total", kind)
}

// ask sends text, and returns the first line of what comes.
func ask(t *testing.T, d *net.Dialer, to, text string) string {
	t.Helper()
	conn := must(d.DialContext(t.Context(), "tcp", to))
	defer closed(t, conn)
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(conn) // a reset is an answer too
	line, _, _ := strings.Cut(string(got), "\r\n")
	return line
}

const plainGet = "GET / HTTP/1.1\r\nHost: alice.example\r\nConnection: close\r\n\r\n"

// TestRefusedProxyHeadersAreReported: each kind is counted, and the log names the peer, what it
// sent and what to change.
func TestRefusedProxyHeadersAreReported(t *testing.T) {
	balancer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}} // not the listener's own address
	for _, tt := range []struct{ name, text, kind, logged string }{
		{"none, plain", plainGet, "missing", `seen="\"GET / HTTP/1.1\\r\\nHost`},
		{"none, TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and more\n\n\n", "missing", "TLS handshake"},
		{"mixed families", "PROXY TCP6 2001:db8::7 192.0.2.1 4321 443\r\n" + plainGet, "malformed", "mixes IPv4 and IPv6"},
		{"no such family", "PROXY TCP9 203.0.113.7 192.0.2.1 4321 443\r\n" + plainGet, "malformed", "PROXY TCP9 203.0.113.7"},
		{"version 2 cut short", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00", "malformed", "QUIT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := startBehindBalancers(t)
			text := tt.text
			conn := must(balancer.DialContext(t.Context(), "tcp", b.http))
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(conn); strings.Contains(string(got), "200 OK") {
				t.Errorf("answered: %q", got)
			}
			closed(t, conn)
			b.log.wait(t, tt.logged)
			b.log.wait(t, "peer=127.0.0.2 header="+tt.kind)
			if got := b.refused(tt.kind); got != 1 {
				t.Errorf("%v counted as %s, want 1", got, tt.kind)
			}
			// The log is bounded.
			for range 20 {
				ask(t, balancer, b.http, "PROXY nonsense\r\n")
			}
			if n := strings.Count(b.log.String(), "no valid PROXY header"); n > 2 {
				t.Errorf("%d warnings", n)
			}
		})
	}
}

// TestProbesOfBalancersAreNoFault: a connection without any byte is counted and not logged.
func TestProbesOfBalancersAreNoFault(t *testing.T) {
	b := startBehindBalancers(t)
	balancer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	closed(t, must(balancer.DialContext(t.Context(), "tcp", b.http)))
	b.await("a count", func() bool { return b.refused("nothing") == 1 })
	if text := b.log.String(); strings.Contains(text, "PROXY") {
		t.Errorf("logged: %s", text)
	}
}

// daemon runs a program until the test ends, and returns once its port answers.
func daemon(t *testing.T, port string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	out := new(syncBuffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := <-ended; err == nil {
			t.Logf("%s ended by itself", name)
		}
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(2 * time.Minute); ; {
		if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			_ = conn.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s: %v\n%s", name, err, out)
		case <-tick.C:
		case <-late:
			t.Fatalf("%s does not listen:\n%s", name, out)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	defer closed(t, ln)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// TestNginx has the real nginx send headers, also the mix of families that it makes when it
// takes a visitor's IPv6 address from the balancer before it and reaches the edge by IPv4.
func TestNginx(t *testing.T) {
	const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
	if _, err := os.Stat(module); err != nil {
		t.Skip("nginx's stream module is not installed (Debian: libnginx-mod-stream)")
	}
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed")
	}
	b := startBehindBalancers(t)
	direct, behind, dir := freePort(t), freePort(t), t.TempDir()
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `
load_module %s;
daemon off; master_process off; pid %s/pid; error_log stderr;
events {}
stream {
  proxy_bind 127.0.0.2;
  proxy_protocol on;
  server { listen 127.0.0.1:%s; proxy_pass %s; }
  server { listen 127.0.0.1:%s proxy_protocol; set_real_ip_from 127.0.0.0/8; proxy_pass %[4]s; }
}
`, module, dir, direct, b.http, behind), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon(t, behind, nginx, "-c", conf, "-p", dir, "-e", "stderr")
	var d net.Dialer
	if got := ask(t, &d, "127.0.0.1:"+direct, plainGet); got != "HTTP/1.1 200 OK" {
		t.Errorf("through nginx: %q", got)
	}
	if got := ask(t, &d, "127.0.0.1:"+behind, "PROXY TCP4 203.0.113.7 192.0.2.1 4321 443\r\n"+plainGet); got != "HTTP/1.1 200 OK" {
		t.Errorf("through nginx behind a balancer: %q", got)
	}
	b.access.wait(t, `"client":"203.0.113.7:4321"`)
	if got := ask(t, &d, "127.0.0.1:"+behind, "PROXY TCP6 2001:db8::7 2001:db8::1 4321 443\r\n"+plainGet); strings.Contains(got, "200") {
		t.Errorf("a header that mixes families: %q", got)
	}
	b.log.wait(t, `peer=127.0.0.2 header=malformed seen="\"PROXY TCP6 2001:db8::7 127.0.0.1 `)
	if got := b.refused("malformed"); got != 1 {
		t.Errorf("%v malformed headers counted, want 1", got)
	}
}

// TestHAProxy has the real HAProxy send headers of both versions, and probe the edge without any.
func TestHAProxy(t *testing.T) {
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("haproxy is not installed")
	}
	b := startBehindBalancers(t)
	v1, v2, behind, dir := freePort(t), freePort(t), freePort(t), t.TempDir()
	conf := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `
defaults
  mode tcp
  timeout connect 10s
  timeout client 30s
  timeout server 30s
listen v1
  bind 127.0.0.1:%s
  server edge %s send-proxy source 127.0.0.2
listen v2
  bind 127.0.0.1:%s
  server edge %[2]s send-proxy-v2 source 127.0.0.3
listen behind
  bind 127.0.0.1:%[4]s accept-proxy
  server edge %[2]s send-proxy source 127.0.0.2
`, v1, b.http, v2, behind), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon(t, behind, haproxy, "-db", "-f", conf)
	var d net.Dialer
	for name, port := range map[string]string{"version 1": v1, "version 2": v2} {
		if got := ask(t, &d, "127.0.0.1:"+port, plainGet); got != "HTTP/1.1 200 OK" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := ask(t, &d, "127.0.0.1:"+behind, "PROXY TCP6 2001:db8::7 2001:db8::1 4321 443\r\n"+plainGet); got != "HTTP/1.1 200 OK" {
		t.Errorf("behind a balancer: %q", got)
	}
	b.access.wait(t, `"client":"[2001:db8::7]:4321"`)
	if got := b.refused("malformed") + b.refused("missing"); got != 0 {
		t.Errorf("%v headers refused\n%s", got, b.log)
	}
}
