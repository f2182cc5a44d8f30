package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"

	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// besieged is an edge with the tenant alice, who is attacked, and her neighbour bob.
type besieged struct {
	*edge
	reg       *prometheus.Registry
	engine    *stub
	snapshots []*tenant.Snapshot
}

// besiege starts an edge whose alice answers with size bytes.
func besiege(t testing.TB, size int, change func(*server.Options)) *besieged {
	b := &besieged{reg: prometheus.NewRegistry(), engine: newStub()}
	b.edge = startEdge(t, edgeOptions{engine: b.engine,
		sites: func(o *server.SitesOptions) {
			o.Limits.Concurrency, o.Limits.ResponseBody = 64, int64(size)
			o.Logger = slog.New(slog.DiscardHandler)
		},
		server: func(o *server.Options) {
			o.ServePlain, o.Metrics = true, b.reg
			if change != nil {
				change(o)
			}
		}})
	alice := b.deploy("alice.example", "index.wasm", fmt.Sprintf("big:%d", size), "endless.wasm", "endless:", "say.wasm", "say:alice",
		"file.bin", strings.Repeat("f", size), "down/404.html", strings.Repeat("n", size))
	bob := b.deploy("bob.example", "index.wasm", "big:102400", "file.bin", strings.Repeat("b", 100<<10), "say.wasm", "say:bob")
	b.snapshots = []*tenant.Snapshot{alice, bob}
	return b
}

func (b *besieged) gauge(name string) float64 { return metricOf(b.t, b.reg, name, "") }

// visitor comes from a network of his own.
func (b *besieged) visitor() *http.Client {
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 9, 9, 9)}}
			return d.DialContext(ctx, network, b.https)
		},
	}
	b.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// attacker is one of many connections from one network, which takes little.
func (b *besieged) attacker(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)},
		Control: func(_, _ string, raw syscall.RawConn) (err error) {
			return errors.Join(raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) }), err)
		},
	}
	return d.DialContext(ctx, "tcp", b.http)
}

// attack has n goroutines do once, again and again but not more often than pace says, until the
// returned function is called. It returns when each has begun.
func (b *besieged) attack(n int, pace time.Duration, once func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	var all, begun sync.WaitGroup
	begun.Add(n)
	for i := range n {
		all.Go(func() {
			select { // they come one after the other
			case <-time.After(pace / 4 * time.Duration(i) / time.Duration(n)):
			case <-ctx.Done():
			}
			begun.Done()
			next := time.NewTicker(pace)
			defer next.Stop()
			for ctx.Err() == nil {
				once(ctx)
				select {
				case <-next.C:
				case <-ctx.Done():
				}
			}
		})
	}
	begun.Wait()
	return func() { cancel(); all.Wait() }
}

// neverRead asks for path by HTTP/1.1, and reads only the status of the answer: if that is 200
// it waits for the end of the connection, which it does not see, or of ctx.
func (b *besieged) neverRead(path string, status int) func(context.Context) {
	return func(ctx context.Context) {
		conn, err := b.attacker(ctx)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
		_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: alice.example\r\n\r\n", path)
		line, err := bufio.NewReaderSize(io.LimitReader(conn, 64), 64).ReadString('\n')
		if err == nil && strings.Contains(line, strconv.Itoa(status)) {
			waitForReset(ctx, conn)
		}
	}
}

// waitForReset returns when the peer has reset the connection, without reading from it.
func waitForReset(ctx context.Context, conn net.Conn) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := conn.Write([]byte("\r\n")); err != nil {
				return
			}
		}
	}
}

// slowSend announces a large body and stops sending amid it.
func (b *besieged) slowSend(ctx context.Context) {
	conn, err := b.attacker(ctx)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: alice.example\r\nContent-Length: 200000\r\n\r\n%s", strings.Repeat("x", 150_000))
	_, _ = io.Copy(io.Discard, conn)
}

