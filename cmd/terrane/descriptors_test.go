package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
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

	"github.com/terrane/terrane/internal/conns"
	"github.com/terrane/terrane/internal/edge/edgetest"
	"github.com/terrane/terrane/internal/health"
)

const fewDescriptors = "TERRANE_TEST_FEW_DESCRIPTORS" // in a child's environment

// TestHalfRequestsAtFewDescriptors has an edge with 160 descriptors meet 400 connections that
// never finish a request or a handshake, and come again when they are closed. All the time
// the edge is ready, its admin listener answers, and visitors are served.
func TestHalfRequestsAtFewDescriptors(t *testing.T) {
	if os.Getenv(fewDescriptors) != "" {
		serveFew(t)
		return
	}
	child := exec.CommandContext(t.Context(), "/bin/sh", "-c", `ulimit -n 160 && exec "$0" "$@"`, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), fewDescriptors+"=1")
	child.Stderr = os.Stderr
	stop, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var plain, secure, admin string
	for plain == "" && lines.Scan() {
		_, _ = fmt.Sscanf(lines.Text(), "edge at %s %s %s", &plain, &secure, &admin)
	}
	if plain == "" {
		t.Fatalf("the edge did not start: %v", child.Wait())
	}
	flood, end := context.WithCancel(t.Context())
	var flooders sync.WaitGroup
	var made atomic.Int64
	for i := range 400 {
		to, half := plain, "GET / HTTP/1.1\r\nHost: alice.example\r\n"
		if i%2 == 0 {
			to, half = secure, "\x16\x03\x01\x02\x00\x01" // a ClientHello's beginning
		}
		flooders.Go(func() { sendHalves(flood, to, half, &made) })
	}
	visitor := &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 9, 9, 9)}} // of another network
			return d.DialContext(ctx, network, secure)
		},
	}}
	get := func(c *http.Client, url string) string {
		resp, err := c.Get(url)
		if err != nil {
			return err.Error()
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Sprint(resp.Status, " ", err)
		}
		return string(body)
	}
	operator := &http.Client{Timeout: 2 * time.Minute}
	for start, visits := time.Now(), 0; time.Since(start) < 5*time.Second || visits < 20 || made.Load() < 2000; visits++ {
		if got := get(operator, "http://"+admin+"/readyz"); got != "ready\n" {
			t.Errorf("after %v: readyz: %q", time.Since(start), got)
		}
		if got := get(visitor, "https://alice.example/"); got != "alice" {
			t.Errorf("after %v: a visitor: %q", time.Since(start), got)
		}
		if t.Failed() {
			break
		}
	}
	var status struct{ Health health.Status }
	if err := json.Unmarshal([]byte(get(operator, "http://"+admin+"/status")), &status); err != nil {
		t.Error(err)
	}
	if status.Health.Losses != 0 || !status.Health.Ready {
		t.Errorf("the edge lost readiness %d times", status.Health.Losses)
	}
	end()
	flooders.Wait()
	t.Logf("%d half requests", made.Load())
	_ = stop.Close()
	for lines.Scan() { // until the child has ended
		t.Log(lines.Text())
	}
	if err := child.Wait(); err != nil {
		t.Errorf("the edge: %v", err)
	}
}

// serveFew runs the edge until standard input ends.
func serveFew(t *testing.T) {
	e := edgetest.Start(t, nil)
	e.Deploy("alice", map[string][]byte{"index.html": []byte("alice")})
	e.Domain("alice.example", "terrane=/sites/alice/")
	e.Await("readiness", func() bool { ready, _ := e.Ready(); return ready })
	e.Want("alice.example", "/", http.StatusOK, "alice")
	plain, secure := e.Server.Addrs()
	open, _ := os.ReadDir("/proc/self/fd")
	fmt.Printf("%d descriptors in use\n", len(open))
	fmt.Println("edge at", plain[0], secure[0], e.Admin.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	_, metrics := e.Get("/metrics")
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "terrane_conns_") {
			fmt.Print(line)
		}
	}
}

// sendHalves opens a connection, sends half a request, and waits until the edge closes it,
// again and again.
func sendHalves(ctx context.Context, to, half string, made *atomic.Int64) {
	pace := time.NewTicker(200 * time.Millisecond)
	defer pace.Stop()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	for ctx.Err() == nil {
		if conn, err := d.DialContext(ctx, "tcp", to); err == nil {
			made.Add(1)
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			_, _ = io.WriteString(conn, half)
			_, _ = io.Copy(io.Discard, conn)
			stop()
			_ = conn.Close()
		}
		select {
		case <-ctx.Done():
		case <-pace.C:
		}
	}
}

// TestMoreConnectionsThanDescriptors: an edge is not started with more connections than this process
// has descriptors for.
func TestMoreConnectionsThanDescriptors(t *testing.T) {
	most := conns.Room()
	for _, tt := range []struct {
		connections int
		fault       string // empty: none
	}{
		{most, ""},
		{most + 1, fmt.Sprintf("edge.toml:2: limits.connections: %d: this process may open %d files, which leaves room for %d connections: raise that limit", most+1, conns.Descriptors(), most)},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "edge.toml")
		text := fmt.Sprintf(`[limits]
connections = %d

[edge]
name = "test"
data = "data"

[tls]
mode = "internal"

[dns]
addresses = ["127.0.0.1"]
resolvers = ["127.0.0.1:53"]

[[store]]
kind = "folder"
prefix = "/sites/"
path = "."
`, tt.connections)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		check := newCommand()
		check.SetArgs([]string{"check", "--config", file})
		check.SetOut(io.Discard)
		check.SetErr(t.Output())
		err := check.ExecuteContext(t.Context())
		if tt.fault == "" && err != nil || tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)) {
			t.Errorf("%d connections: %v, want %q", tt.connections, err, tt.fault)
		}
	}
}
