package acme_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/internal/certs/acme"
	"github.com/terrane/terrane/internal/certs/certstest"
	"github.com/terrane/terrane/internal/certs/storage"
	"github.com/terrane/terrane/internal/fault"
	"github.com/terrane/terrane/tenant"
)

const day = 24 * time.Hour

func TestACMEByEitherChallenge(t *testing.T) {
	p := startPebble(t)
	e := startEdge(t, p, t.TempDir(), nil, acme.Options{})
	for host, open := range map[string]func(){
		"http.by-either-challenge.example": func() { p.HTTP.To(e.http); p.TLS.Shut() },
		"alpn.by-either-challenge.example": func() { p.TLS.To(e.tls); p.HTTP.Shut() },
	} {
		open()
		cert := e.mustGet(t, p, host)
		if again := e.mustGet(t, p, host); cert.SerialNumber.Cmp(again.SerialNumber) != 0 {
			t.Errorf("%s: two certificates", host)
		}
	}
	resp, err := http.Get("http://" + e.http + "/.well-known/acme-challenge/none")
	if err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("a challenge that nobody has to meet: %v, %v", resp, err)
	}
}

// TestEdgeProcess is the other edge of TestACMEOtherEdgeAnswers, in a process of its own.
func TestEdgeProcess(t *testing.T) {
	dir, url := os.Getenv("CERTS_TEST_EDGE"), os.Getenv("CERTS_TEST_CA")
	if dir == "" {
		t.Skip("is for TestACMEOtherEdgeAnswers")
	}
	a, err := acme.New(acme.Options{CAs: []string{url}, Storage: newFolder(t, dir, 2*time.Second), Permit: certstest.Permit,
		Email: "ops@terrane.example"})
	if err != nil {
		t.Fatal(err)
	}
	e := serveEdge(t, a)
	_, _ = os.Stdout.WriteString("edge " + e.http + " " + e.tls + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends
}

func TestACMEOtherEdgeAnswers(t *testing.T) {
	p := startPebble(t)
	dir := t.TempDir()
	other := exec.Command(os.Args[0], "-test.run=^TestEdgeProcess$")
	other.Env = append(os.Environ(), "CERTS_TEST_EDGE="+dir, "CERTS_TEST_CA="+p.URL)
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stdin.Close()
		if err := other.Wait(); err != nil {
			t.Errorf("the other edge: %v", err)
		}
	}()
	out := bufio.NewScanner(stdout)
	for !strings.HasPrefix(out.Text(), "edge ") {
		if !out.Scan() {
			t.Fatal("the other edge does not start")
		}
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	addrs := strings.Fields(out.Text())

	deaf := startEdge(t, p, dir, nil, acme.Options{}) // no validation arrives at it
	p.HTTP.To(addrs[1])
	deaf.mustGet(t, p, "http.other-edge-answers.example")
	p.HTTP.Shut()
	p.TLS.To(addrs[2])
	cert := deaf.mustGet(t, p, "alpn.other-edge-answers.example")

	got, err := (&edge{tls: addrs[2]}).get(t, p, "alpn.other-edge-answers.example")
	if err != nil || got.SerialNumber.Cmp(cert.SerialNumber) != 0 {
		t.Errorf("the other edge has another certificate: %v", err)
	}
}

func TestACMEOneOrderForAll(t *testing.T) {
	p := startPebble(t)
	dir := t.TempDir()
	edges := []*edge{startEdge(t, p, dir, nil, acme.Options{}), startEdge(t, p, dir, nil, acme.Options{})}
	p.HTTP.To(edges[0].http)
	p.TLS.To(edges[1].tls)
	serials := make([]string, 20)
	var wg sync.WaitGroup
	for i := range serials {
		wg.Go(func() {
			cert, err := edges[i%2].get(t, p, "alice.one-order-for-all.example")
			if err != nil {
				t.Error(err)
				return
			}
			serials[i] = cert.SerialNumber.String()
		})
	}
	wg.Wait()
	for _, s := range serials {
		if s != serials[0] {
			t.Fatalf("several certificates: %v", serials)
		}
	}
	if n := p.Orders(t); n != 1 {
		t.Errorf("%d orders", n)
	}
}

func TestACMERefused(t *testing.T) {
	p := startPebble(t)
	dir := t.TempDir()
	e := startEdge(t, p, dir, nil, acme.Options{SelfHost: "edge.terrane.invalid"})
	for _, host := range []string{"alice.test", "single", "192.0.2.1", ""} {
		client := certstest.Trust(p.Issuer, host)
		client.InsecureSkipVerify = true
		if _, err := certstest.Handshake(t, e.acme.TLSConfig(), client); err == nil {
			t.Errorf("%q has a certificate", host)
		}
	}
	for _, name := range []string{"acme", "certificates", "terrane", ".locks/terrane_alice.test"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil || p.Orders(t) > 0 {
			t.Errorf("unknown names cost %s and %d orders", name, p.Orders(t))
		}
	}
	client := certstest.Trust(nil, "edge.terrane.invalid")
	client.InsecureSkipVerify = true
	if _, err := certstest.Handshake(t, e.acme.TLSConfig(), client); err != nil {
		t.Errorf("for itself: %v", err)
	}
}

func TestACMEFailuresBackOff(t *testing.T) {
	p := startPebble(t)
	dir, clock := t.TempDir(), new(clock)
	e, other := startEdge(t, p, dir, clock, acme.Options{}), startEdge(t, p, dir, clock, acme.Options{})
	if _, err := e.get(t, p, "alice.failures-back-off.example"); err == nil { // nothing answers the CA
		t.Fatal("issued without validation")
	}
	orders := p.Orders(t)
	if orders == 0 || orders > 2 {
		t.Errorf("%d orders at first", orders)
	}
	for range 10 {
		for _, e := range []*edge{e, other} {
			if _, err := e.get(t, p, "alice.failures-back-off.example"); err == nil {
				t.Fatal("issued without validation")
			}
		}
	}
	if p.Orders(t) != orders {
		t.Errorf("%d orders after the first failed", p.Orders(t)-orders)
	}
	p.HTTP.To(e.http)
	clock.advance(2*time.Minute + time.Second)
	other.mustGet(t, p, "alice.failures-back-off.example")
	e.mustGet(t, p, "alice.failures-back-off.example")
	if _, err := os.Stat(filepath.Join(dir, "terrane/failures/alice.failures-back-off.example")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the failure is still noted: %v", err)
	}
}

func TestACMEDeadFirstCA(t *testing.T) {
	p := startPebble(t)
	for name, answer := range map[string]http.HandlerFunc{
		"hangs-up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"500":      func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
		"rubbish":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			dead := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				answer(w, r)
			}))
			defer dead.Close()
			metrics := prometheus.NewRegistry()
			e := startEdge(t, p, t.TempDir(), nil, acme.Options{CAs: []string{dead.URL + "/dir", p.URL}, Metrics: metrics,
				Roots: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: dead.Certificate().Raw})})
			defer e.stop()
			validateAt(p, e)
			e.mustGet(t, p, "one."+name+".dead-ca.example")
			before := asked.Load()
			e.mustGet(t, p, "two."+name+".dead-ca.example")
			if before == 0 || asked.Load() != before {
				t.Errorf("the dead CA was asked %d times, and %d more", before, asked.Load()-before)
			}
			for name, want := range map[string]float64{
				"terrane_certs_acme_issued_total": 2, "terrane_certs_acme_failed_total": 1, "terrane_certs_acme_memory_count": 2,
			} {
				if got := metric(t, metrics, name); got != want {
					t.Errorf("%s: %g, want %g", name, got, want)
				}
			}
		})
	}
}

