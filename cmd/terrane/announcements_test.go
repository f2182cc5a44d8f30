package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/terrane/terrane/bgp"
	"github.com/terrane/terrane/bgp/relay"
)

// TestAnnouncements follows an edge through all states, and into a hang.
func TestAnnouncements(t *testing.T) {
	var answer atomic.Value
	hang := make(chan struct{})
	const down, late = bgp.State("down"), bgp.State("drained\", \"sessions_ended\": true, \"x\": \"")
	answer.Store(down)
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state := answer.Load().(bgp.State)
		if state == down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if state == "" {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
			return
		}
		_, _ = io.WriteString(w, `{"state": "`+string(state)+`", "prefixes": ["192.0.2.10/32", "2001:db8::10/128"]}`)
	}))
	defer edge.Close()
	defer close(hang)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	look := func(ctx context.Context) (bgp.Status, error) { return bgpStatus(ctx, edge.URL, "") }
	go func() {
		done <- relay.New(relay.Options{
			W: w, ExaBGP: true, Neighbors: []string{"198.51.100.1"}, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32")},
		}).Run(ctx, look)
		_ = w.Close()
	}()
	lines := bufio.NewScanner(r)
	for _, tt := range []struct {
		state bgp.State // that the edge turns to
		want  []string
	}{
		{down, []string{"withdraw route 192.0.2.10/32 next-hop self"}}, // of which --prefix tells
		{bgp.Announcing, []string{"announce route 192.0.2.10/32 next-hop self", "announce route 2001:db8::10/128 next-hop self"}},
		{bgp.Draining, []string{"announce route 192.0.2.10/32 next-hop self community [65535:0]", "announce route 2001:db8::10/128 next-hop self community [65535:0]"}},
		{bgp.Withdrawing, []string{"withdraw route 192.0.2.10/32 next-hop self", "withdraw route 2001:db8::10/128 next-hop self"}},
		{bgp.Announcing, []string{"announce route 192.0.2.10/32 next-hop self", "announce route 2001:db8::10/128 next-hop self"}},
		{late, []string{"withdraw route 192.0.2.10/32 next-hop self", "withdraw route 2001:db8::10/128 next-hop self", "neighbor 198.51.100.1 teardown 2"}},
		{bgp.Announcing, []string{"announce route 192.0.2.10/32 next-hop self", "announce route 2001:db8::10/128 next-hop self"}},
		{"", []string{"withdraw route 192.0.2.10/32 next-hop self", "withdraw route 2001:db8::10/128 next-hop self"}}, // it hangs
	} {
		answer.Store(tt.state)
		var got []string
		for range tt.want {
			lines.Scan()
			got = append(got, lines.Text())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.state, got, tt.want)
		}
	}
	cancel()
	if lines.Scan() {
		t.Errorf("one more line: %q", lines.Text())
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAnnouncementsWithoutConfiguration: the command outlives a configuration that cannot
// be read, withdraws meanwhile, and does not block ExaBGP, which answers what it prints.
func TestAnnouncementsWithoutConfiguration(t *testing.T) {
	e := newSignalEdge(t, 1, time.Millisecond)
	moved := e.config + ".new"
	if err := os.Rename(e.config, moved); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := startChild(t, func(cmd *exec.Cmd) { cmd.Stdin = r }, "announcements", "--exabgp", "--prefix", "192.0.2.10/32", "--config", e.config)
	c.printed("withdraw route 192.0.2.10/32 next-hop self\n", "cannot tell where the edge is")
	if _, err := w.Write(make([]byte, 1<<20)); err != nil { // more than a pipe holds
		t.Error(err)
	}
	if err := errors.Join(w.Close(), r.Close(), os.Rename(moved, e.config)); err != nil {
		t.Fatal(err)
	}
	startChild(t, nil, "serve", "--config", e.config)
	c.printed("announce route 192.0.2.10/32 next-hop self\n")
	c.signal(syscall.SIGTERM)
	if err := c.ended(); err != nil {
		t.Error(err)
	}
}
