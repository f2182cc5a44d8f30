package server_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/terrane/terrane/server"
)

// workerdConfig serves worker.mjs, which runs hello.wasm, on a port of loopback.
const workerdConfig = `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [(name = "worker", esModule = embed "worker.mjs"), (name = "hello.wasm", wasm = embed "hello.wasm")],
    compatibilityDate = "2025-01-01"))],
  sockets = [(name = "http", address = "%s", http = (), service = "main")]);
`

// workerdScript has the two hostcalls of the hello guest. "/shared" runs it in one
// instance for all requests, any other path in a new one for each.
const workerdScript = `
import module from "hello.wasm";
function make() {
  const state = { header: {}, body: null };
  const instance = new WebAssembly.Instance(module, { env: {
    hostcall_resp_set_header(resp, name, nameLen, values, n) {
      const memory = new DataView(instance.exports.memory.buffer);
      const text = (at, len) => new TextDecoder().decode(new Uint8Array(instance.exports.memory.buffer, at, len));
      state.header[text(name, nameLen)] = text(memory.getUint32(values, true), memory.getUint32(values + 4, true));
      return 0;
    },
    hostcall_resp_set_body(resp, at, len) {
      state.body = new Uint8Array(instance.exports.memory.buffer, at, len).slice();
      return 0;
    },
  }});
  return () => { instance.exports.run(); return new Response(state.body, { headers: state.header }); };
}
const shared = make();
export default { async fetch(request) { return request.url.endsWith("/shared") ? shared() : make()(); } };
`

// BenchmarkBesideWorkerd is the hello guest in WAT over 64 kept-alive connections, from
// this server and from workerd, in turns. "ratio" is our requests per second over
// workerd's. It needs workerd in PATH ("npm install workerd" has it).
func BenchmarkBesideWorkerd(b *testing.B) {
	bin, err := exec.LookPath("workerd")
	if err != nil {
		b.Skip("no workerd in PATH: npm install workerd, and PATH=node_modules/.bin:$PATH")
	}
	e := startEdge(b, edgeOptions{engine: newEngine(b),
		sites: func(o *server.SitesOptions) {
			o.Limits.Concurrency, o.Logger = 128, slog.New(slog.DiscardHandler)
		},
		server: func(o *server.Options) { o.ServePlain, o.AccessLog = true, io.Discard }})
	module := guest(b, "../examples/hello-wat/hello.wasm")
	e.deploy("alice.example", "index.wasm", module)
	theirs := startWorkerd(b, bin, module)
	for _, path := range []string{"/fresh", "/shared"} {
		b.Run(path[1:], func(b *testing.B) {
			raw := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: alice.example\r\n\r\n", path)
			our, their := newLoad(b, e.http, raw), newLoad(b, theirs, raw)
			our.run(b, 2000)
			their.run(b, 2000)
			var ourTime, theirTime time.Duration
			for b.Loop() {
				ourTime += our.run(b, 5000).wall
				theirTime += their.run(b, 5000).wall
			}
			b.ReportMetric(theirTime.Seconds()/ourTime.Seconds(), "ratio")
			b.ReportMetric(5000*float64(b.N)/ourTime.Seconds(), "req/s")
			b.ReportMetric(5000*float64(b.N)/theirTime.Seconds(), "workerd-req/s")
		})
	}
}

// startWorkerd returns the address that workerd answers at.
func startWorkerd(b *testing.B, bin, module string) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	if err != nil {
		b.Fatal(err)
	}
	addr, dir := ln.Addr().String(), b.TempDir()
	closed(b, ln)
	for name, text := range map[string]string{"config.capnp": fmt.Sprintf(workerdConfig, addr), "worker.mjs": workerdScript, "hello.wasm": module} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	cmd := exec.CommandContext(b.Context(), bin, "serve", "config.capnp")
	cmd.Dir, cmd.Stderr = dir, b.Output()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for late := time.After(10 * time.Second); ; {
		resp, err := http.Get("http://" + addr)
		if err == nil {
			body, err := io.ReadAll(resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil || string(body) != "Hello, world from WAT!\n" {
				b.Fatalf("workerd answers %q, %v", body, err)
			}
			return addr
		}
		select {
		case <-late:
			b.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
