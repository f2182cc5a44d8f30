package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/admin"
	"github.com/terrane/terrane/internal/campaign"
	"github.com/terrane/terrane/internal/clocktest"
	"github.com/terrane/terrane/internal/edge/edgetest"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// bgpRouter is a BGP neighbor that sends keepalives and takes any route.
type bgpRouter struct {
	t        *testing.T
	ln       net.Listener
	sessions atomic.Int32 // so far
}

// startRouter starts a router of AS 64512 on loopback. A session that ends is a failure.
func startRouter(t *testing.T) *bgpRouter {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &bgpRouter{t: t, ln: ln}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); all.Wait() })
	return r
}

// serve has one session, until the edge ends it.
func (r *bgpRouter) serve(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // the edge has ended it
	r.sessions.Add(1)
	frame := func(kind byte, body ...byte) {
		m := append(slices.Repeat([]byte{0xff}, 16), binary.BigEndian.AppendUint16(nil, uint16(19+len(body)))...)
		_, _ = conn.Write(append(append(m, kind), body...)) // else the read fails
	}
	// Version 4, AS 64512, hold time 9 s; multiprotocol IPv4 unicast, and four-octet AS numbers.
	frame(1, 4, 0xfc, 0, 0, 9, 198, 51, 100, 1, 14, 2, 12, 1, 4, 0, 1, 0, 1, 65, 4, 0, 0, 0xfc, 0)
	frame(4)
	read := make(chan struct{})
	go func() { defer close(read); _, _ = io.Copy(io.Discard, conn) }()
	for tick := time.Tick(3 * time.Second); ; {
		select {
		case <-tick:
			frame(4)
		case <-read:
			return
		}
	}
}

// bgpLines is the configuration of a session with r, for an address that this host has.
func (r *bgpRouter) lines() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return fmt.Sprintf(`
[bgp]
asn = 64513
router_id = "198.51.100.7"
prefixes = ["%s/32"]
allow_private = true
allow_host_routes = true
shutdown_wait = "100ms"
withdraw_wait = "100ms"
[[bgp.neighbor]]
address = "127.0.0.2"
port = %d
asn = 64512
multihop = 2
hold_time = "9s"
`, n.IP, r.ln.Addr().(*net.TCPAddr).Port)
		}
	}
	r.t.Skip("this host has loopback addresses only, which no route leads to")
	return ""
}

// clockCampaign is an edge with a clock that jumps, and another one with the right time.
type clockCampaign struct {
	*ownProcess
	other  *ownProcess
	clock  *clocktest.Clock
	router *bgpRouter
	ahead  atomic.Int64 // seconds
	asked  int
	issued float64 // certificates, at the last look
}

// now is the time by the clock that jumps.
func (c *clockCampaign) now() time.Time {
	return time.Now().Add(time.Duration(c.ahead.Load()) * time.Second)
}

// jump makes the clock jump by about so many hours, to three seconds before a minute.
func (c *clockCampaign) jump(hours int64) {
	c.t.Helper()
	to := time.Now().Unix() + c.ahead.Load() + hours*3600
	to += 57 - to%60
	c.ahead.Store(to - time.Now().Unix())
	if err := c.clock.Set(time.Duration(c.ahead.Load()) * time.Second); err != nil {
		c.t.Fatal(err)
	}
}

