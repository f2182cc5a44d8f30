package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

func TestConcurrencyOfOneTenant(t *testing.T) {
	eng := newStub()
	e := startEdge(t, edgeOptions{engine: eng, sites: func(o *server.SitesOptions) { o.Limits.Concurrency = 2 }})
	e.deploy("alice.example", "index.wasm", "wait:alice", "a.css", "static")
	e.deploy("bob.example", "index.wasm", "say:bob")
	c := e.client()
	answers := make(chan answer, 2)
	for range 2 {
		go func() { answers <- get(t, c, "https://alice.example/") }()
		<-eng.entered
	}
	full := get(t, c, "https://alice.example/")
	full.want(t, http.StatusServiceUnavailable, "as many requests in flight as it may")
	if full.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	get(t, c, "https://alice.example/a.css").want(t, 200, "static")
	get(t, c, "https://bob.example/").want(t, 200, "bob")
	close(eng.proceed)
	for range 2 {
		(<-answers).want(t, 200, "alice")
	}
	get(t, c, "https://alice.example/").want(t, 200, "alice")
}

func TestRateOfOneTenant(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	s := e.snapshot("/git/alice", "r1", "index.html", "alice")
	s.Manifest.Limits.RequestsPerSecond = 3
	e.zone.set("alice.example", verified("/git/alice"))
	c := e.client()
	codes := make(map[int]int)
	for i := range 30 {
		if i%10 == 0 { // a deploy refills nothing
			if err := e.sites.Publish(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		codes[get(t, c, "https://alice.example/").StatusCode]++
	}
	if codes[200] < 3 || codes[429] == 0 || codes[200]+codes[429] != 30 {
		t.Errorf("answers by status: %v", codes)
	}
}

func TestWallDeadline(t *testing.T) {
	eng := newStub()
	e := startEdge(t, edgeOptions{engine: eng, sites: func(o *server.SitesOptions) { o.Limits.Wall = 50 * time.Millisecond }})
	e.deploy("alice.example", "index.wasm", "wait:for ever")
	get(t, e.client(), "https://alice.example/").want(t, http.StatusGatewayTimeout, "took too long")
	e.log.wait(t, "index.wasm at revision r1 trapped: out of time")
}

func TestVisitorLeaves(t *testing.T) {
	eng := newStub()
	access := new(syncBuffer)
	e := startEdge(t, edgeOptions{engine: eng, server: func(o *server.Options) { o.AccessLog = access }})
	e.deploy("alice.example", "index.wasm", "wait:alice")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	c := e.client()
	go func() {
		resp, err := c.Do(request(t, http.MethodGet, "https://alice.example/", nil).WithContext(ctx))
		if err == nil {
			closed(t, resp.Body)
		}
		done <- err
	}()
	<-eng.entered
	cancel()
	if err := <-done; err == nil {
		t.Error("an answer")
	}
	access.wait(t, `"status":499`)
}

func TestBodies(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) {
		o.ServePlain = true
		o.BodyTimeout = 100 * time.Millisecond
		o.BufferBytes = 900 << 10
	}})
	e.deploy("alice.example", "index.wasm", "say:ok", "a.css", "static")
	c := e.client()
	url := "https://alice.example/"
	post := func(n int) answer {
		return do(t, c, request(t, http.MethodPost, url, strings.NewReader(strings.Repeat("x", n))))
	}
	post(0).want(t, 200, "ok")
	post(256<<10).want(t, 200, "ok")
	post(256<<10+1).want(t, http.StatusRequestEntityTooLarge, "262144 bytes")
	// Without a length.
	chunked := request(t, http.MethodPost, url, struct{ *strings.Reader }{strings.NewReader(strings.Repeat("x", 300<<10))})
	chunked.ContentLength = -1
	do(t, c, chunked).want(t, http.StatusRequestEntityTooLarge, "")
	do(t, c, request(t, http.MethodPost, url+"a.css", strings.NewReader("x"))).want(t, http.StatusMethodNotAllowed, "")

	head := "POST / HTTP/1.1\r\nHost: alice.example\r\n"
	if got := raw(t, e.http, head+"Content-Length: 10\r\n\r\nabc"); got != http.StatusRequestTimeout {
		t.Errorf("slow body: %d", got)
	}
	if got := raw(t, e.http, head+"Transfer-Encoding: chunked\r\n\r\nzz\r\n"); got != http.StatusBadRequest {
		t.Errorf("bad chunk: %d", got)
	}
	if got := raw(t, e.http, head+"Content-Length: 999999999999\r\n\r\n"); got != http.StatusRequestEntityTooLarge {
		t.Errorf("huge length: %d", got)
	}
	// After all that nothing is held: a large body still finds room.
	post(256<<10).want(t, 200, "ok")
}

