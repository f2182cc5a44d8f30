package server_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// BenchmarkHTTP measures requests per second of guests through the server over
// 64 kept-alive connections, and beside each the same bytes from a plain net/http
// handler, in turns, in one process. "ratio" is requests per second of ours over
// plain; "cpu-ratio" is plain over ours in time on a processor, of client and server
// together, and does not mind what else the machine does.
func BenchmarkHTTP(b *testing.B) {
	echo935 := bytes.Repeat([]byte("x"), 935)
	echo64K := bytes.Repeat([]byte("x"), 64<<10)
	for _, bb := range []struct {
		name, module, path string
		body               []byte
	}{
		{"hello-wat", "../examples/hello-wat/hello.wasm", "/", nil},
		{"hello-rust", "../examples/hello-rust/hello.wasm", "/", nil},
		{"hello80", "../internal/engine/wazeroengine/testdata/hello80.wasm", "/", nil},
		{"json-935B", "../examples/json-api/api.wasm", "/api/notes/7", nil},
		{"echo-935B", "testdata/echo.wasm", "/", echo935},
		{"echo-64KB", "testdata/echo.wasm", "/", echo64K},
	} {
		b.Run(bb.name, func(b *testing.B) { benchmarkRatio(b, newEngine(b), guest(b, bb.module), bb.path, bb.body) })
	}
	b.Run("no-engine", func(b *testing.B) { benchmarkRatio(b, newStub(), "say:Hello, world from WAT!\n", "/", nil) })
}

// note makes the example json-api answer with 935 bytes, built of what it finds in its state.
const note = 935 - len(`{"id":"7","text":""}`)

func benchmarkRatio(b *testing.B, eng engine.Engine, module, path string, body []byte) {
	kv := memorykv.New(hostcalls.Quota{})
	if _, err := kv.Put(b.Context(), "note/7", bytes.Repeat([]byte("x"), note), 0, time.Time{}); err != nil {
		b.Fatal(err)
	}
	e := startEdge(b, edgeOptions{engine: eng,
		sites: func(o *server.SitesOptions) {
			o.Limits.Concurrency = 128
			o.Logger = slog.New(slog.DiscardHandler)
			before := o.Guest
			o.Guest = func(s *tenant.Snapshot, limits tenant.Limits) *hostcalls.Tenant {
				g := before(s, limits)
				g.KV = kv
				return g
			}
		},
		server: func(o *server.Options) { o.ServePlain, o.AccessLog = true, io.Discard }})
	e.deploy("alice.example", "index.wasm", module)

	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	sample := do(b, e.client(), request(b, method, "http://alice.example"+path, bytes.NewReader(body)))
	if sample.StatusCode != http.StatusOK {
		b.Fatalf("%d %s", sample.StatusCode, sample.body)
	}
	plain := startPlain(b, sample)
	raw := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: alice.example\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
	if body == nil {
		raw = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: alice.example\r\n\r\n", path)
	}
	ours, theirs := newLoad(b, e.http, raw), newLoad(b, plain, raw)
	ours.run(b, 2000)
	theirs.run(b, 2000)
	const rounds = 4
	var our, their cost
	for b.Loop() {
		for range rounds {
			our.add(ours.run(b, 2500))
			their.add(theirs.run(b, 2500))
		}
	}
	requests := float64(b.N * rounds * 2500)
	b.ReportMetric(their.wall.Seconds()/our.wall.Seconds(), "ratio")
	b.ReportMetric(their.cpu.Seconds()/our.cpu.Seconds(), "cpu-ratio")
	b.ReportMetric(our.cpu.Seconds()*1e6/requests, "cpu-us/req")
	b.ReportMetric(their.cpu.Seconds()*1e6/requests, "plain-cpu-us/req")
}

// cost is what requests cost: time, and time on a processor.
type cost struct{ wall, cpu time.Duration }

func (c *cost) add(d cost) { c.wall, c.cpu = c.wall+d.wall, c.cpu+d.cpu }

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// startPlain serves the same answer from net/http alone.
func startPlain(b *testing.B, sample answer) string {
	header, body := sample.Header.Clone(), []byte(sample.body)
	header.Del("Date")
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 0 {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				b.Error(err)
			}
		}
		h := w.Header()
		for name, values := range header {
			h[name] = values
		}
		_, _ = w.Write(body)
	})}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	b.Cleanup(func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	})
	return ln.Addr().String()
}

// load is 64 kept-alive connections that each send the request and read the answer.
type load struct {
	conns   []net.Conn
	readers []*bufio.Reader
	raw     []byte
}

func newLoad(b *testing.B, addr string, raw []byte) *load {
	l := &load{raw: raw}
	for range 64 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		l.conns = append(l.conns, conn)
		l.readers = append(l.readers, bufio.NewReaderSize(conn, 128<<10))
	}
	return l
}

// run makes n requests and returns what they cost.
func (l *load) run(b *testing.B, n int) cost {
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	start, cpu := time.Now(), cpuTime(b)
	for i, conn := range l.conns {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := conn.Write(l.raw); err != nil {
					b.Error(err)
					return
				}
				if err := skipAnswer(l.readers[i]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return cost{time.Since(start), cpuTime(b) - cpu}
}

// skipAnswer reads one answer with as little work as can be.
func skipAnswer(r *bufio.Reader) error {
	length, first := 0, true
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("answer %q", line)
		}
		first = false
		if n, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			for _, c := range bytes.TrimSpace(n) {
				length = length*10 + int(c-'0')
			}
		}
		if len(line) == 2 {
			_, err := r.Discard(length)
			return err
		}
	}
}

// BenchmarkPublish is the way of a deploy in which one module of many has changed.
func BenchmarkPublish(b *testing.B) {
	e := startEdge(b, edgeOptions{engine: newStub()})
	s := e.deploy("alice.example", "index.wasm", "say:x")
	for i := range 100 {
		name := fmt.Sprintf("m%d.wasm", i)
		s.Files[name] = e.blobs.put("say:" + name)
	}
	n := 0
	for b.Loop() {
		n++
		s = &tenant.Snapshot{ID: s.ID, Revision: "r", Files: s.Files}
		s.Files["index.wasm"] = e.blobs.put(fmt.Sprintf("say:%d", n))
		if err := e.sites.Publish(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}