// metric is the value of a counter or gauge of one series.
func metric(t *testing.T, from *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.Metric[0].GetCounter().GetValue() + f.Metric[0].GetGauge().GetValue()
		}
	}
	return 0
}

func TestACMERenewsThroughAnOutage(t *testing.T) {
	p := startPebble(t)
	dir, clock, metrics := t.TempDir(), new(clock), prometheus.NewRegistry()
	e := startEdge(t, p, dir, clock, acme.Options{Metrics: metrics})
	validateAt(p, e)
	first := e.mustGet(t, p, "alice.renews-through-an-outage.example")
	p.API.Shut()
	clock.advance(80 * day) // ten are left of ninety
	failed := filepath.Join(dir, "terrane/failures/alice.renews-through-an-outage.example")
	certstest.Eventually(t, "a renewal fails", func() bool { _, err := os.Stat(failed); return err == nil })
	if cert := e.mustGet(t, p, "alice.renews-through-an-outage.example"); cert.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Error("renewed without a CA")
	}
	p.API.To(p.Addr)
	clock.advance(11 * time.Minute)
	certstest.Eventually(t, "it is renewed", func() bool {
		return e.mustGet(t, p, "alice.renews-through-an-outage.example").SerialNumber.Cmp(first.SerialNumber) != 0
	})
	if n := metric(t, metrics, "terrane_certs_acme_renewals_total"); n != 1 {
		t.Errorf("%g renewals", n)
	}
	if p.Orders(t) != 2 || !strings.Contains(p.Log(t), "is a replacement of") {
		t.Errorf("%d orders for two certificates, or one that replaces nothing", p.Orders(t))
	}
}

