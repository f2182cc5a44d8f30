package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/terrane/terrane/bgp"
)

// TestAnnouncements follows an edge through all states, and into a hang.
func TestAnnouncements(t *testing.T) {
	var answer atomic.Value
	hang := make(chan struct{})
	answer.Store(bgp.Starting)
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state := answer.Load().(bgp.State)
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
		done <- follow(ctx, w, look, true)
		_ = w.Close()
	}()
	lines := bufio.NewScanner(r)
	for _, tt := range []struct {
		state bgp.State // that the edge turns to
		want  []string
	}{
		{bgp.Starting, []string{"withdraw route 192.0.2.10/32 next-hop self", "withdraw route 2001:db8::10/128 next-hop self"}},
		{bgp.Announcing, []string{"announce route 192.0.2.10/32 next-hop self", "announce route 2001:db8::10/128 next-hop self"}},
		{bgp.Draining, []string{"announce route 192.0.2.10/32 next-hop self community [65535:0]", "announce route 2001:db8::10/128 next-hop self community [65535:0]"}},
		{bgp.Drained, []string{"withdraw route 192.0.2.10/32 next-hop self", "withdraw route 2001:db8::10/128 next-hop self"}},
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