func TestHeldBodiesAreBounded(t *testing.T) {
	eng := newStub()
	e := startEdge(t, edgeOptions{engine: eng, server: func(o *server.Options) { o.BufferBytes = 900 << 10 }})
	e.deploy("alice.example", "index.wasm", "wait:ok")
	c := e.client()
	post := func() answer {
		return do(t, c, request(t, http.MethodPost, "https://alice.example/", strings.NewReader(strings.Repeat("x", 200<<10))))
	}
	first := make(chan answer)
	go func() { first <- post() }()
	<-eng.entered
	post().want(t, http.StatusServiceUnavailable, "as many bodies as it may")
	close(eng.proceed)
	(<-first).want(t, 200, "ok")
}

func TestDrain(t *testing.T) {
	eng := newStub()
	e := startEdge(t, edgeOptions{engine: eng, server: func(o *server.Options) { o.ServePlain = true }})
	e.deploy("alice.example", "index.wasm", "wait:slow", "a.css", "static")
	// One connection is idle, one busy by HTTP/2, one busy by HTTP/1.1.
	idle := e.client()
	get(t, idle, "https://alice.example/a.css").want(t, 200, "static")
	c := e.client()
	answers := make(chan answer, 2)
	for _, url := range []string{"https://alice.example/", "http://alice.example/"} {
		go func() { answers <- get(t, c, url) }()
		<-eng.entered
	}
	stopped := make(chan error, 1)
	go func() { stopped <- e.stop() }()
	refused := func() bool {
		conn, err := net.Dial("tcp", e.https)
		if err != nil {
			return true
		}
		closed(t, conn)
		return false
	}
	for !refused() { // until the listener is closed
	}
	select {
	case err := <-stopped:
		t.Fatalf("Run returned %v with requests in flight", err)
	default:
	}
	close(eng.proceed)
	for range 2 {
		a := <-answers
		a.want(t, 200, "slow")
		if a.ProtoMajor == 1 && !a.Close {
			t.Error("the connection is kept alive")
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestDrainCutsOff(t *testing.T) {
	eng := newStub()
	e := startEdge(t, edgeOptions{engine: eng, server: func(o *server.Options) { o.Drain = 50 * time.Millisecond }})
	e.deploy("alice.example", "index.wasm", "wait:slow")
	failed := make(chan bool)
	c := e.client()
	go func() {
		resp, err := c.Get("https://alice.example/")
		if err == nil {
			closed(t, resp.Body)
		}
		failed <- err != nil || resp.StatusCode != http.StatusOK
	}()
	<-eng.entered
	if err := e.stop(); err != nil {
		t.Error(err)
	}
	if !<-failed {
		t.Error("a request without end was answered")
	}
}

func TestAccessLogAndMetrics(t *testing.T) {
	access := new(syncBuffer)
	reg := prometheus.NewRegistry()
	e := startEdge(t, edgeOptions{engine: newStub(),
		sites:  func(o *server.SitesOptions) { o.Metrics = reg },
		server: func(o *server.Options) { o.AccessLog, o.Metrics = access, reg }})
	e.deploy("alice.example", "index.html", "alice")
	a := get(t, e.client(), "https://alice.example/?secret=1")
	get(t, e.client(), "https://"+string(server.SelfHost)+"/").want(t, 200, "") // is not logged
	if err := e.stop(); err != nil {
		t.Fatal(err)
	}
	var line struct {
		Request, Host, Tenant, Revision, Method, Path, Proto, Note string
		Status, Bytes                                              int
		Time                                                       time.Time
		Seconds                                                    float64
	}
	if err := json.Unmarshal([]byte(access.text.String()), &line); err != nil {
		t.Fatalf("%v in %s", err, &access.text)
	}
	want := line
	want.Request, want.Host, want.Tenant, want.Revision = a.Header.Get("Terrane-Request-Id"), "alice.example", "/git/alice", "r1"
	want.Method, want.Path, want.Proto, want.Status, want.Bytes = "GET", "/", "HTTP/2.0", 200, 5
	if line != want || line.Seconds <= 0 || time.Since(line.Time).Abs() > time.Minute {
		t.Errorf("got %+v, want %+v", line, want)
	}
	families := must(reg.Gather())
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			if l := m.GetLabel(); len(l) > 0 {
				name += "," + l[0].GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{
		"terrane_server_requests_total,2xx": 1, "terrane_server_request_duration_seconds": 1,
		"terrane_server_in_flight_count": 0, "terrane_server_sites_count": 1, "terrane_server_modules_count": 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v, want %v", name, v, want)
		}
	}
}

func TestSlowHead(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) { o.HeaderTimeout = 50 * time.Millisecond }})
	conn := must(net.Dial("tcp", e.http))
	defer closed(t, conn)
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: ali"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(conn).ReadString(0); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection is still open: %v", err)
	}
}

func TestUnknownTenantLimitsDefault(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub(), sites: func(o *server.SitesOptions) { o.Limits = tenant.Limits{} }})
	e.deploy("alice.example", "index.wasm", "say:alice")
	do(t, e.client(), request(t, http.MethodPost, "https://alice.example/", strings.NewReader("x"))).want(t, 200, "alice")
}