// h2 has each connection hold streams that are never read. stuck: not even frames are.
func (b *besieged) h2(path string, stuck bool) func(context.Context) {
	return func(ctx context.Context) {
		raw, err := new(net.Dialer).DialContext(ctx, "tcp", b.https)
		if err != nil {
			return
		}
		defer func() { _ = raw.Close() }()
		defer context.AfterFunc(ctx, func() { _ = raw.Close() })()
		conn := tls.Client(raw, &tls.Config{ServerName: "alice.example", InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if conn.HandshakeContext(ctx) != nil {
			return
		}
		c := newH2(b.t, conn)
		window := uint32(0)
		if stuck {
			window = 1<<31 - 1
		}
		if c.begin(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}) != nil || stuck && c.WriteWindowUpdate(0, 1<<30) != nil {
			return
		}
		for range 50 {
			if _, err := c.request("GET", "alice.example", path, true); err != nil {
				return
			}
		}
		if stuck {
			waitForReset(ctx, pinger{c})
			return
		}
		_, _ = io.Copy(io.Discard, conn)
	}
}

// pinger writes PINGs in place of what it is given.
type pinger struct{ *h2conn }

func (p pinger) Write(b []byte) (int, error) { return len(b), p.WritePing(false, [8]byte{}) }

// attacks are ways to hold what an edge has: a name, how many attackers, and what each does.
func (b *besieged) attacks() []siege {
	return []siege{
		{"answers never read", 40, b.neverRead("/", 200)},
		{"files never read", 60, b.neverRead("/file.bin", 200)},
		{"error pages never read", 60, b.neverRead("/down/none", 404)},
		{"streams never read", 100, b.neverRead("/endless.wasm", 200)},
		{"bodies never sent", 100, b.slowSend},
		{"HTTP/2 windows never opened", 8, b.h2("/", false)},
		{"HTTP/2 frames never read", 8, b.h2("/", true)},
		{"HTTP/2 files never read", 8, b.h2("/file.bin", false)},
	}
}

type siege struct {
	name string
	n    int
	once func(context.Context)
}

// TestSlowVisitorsHoldUpNobody: while one network holds all it can get at one tenant, another
// tenant's answers are what they always are, and so are the tenant's own to other networks. In
// the end nothing is held. The same for an edge that forwards all requests to another one.
func TestSlowVisitorsHoldUpNobody(t *testing.T) {
	change := func(o *server.Options) { o.BufferBytes, o.OpenFiles = besiegedBytes, 60 }
	b := besiege(t, 4<<20, change)
	for _, s := range b.attacks() {
		t.Run(s.name, func(t *testing.T) { b.withstand(t, s) })
	}
	b.abandons(t)

	in := besiege(t, 4<<20, func(o *server.Options) { change(o); o.Region = "fra" })
	addr := serveForwarded(t, in.edge)
	out := besiege(t, 4<<20, func(o *server.Options) { change(o); o.Region, o.Elsewhere = "ams", regions{"fra": addr} })
	for _, s := range append(in.snapshots, out.snapshots...) {
		s.Manifest.Regions = []string{"fra"}
	}
	for _, e := range []*besieged{in, out} {
		for _, s := range e.snapshots {
			if err := e.sites.Publish(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, s := range []siege{{"answers never read", 40, out.neverRead("/", 200)}, {"bodies never sent", 40, out.slowSend}} {
		t.Run("forwarded: "+s.name, func(t *testing.T) { out.withstand(t, s, in) })
	}
	out.abandons(t)
}

// abandons has b end transfers that are slow, for the places that they take.
func (b *besieged) abandons(t *testing.T) {
	c := b.visitor()
	stop := b.attack(100, time.Second, b.neverRead("/endless.wasm", 200))
	defer stop()
	b.await("the end of a slow transfer", func() bool {
		get(t, c, "https://alice.example/say.wasm")
		return b.gauge("terrane_server_abandoned_total") > 0
	})
}

const besiegedBytes = 48 << 20 // of an edge that withstands attacks

// withstand has b attacked, which may forward what it is asked to another edge.
func (b *besieged) withstand(t *testing.T, s siege, others ...*besieged) {
	c, edges := b.visitor(), append(others, b)
	stop := b.attack(s.n, 3*time.Second, s.once)
	b.await("the attack", func() bool { return b.gauge("terrane_server_in_flight_count") >= 3 })
	for range 10 {
		for _, path := range []string{"/", "/file.bin", "/say.wasm"} {
			get(t, c, "https://bob.example"+path).want(t, 200, "")
		}
		for _, e := range edges {
			if held := e.gauge("terrane_server_buffer_bytes"); held > besiegedBytes/2 {
				t.Errorf("%v bytes held, which leaves less than half to others", held)
			}
			if open := e.gauge("terrane_server_open_files_count"); open > 30 {
				t.Errorf("%v files open, which leaves less than half to others", open)
			}
		}
	}
	// Alice is served too, if not at once: the slow transfers lose to these.
	for _, path := range []string{"/say.wasm", "/file.bin", "/"} {
		b.await("alice's "+path, func() bool { return get(t, c, "https://alice.example"+path).StatusCode == http.StatusOK })
	}
	stop()
	for _, e := range edges {
		e.await("the end of all requests", func() bool {
			return e.gauge("terrane_server_in_flight_count") == 0 && e.gauge("terrane_server_buffer_bytes") == 0 && e.gauge("terrane_server_open_files_count") == 0
		})
	}
}

// TestPlaceIsHeldUntilTheAnswerIsOut: an answer that is not taken counts as a request in
// flight, and gives way to the next one when it has been slow for a second.
func TestPlaceIsHeldUntilTheAnswerIsOut(t *testing.T) {
	b := besiege(t, 4<<20, nil)
	s := b.snapshot("/git/carol", "r1", "index.wasm", "big:4194304")
	s.Manifest.Limits.Concurrency = 1
	b.zone.set("alice.example", verified("/git/carol"))
	if err := b.sites.Publish(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	stop := b.attack(1, time.Second, b.neverRead("/", 200))
	defer stop()
	b.await("the reader", func() bool { return b.gauge("terrane_server_buffer_bytes") > 0 })
	c := b.visitor()
	full := get(t, c, "https://alice.example/")
	full.want(t, http.StatusServiceUnavailable, "as many requests in flight")
	b.await("a place", func() bool { return get(t, c, "https://alice.example/").StatusCode == http.StatusOK })
}

// TestNetworkAtItsShareRunsNoGuests: what would be refused for its size, as the answer before was, is
// refused before the guest runs; small answers and those to other networks are not.
func TestNetworkAtItsShareRunsNoGuests(t *testing.T) {
	const size = 4 << 20
	b := besiege(t, size, func(o *server.Options) { o.BufferBytes = 48 << 20 })
	ctx, end := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer end()
	for range 4 { // a fifth finds no room
		all.Go(func() { b.neverRead("/", 200)(ctx) })
	}
	b.await("the readers", func() bool { return b.gauge("terrane_server_buffer_bytes") == 4*size })
	near := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return b.attacker(ctx)
	}}}
	runs := func() int { return b.engine.count(b.engine.runs, strconv.Itoa(size), 0) }
	get(t, near, "http://alice.example/").want(t, http.StatusServiceUnavailable, "as many bodies")
	if n := runs(); n != 5 {
		t.Fatalf("%d guests ran for 5 requests", n)
	}
	for range 20 {
		a := get(t, near, "http://alice.example/")
		a.want(t, http.StatusServiceUnavailable, "as many bodies")
		if a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		get(t, near, "http://alice.example/say.wasm").want(t, 200, "alice")
	}
	if n := runs(); n != 5 {
		t.Errorf("%d guests ran for requests without hope", n-5)
	}
	c := b.visitor()
	get(t, c, "https://alice.example/").want(t, 200, "")
	get(t, near, "http://bob.example/").want(t, 200, "")
	end()
	b.await("the end of the readers", func() bool { return b.gauge("terrane_server_buffer_bytes") == 0 })
	get(t, near, "http://alice.example/").want(t, 200, "")
}

// BenchmarkSlowReaders compares the p99 of another tenant's answers of 100 KB, alone and while 200
// connections of one network read nothing of one tenant's answers of 10 MB. The two alternate.
func BenchmarkSlowReaders(b *testing.B) {
	e := besiege(b, 10<<20, nil)
	c := e.visitor()
	refused := func() float64 { return metricOf(b, e.reg, "terrane_server_rejected_total", "buffers") }
	var alone, besieged []time.Duration
	failed := 0
	measure := func(to *[]time.Duration) {
		for range 500 {
			start := time.Now()
			if get(b, c, "https://bob.example/").StatusCode != http.StatusOK {
				failed++
			}
			*to = append(*to, time.Since(start))
		}
	}
	for b.Loop() {
		for range 3 {
			measure(&alone)
			before := refused()
			stop := e.attack(200, 5*time.Second, e.neverRead("/", 200))
			e.await("the attack", func() bool { return refused() > before })
			measure(&besieged)
			stop()
			e.await("calm", func() bool { return e.gauge("terrane_server_in_flight_count") == 0 })
		}
	}
	p99 := func(all []time.Duration) float64 {
		slices.Sort(all)
		return float64(all[len(all)*99/100].Microseconds())
	}
	b.ReportMetric(p99(alone), "p99-us")
	b.ReportMetric(p99(besieged), "besieged-p99-us")
	b.ReportMetric(p99(besieged)/p99(alone), "p99-ratio")
	b.ReportMetric(float64(failed), "failed")
}
