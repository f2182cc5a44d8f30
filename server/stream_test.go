package server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// gatekeeper is a fetcher that answers when the test says so.
type gatekeeper chan struct{}

func (g gatekeeper) Fetch(ctx context.Context, _ *hostcalls.FetchRequest) (*hostcalls.FetchResponse, error) {
	select {
	case <-g:
		return nil, errors.New("no upstream")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// gated has the guests' fetches wait for gate.
func gated(gate gatekeeper) func(*server.SitesOptions) {
	return func(o *server.SitesOptions) {
		guest := o.Guest
		o.Guest = func(s *tenant.Snapshot, l tenant.Limits) *hostcalls.Tenant {
			g := guest(s, l)
			g.Fetcher = gate
			return g
		}
	}
}

func TestStreaming(t *testing.T) {
	gate := make(gatekeeper)
	e := startEdge(t, edgeOptions{engine: newEngine(t), sites: gated(gate)})
	e.deploy("alice.example", "index.wasm", guest(t, "testdata/stream.wasm"))
	streams(t, e, gate)
}

// TestForwardedStreaming: an answer streams from another region as from here.
func TestForwardedStreaming(t *testing.T) {
	gate := make(gatekeeper)
	a := startAcross(t, 1, newEngine(t), gated(gate))
	a.deploy(t, "index.wasm", guest(t, "testdata/stream.wasm"))
	streams(t, a.ams, gate)
}

// streams wants each chunk of testdata/stream.wasm when it is sent.
func streams(t *testing.T, e *edge, gate gatekeeper) {
	t.Helper()
	for _, tt := range []struct {
		name, body string
		want       string
		broken     bool
	}{
		{"to its end", "", "second\n", false},
		{"broken off", "x", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := request(t, http.MethodPost, "https://alice.example/", strings.NewReader(tt.body))
			resp, err := e.client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body := bufio.NewReader(resp.Body)
			// The first chunk is here while the guest still waits.
			if first, err := body.ReadString('\n'); err != nil || first != "first\n" || resp.ContentLength != -1 {
				t.Errorf("first chunk %q, %v, length %d", first, err, resp.ContentLength)
			}
			gate <- struct{}{}
			rest, err := io.ReadAll(body)
			if string(rest) != tt.want || (err != nil) != tt.broken {
				t.Errorf("then %q, %v", rest, err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