// TestACMEAccountChanges renews what another account got, which Pebble does not let
// it replace.
func TestACMEAccountChanges(t *testing.T) {
	p := startPebble(t)
	dir, clock := t.TempDir(), new(clock)
	e := startEdge(t, p, dir, clock, acme.Options{Email: "before@terrane.example"})
	validateAt(p, e)
	first := e.mustGet(t, p, "alice.account.example")
	e.stop()
	e = startEdge(t, p, dir, clock, acme.Options{Email: "after@terrane.example"})
	validateAt(p, e)
	e.mustGet(t, p, "alice.account.example")
	clock.advance(80 * day)
	certstest.Eventually(t, "it is renewed", func() bool {
		clock.advance(time.Second)
		return e.mustGet(t, p, "alice.account.example").SerialNumber.Cmp(first.SerialNumber) != 0
	})
}

func TestACMEExpiredWhileIdle(t *testing.T) {
	p := startPebble(t)
	dir, clock := t.TempDir(), new(clock)
	e := startEdge(t, p, dir, clock, acme.Options{})
	validateAt(p, e)
	first := e.mustGet(t, p, "alice.expired-while-idle.example")
	e.stop()
	clock.advance(89*day + 23*time.Hour + 59*time.Minute)
	e = startEdge(t, p, dir, clock, acme.Options{})
	validateAt(p, e)
	certstest.Eventually(t, "it is renewed", func() bool {
		return e.mustGet(t, p, "alice.expired-while-idle.example").SerialNumber.Cmp(first.SerialNumber) != 0
	})
}

func TestACMEDoesNotRenewWhatIsNotPermitted(t *testing.T) {
	p := startPebble(t)
	var revoked atomic.Bool
	refusals := make(chan struct{}, 100)
	clock := new(clock)
	e := startEdge(t, p, t.TempDir(), clock, acme.Options{Permit: func(context.Context, tenant.Host, netip.Addr) error {
		if !revoked.Load() {
			return nil
		}
		refusals <- struct{}{}
		return errors.New("no more")
	}})
	validateAt(p, e)
	first := e.mustGet(t, p, "alice.does-not-renew-what-is-not-permitted.example")
	revoked.Store(true)
	clock.advance(80 * day)
	<-refusals
	clock.advance(2 * time.Hour)
	<-refusals
	if cert := e.mustGet(t, p, "alice.does-not-renew-what-is-not-permitted.example"); cert.SerialNumber.Cmp(first.SerialNumber) != 0 || p.Orders(t) != 1 {
		t.Errorf("renewed; %d orders", p.Orders(t))
	}
}

func TestACMEQuota(t *testing.T) {
	p := startPebble(t)
	clock := new(clock)
	e := startEdge(t, p, t.TempDir(), clock, acme.Options{Quota: 2, Permit: func(context.Context, tenant.Host, netip.Addr) error { return nil }})
	validateAt(p, e)
	e.mustGet(t, p, "a.quota.example")
	e.mustGet(t, p, "b.quota.example")
	if _, err := e.get(t, p, "c.quota.example"); err == nil {
		t.Error("a third name of two")
	}
	e.mustGet(t, p, "other-quota.example")
	if p.Orders(t) != 3 {
		t.Errorf("%d orders", p.Orders(t))
	}
	clock.advance(8 * day)
	e.mustGet(t, p, "c.quota.example")
}

// countingLocks counts the locks of quotas.
type countingLocks struct {
	storage.Storage
	quotas atomic.Int32
}

func (c *countingLocks) Lock(ctx context.Context, name string) error {
	if strings.HasPrefix(name, "terrane_quota_") {
		c.quotas.Add(1)
	}
	return c.Storage.Lock(ctx, name)
}

// TestACMEWildcardHoldsUpNobody has a wildcard's names ask for certificates beyond their quota:
// no more of them than there are workers wait for anything.
func TestACMEWildcardHoldsUpNobody(t *testing.T) {
	p := startPebble(t)
	counting := &countingLocks{Storage: newFolder(t, t.TempDir(), 0)}
	const workers = 4
	e := startEdge(t, p, "", nil, acme.Options{Storage: counting, Quota: 1, Workers: 2 * workers})
	validateAt(p, e)
	e.mustGet(t, p, "first.wildcard.example")
	var flood sync.WaitGroup
	for i := range 50 {
		flood.Go(func() {
			if _, err := e.get(t, p, "r"+strconv.Itoa(i)+".wildcard.example"); err == nil {
				t.Error("a name beyond the quota")
			}
		})
	}
	flood.Wait()
	if n := counting.quotas.Load(); n > 1+workers {
		t.Errorf("%d names waited for the quota's lock", n)
	}
	e.mustGet(t, p, "other-wildcard.example")
}

