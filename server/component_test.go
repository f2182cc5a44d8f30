package server_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi"
	"github.com/terrane/terrane/hostcalls/wasi/abitest"
	"github.com/terrane/terrane/internal/engine"
)

// scripted is an engine whose guest calls what components import.
type scripted struct {
	t      *testing.T
	script func(g *abitest.Guest, path string)
}

func (*scripted) Name() string                { return "scripted" }
func (*scripted) Close(context.Context) error { return nil }
func (s *scripted) Run(ctx context.Context, x *hostcalls.Exchange) error {
	s.script(abitest.Of(ctx, s.t, wasi.Functions(), x), x.Request().Path)
	return ctx.Err()
}

func (s *scripted) Compile(context.Context, []byte, engine.Limits) (engine.Module, error) {
	return scriptedModule{s}, nil
}

type scriptedModule struct{ *scripted }

func (scriptedModule) Close(context.Context) error { return nil }

// TestComponentBodies: what a component writes reaches the visitor before it waits, and what
// it does not finish is broken off.
func TestComponentBodies(t *testing.T) {
	const (
		types   = "wasi:http/types "
		streams = "wasi:io/streams "
		ret     = abitest.Ret
	)
	proceed := make(chan struct{})
	script := func(g *abitest.Guest, path string) {
		g.Call("terrane:abi request")
		out := g.Call("terrane:abi outparam")
		f := g.Call(types + "[constructor]fields")
		if strings.Contains(path, "length") {
			n, nl := g.Put("content-length")
			v, vl := g.Put("11")
			g.Call(types+"[method]fields.append", f, n, nl, v, vl, ret)
		}
		resp := g.Call(types+"[constructor]outgoing-response", f)
		g.Call(types+"[method]outgoing-response.body", resp, ret)
		body := g.U32(4)
		g.Call(types+"[method]outgoing-body.write", body, ret)
		stream := g.U32(4)
		write := func(s string) {
			p, n := g.Put(s)
			g.Call(streams+"[method]output-stream.blocking-write-and-flush", stream, p, n, ret)
		}
		g.Call(types+"[static]response-outparam.set", out, 0, resp, 0, 0, 0, 0, 0, 0)
		write("first\n")
		if strings.Contains(path, "wait") {
			g.Call("wasi:io/poll [method]pollable.block", g.Call("wasi:clocks/monotonic-clock subscribe-duration", 5_000_000))
			<-proceed
		}
		write("last\n")
		g.Call(streams+"[resource-drop]output-stream", stream)
		if strings.Contains(path, "drop") {
			g.Call(types+"[resource-drop]outgoing-body", body)
			return
		}
		has, trailers := uint64(0), uint64(0)
		if strings.Contains(path, "trailers") {
			has, trailers = 1, g.Call(types+"[constructor]fields")
			n, nl := g.Put("x-end")
			v, vl := g.Put("bye")
			g.Call(types+"[method]fields.append", trailers, n, nl, v, vl, ret)
		}
		g.Call(types+"[static]outgoing-body.finish", body, has, trailers, ret)
		if strings.Contains(path, "later") { // the answer is complete for the visitor, the guest goes on
			g.Call("wasi:io/poll [method]pollable.block", g.Call("wasi:clocks/monotonic-clock subscribe-duration", 5_000_000))
			<-proceed
		}
	}
	e := startEdge(t, edgeOptions{engine: &scripted{t, script}})
	e.deploy("alice.example", "index.wasm", "a component")
	for _, tt := range []struct {
		path    string
		length  int64
		status  int
		trailer string
		broken  bool
	}{
		{path: "/", length: 11, status: 200},
		{path: "/trailers", length: 11, status: 200, trailer: "bye"}, // HTTP/2 has both
		{path: "/wait", length: -1, status: 200},
		{path: "/wait/length", length: 11, status: 200},
		{path: "/wait/trailers", length: -1, status: 200, trailer: "bye"},
		{path: "/later", length: 11, status: 200},
		{path: "/drop", status: 500},
		{path: "/wait/drop", length: -1, status: 200, broken: true},
		{path: "/wait/drop/length", length: 11, status: 200, broken: true},
	} {
		t.Run(tt.path, func(t *testing.T) {
			resp, err := e.client().Do(request(t, http.MethodGet, "https://alice.example"+tt.path, nil))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != tt.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, tt.status)
			}
			if tt.status != 200 {
				return
			}
			if resp.ContentLength != tt.length {
				t.Errorf("length %d, want %d", resp.ContentLength, tt.length)
			}
			r := bufio.NewReader(resp.Body)
			if line, err := r.ReadString('\n'); err != nil || line != "first\n" {
				t.Errorf("%q, %v", line, err) // while the guest waits
			}
			if strings.Contains(tt.path, "wait") {
				proceed <- struct{}{}
			}
			rest, err := r.ReadString('\n')
			if strings.Contains(tt.path, "later") {
				proceed <- struct{}{} // all of it has come before
			}
			if _, end := io.ReadAll(r); err == nil {
				err = end
			}
			if (err != nil) != tt.broken || !tt.broken && rest != "last\n" {
				t.Errorf("%q, %v", rest, err)
			}
			if got := resp.Trailer.Get("X-End"); got != tt.trailer {
				t.Errorf("trailer %q, want %q", got, tt.trailer)
			}
		})
	}
}