func startClockCampaign(t *testing.T) *clockCampaign {
	t.Helper()
	binary := build(t, "clock")
	routes := []string{latticetest.FreeAddr(t), latticetest.FreeAddr(t)}
	lines := func(i int) string {
		return fmt.Sprintf("[lattice.cluster]\nlisten = %q\nroutes = [\"nats://%s\"]\n", routes[i], routes[1-i])
	}
	c := &clockCampaign{ownProcess: newOwnProcess(t, "ams1"), other: newOwnProcess(t, "ams2"), router: startRouter(t)}
	c.more, c.other.more, c.other.dir = lines(0)+c.router.lines(), lines(1)+c.router.lines(), c.dir
	for _, p := range []*ownProcess{c.ownProcess, c.other} {
		p.start(binary, nil)
	}
	for _, p := range []*ownProcess{c.ownProcess, c.other} {
		p.await("readiness", func() bool { return p.ready() == nil })
	}
	c.domain("tell")
	c.deploy("tell", map[string][]byte{"tell.wasm": edgetest.File(t, "cmd/terrane/testdata/guests/tell.wasm"), "terrane.toml": []byte("[[cron]]\nschedule = \"* * * * *\"\npath = \"/tell.wasm/tick\"\n")})
	leads := func(p *ownProcess) bool {
		text, err := p.page("/metrics")
		return err == nil && strings.Contains(text, "\nterrane_cron_leader_info 1\n")
	}
	c.await("a leader of cron", func() bool { return leads(c.ownProcess) || leads(c.other) })
	if leads(c.other) { // its clock is the one that matters
		c.ownProcess, c.other = c.other, c.ownProcess
	}
	var err error
	if c.clock, err = clocktest.Of(c.cmd.Process.Pid); err != nil {
		t.Skip(err)
	}
	c.transport().TLSClientConfig.Time = c.now
	c.domain("page")
	c.domain("keep")
	c.deploy("keep", map[string][]byte{"index.wasm": edgetest.File(t, "cmd/terrane/testdata/guests/keep.wasm")})
	c.deploy("page", map[string][]byte{"index.html": []byte("page"), "file": make([]byte, 32<<20)})
	c.await("the page", func() bool { return c.shows("page", "/", "page") })
	c.await("state", func() bool {
		code, _, err := c.ask("keep", "/first", "value")
		return err == nil && code == http.StatusOK
	})
	c.await("a BGP session", func() bool { return c.router.sessions.Load() > 0 })
	if out, err := terrane(t, "kv", "put", "/sites/keep", "month", "value", "--ttl", "720h", "--admin=http://"+c.other.admin); err != nil {
		t.Fatal(out, err)
	}
	return c
}

func (c *clockCampaign) transport() *http.Transport {
	return c.client.Transport.(*http.Transport)
}

// look reads an admin page of the edge.
func (c *clockCampaign) look(path string) string {
	c.t.Helper()
	text, err := c.page(path)
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

// ticks is how often the line of cron has run.
func (c *clockCampaign) ticks() int {
	return strings.Count(c.look("/logs?tenant=/sites/tell"), `"/tell.wasm/tick"`)
}

// download begins to read the large file; the rest is read by the returned function.
func (c *clockCampaign) download() (rest func() (int64, error)) {
	c.t.Helper()
	resp, err := c.client.Get("https://page.example/file")
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
		c.t.Fatal(err)
	}
	return func() (int64, error) {
		n, err := io.Copy(io.Discard, resp.Body)
		return 1<<20 + n, errors.Join(err, resp.Body.Close())
	}
}