func TestACMEOptions(t *testing.T) {
	good := acme.Options{CAs: []string{"https://ca.example/dir"}, Storage: newFolder(t, t.TempDir(), 0), Permit: certstest.Permit}
	if _, err := acme.New(good); err != nil {
		t.Fatal(err)
	}
	ca := good.CAs[0]
	for _, tt := range []struct {
		name  string
		spoil func(*acme.Options)
		want  []string
	}{
		{"Let's Encrypt by default", func(o *acme.Options) {
			o.CAs, o.EAB = nil, []acme.EAB{{CA: acme.LetsEncrypt, KeyID: "k", Key: "a2V5"}}
		}, nil},
		{"no CA", func(o *acme.Options) { o.CAs = []string{} }, []string{"ca: want the directory URL"}},
		{"plain HTTP", func(o *acme.Options) { o.CAs = []string{"http://ca.example/dir"} }, []string{`ca[0]: "http://ca.example/dir": want the https URL`}},
		{"one CA twice", func(o *acme.Options) { o.CAs = []string{ca, ca} }, []string{"ca[1]: \"" + ca + "\" is listed twice"}},
		{"bindings", func(o *acme.Options) {
			o.EAB = []acme.EAB{{CA: "https://other.example/dir", KeyID: "k", Key: "a2V5"}, {CA: ca, KeyID: "k", Key: "hunter2!"}, {CA: ca, Key: "a2V5"}}
		}, []string{`eab[0].ca: "https://other.example/dir": want one of ca`, "eab[1].key: want the key", "eab[2].ca: ", "eab[2].kid: want the key identifier"}},
		{"key and roots", func(o *acme.Options) { o.Key, o.Roots = []byte("hunter2"), []byte("x") }, []string{
			"key: the secret has 7 characters: want at least 32", "roots: no certificate in PEM",
		}},
	} {
		o := good
		tt.spoil(&o)
		_, err := acme.New(o)
		faults, rest := fault.Split(err)
		if len(faults) != len(tt.want) || rest != nil {
			t.Errorf("%s: got\n%v\nwant\n%s", tt.name, err, strings.Join(tt.want, "\n"))
			continue
		}
		for i, f := range faults {
			if !strings.HasPrefix(f.Error(), tt.want[i]) || strings.Contains(f.Error(), "hunter2") {
				t.Errorf("%s: fault %d is %v, want %s", tt.name, i, f, tt.want[i])
			}
		}
	}
	for name, spoil := range map[string]func(*acme.Options){
		"no storage": func(o *acme.Options) { o.Storage = nil }, "no permit": func(o *acme.Options) { o.Permit = nil },
	} {
		o := good
		spoil(&o)
		if _, err := acme.New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestRefusedBeforeTheKeyExchange: a flood of unknown names costs no key exchange, and
// refusals know whom they are for.
func TestRefusedBeforeTheKeyExchange(t *testing.T) {
	var sources []netip.Addr
	permit := func(ctx context.Context, host tenant.Host, source netip.Addr) error {
		if host != "alice.example" && host != "alice.test" {
			t.Errorf("asked for %q", host)
		}
		sources = append(sources, source)
		return certstest.Permit(ctx, host, source)
	}
	a, err := acme.New(acme.Options{CAs: []string{"https://ca.example/dir"}, Storage: newFolder(t, t.TempDir(), 0), Permit: permit})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for name, cfg := range map[string]*tls.Config{"internal": newInternal(t, permit).TLSConfig(), "acme": a.TLSConfig()} {
		for host, want := range map[string]bool{"Alice.Example.": true, "alice.test": false, "192.0.2.1": false, "single": false} {
			_, err := cfg.GetConfigForClient(&tls.ClientHelloInfo{ServerName: host, Conn: conn})
			if (err == nil) != want {
				t.Errorf("%s: %s: %v", name, host, err)
			}
		}
	}
	for _, s := range sources {
		if s != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("on behalf of %s", s)
		}
	}
	if len(sources) != 4 {
		t.Errorf("asked %d times", len(sources))
	}
}
