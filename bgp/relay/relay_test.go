package relay

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/bgp"
)

// TestRepeat: what holds is repeated, and late visitors are told of once.
func TestRepeat(t *testing.T) {
	var out strings.Builder
	words := New(Options{W: &out, Repeat: 5 * time.Second})
	exabgp := New(Options{W: io.Discard, ExaBGP: true, Repeat: 5 * time.Second})
	begin := time.Now()
	for _, tt := range []struct {
		after    time.Duration
		status   bgp.Status
		answered bool
		want     string
	}{
		{0, bgp.Status{}, false, "withdraw\n"},
		{time.Second, bgp.Status{State: bgp.Announcing}, true, "announce\n"},
		{5 * time.Second, bgp.Status{State: bgp.Announcing}, true, ""},
		{6 * time.Second, bgp.Status{State: bgp.Announcing}, true, "announce\n"},
		{7 * time.Second, bgp.Status{State: bgp.Draining}, true, "leave\n"},
		{12 * time.Second, bgp.Status{State: bgp.Draining}, true, "leave\n"},
		{13 * time.Second, bgp.Status{State: bgp.Withdrawing}, true, "withdraw\n"},
		{14 * time.Second, bgp.Status{State: bgp.Withdrawing, SessionsEnded: true}, true, "shutdown\n"},
		{15 * time.Second, bgp.Status{State: bgp.Drained, SessionsEnded: true}, true, ""},
		{18 * time.Second, bgp.Status{}, false, "withdraw\n"},
		{19 * time.Second, bgp.Status{State: bgp.Drained, SessionsEnded: true}, true, ""},
		{20 * time.Second, bgp.Status{State: bgp.Announcing}, true, "announce\n"},
		{21 * time.Second, bgp.Status{State: bgp.Unhealthy, SessionsEnded: true}, true, "withdraw\nshutdown\n"},
	} {
		out.Reset()
		for _, u := range []*Relay{words, exabgp} {
			if err := u.update(tt.status, tt.answered, begin.Add(tt.after)); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != tt.want {
			t.Errorf("after %v of %+v: %q, want %q", tt.after, tt.status, out.String(), tt.want)
		}
	}
}