// check looks at all that a jump could have broken.
func (c *clockCampaign) check(jump int) {
	c.t.Helper()
	for n := range 10 {
		c.asked += 2
		if code, text, err := c.ask("page", "/", ""); err != nil || code != http.StatusOK || text != "page" {
			c.t.Errorf("page: %d %q %v", code, text, err)
		}
		if code, text, err := c.ask("keep", fmt.Sprintf("/k%d-%d", jump, n), "value"); err != nil || code != http.StatusOK {
			c.t.Errorf("state: %d %q %v", code, text, err)
		}
	}
	for _, key := range []string{"/first", "month", fmt.Sprintf("/k%d-9", jump)} {
		if text, err := c.other.page("/kv/entry?strict=1&tenant=/sites/keep&key=" + key); err != nil || !strings.Contains(text, "value") {
			c.t.Errorf("%s at the other edge: %s %v", key, text, err)
		}
		if text := c.look("/kv/entry?tenant=/sites/keep&key=" + key); !strings.Contains(text, "value") {
			c.t.Errorf("%s: %s", key, text)
		}
	}
	if err := c.ready(); err != nil {
		c.t.Error(err)
	}
	var s admin.Status
	if err := json.Unmarshal([]byte(c.look("/status")), &s); err != nil {
		c.t.Fatal(err)
	}
	for _, n := range s.BGP.Neighbors {
		if n.Lost > 0 {
			c.t.Errorf("the BGP session was lost: %+v", n)
		}
	}
	if text, err := c.other.page("/status"); err != nil || json.Unmarshal([]byte(text), &s) != nil {
		c.t.Fatal(err)
	}
	for _, e := range s.Edges {
		if e.Silent || !e.Ready {
			c.t.Errorf("the other edge takes %s to be silent or not ready: %+v", e.Name, e)
		}
	}
	for line := range strings.Lines(c.look("/metrics")) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		value, err := strconv.ParseFloat(text, 64)
		switch {
		case !strings.HasPrefix(name, "terrane_"):
		case err != nil || value < 0:
			c.t.Errorf("metric %s", line)
		case name == "terrane_certs_issued_total":
			if value > c.issued+6 {
				c.t.Errorf("%.0f certificates for 5 hosts since the last jump", value-c.issued)
			}
			c.issued = value
		}
	}
}

// TestCampaignClock has the wall clock of an edge jump by hours and days, both ways, while it
// answers, is deployed to, keeps state with another edge, runs a line of cron, verifies hosts,
// has a BGP session, and sends a large file.
func TestCampaignClock(t *testing.T) {
	jumps := campaign.Tries(2, 7)
	c := startClockCampaign(t)
	rng := rand.New(rand.NewPCG(1, 2))
	started := len(c.output()) // its peer was not there at first
	for jump := range jumps {
		hours := []int64{12, -12, -1, 1, 72, -72, rng.Int64N(200) - 100 - c.ahead.Load()/3600}[jump%7]
		c.await("the runs of this minute", func() bool { s := c.now().Second(); return s >= 8 && s < 55 })
		rest, before := c.download(), c.ticks()
		c.jump(hours)
		jumped := c.now()
		name, page := fmt.Sprint("new", jump), fmt.Sprint("page ", jump)
		c.domain(name)
		c.deploy(name, map[string][]byte{"index.html": []byte(page)})
		if jump%3 == 1 { // new connections: tickets, certificates
			c.transport().CloseIdleConnections()
		}
		c.check(jump)
		c.await("a new host", func() bool { return c.shows(name, "/", page) })
		if n, err := rest(); err != nil || n != 32<<20 {
			t.Errorf("a download that went on: %d bytes, %v", n, err)
		}
		c.await("a run of cron", func() bool { return c.ticks() > before })
		c.forget(name)
		c.await("the end of a host", func() bool { return !c.shows(name, "/", page) })
		// One run for each minute that has begun, and a late one of before a jump ahead.
		minutes := 1 + int(c.now().Unix()/60-jumped.Unix()/60)
		if n := c.ticks() - before; n > minutes || hours < 0 && n >= minutes {
			t.Errorf("a line of cron ran %d times in %d minutes", n, minutes)
		}
		if t.Failed() {
			t.Fatalf("jump %d of %d h, to %v ahead\n%s", jump, hours, time.Duration(c.ahead.Load())*time.Second, c.tail())
		}
	}
	c.signal(15)
	if err := c.ended(); err != nil {
		t.Errorf("the end: %v", err)
	}
	if strings.Contains(c.output()[started:], "level=ERROR") {
		t.Errorf("an edge whose clock jumped logged an error:\n%s", c.tail())
	}
	campaign.Row(t, "wall clock of an edge jumps by up to 4 days, both ways, under requests, deploys, new and lost hosts, state, cron, BGP, downloads", jumps,
		fmt.Sprintf("0 of %d requests failed, each deploy and each new host went live, 0 downloads and 0 BGP sessions cut off, each line of cron ran once a minute", c.asked))
}
