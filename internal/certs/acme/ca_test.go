package acme_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/certs"
	"github.com/terrane/terrane/internal/certs/acme"
	"github.com/terrane/terrane/internal/certs/certstest"
)

// faultyCA is p behind something that spoils what it says.
type faultyCA struct {
	url    string
	roots  []byte
	orders atomic.Int32 // that were asked for
	sound  atomic.Bool
}

// startFaultyCA lets spoil answer requests, or change answers of p, while the CA is not sound.
func startFaultyCA(t *testing.T, p *certstest.Pebble, spoil misbehavior) *faultyCA {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.Roots)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}}
	quiet := log.New(io.Discard, "", 0)
	ca := new(faultyCA)
	proxy := &httputil.ReverseProxy{
		Transport: transport, ErrorLog: quiet,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "https", p.Addr, r.In.Host
		},
		ModifyResponse: func(r *http.Response) error {
			if spoil.change == nil || ca.sound.Load() {
				return nil
			}
			return spoil.change(r)
		},
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/order-plz" {
			ca.orders.Add(1)
		}
		if spoil.answer == nil || ca.sound.Load() || !spoil.answer(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	t.Cleanup(func() {
		srv.Close()
		transport.CloseIdleConnections()
	})
	ca.url, ca.roots = srv.URL+"/dir", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	return ca
}

// misbehavior either answers a request or changes an answer.
type misbehavior struct {
	answer func(http.ResponseWriter, *http.Request) bool
	change func(*http.Response) error
}

// onOrder answers new orders by a problem.
func onOrder(status int, detail string) misbehavior {
	return misbehavior{answer: func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/order-plz" {
			return false
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "10800")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"`+detail+`"}`)
		return true
	}}
}

// foreignChain puts another CA's certificate in the place of the intermediate.
func foreignChain(other *certs.Internal) misbehavior {
	return misbehavior{change: func(r *http.Response) error {
		if r.Header.Get("Content-Type") != "application/pem-certificate-chain; charset=utf-8" {
			return nil
		}
		chain, err := io.ReadAll(r.Body)
		leaf, _ := pem.Decode(chain)
		if err != nil || leaf == nil {
			return errors.Join(err, errors.New("no chain"))
		}
		chain = append(pem.EncodeToMemory(leaf), other.RootPEM()...)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(chain)), int64(len(chain))
		r.Header.Del("Content-Length")
		return nil
	}}
}

// neverDecides leaves all validations pending.
func neverDecides() misbehavior {
	return misbehavior{change: func(r *http.Response) error {
		if !strings.HasPrefix(r.Request.URL.Path, "/authZ/") {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		body = regexp.MustCompile(`"status": "(in)?valid"`).ReplaceAll(body, []byte(`"status": "pending"`))
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Del("Content-Length")
		r.Header.Set("Retry-After", "1")
		return nil
	}}
}

// TestACMEFaultyCA wants the next CA to take over, and a CA that is alone to be left in
// peace, at both edges.
func TestACMEFaultyCA(t *testing.T) {
	p := startPebble(t)
	limit := time.Now().Add(3 * time.Hour).UTC()
	for name, tt := range map[string]struct {
		how  misbehavior
		want string        // in the words of the failure
		next time.Duration // until the next try

		timeout time.Duration // of an order; the default lets a busy machine come to an end
	}{
		"500":     {onOrder(500, "our database is down"), "our database is down", 30 * time.Second, 0},
		"429":     {onOrder(429, "too many certificates already issued"), "too many certificates", 2 * time.Minute, 0},
		"limited": {onOrder(429, "too many new orders recently, retry after "+limit.Format(time.DateTime)+" UTC: see the docs"), "too many new orders", 3 * time.Hour, 0},
		"chain":   {foreignChain(newInternal(t, certstest.Permit)), "its chain does not verify", 2 * time.Minute, 0},
		"hangs": {misbehavior{answer: func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		}}, "no certificate within", 30 * time.Second, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			faulty := startFaultyCA(t, p, tt.how)
			e := startEdge(t, p, t.TempDir(), nil, acme.Options{CAs: []string{faulty.url, p.URL}, Roots: faulty.roots, Timeout: 2 * tt.timeout})
			validateAt(p, e)
			host := name + ".faulty-ca.example"
			cert := e.mustGet(t, p, host)
			if s := e.acme.Status(t.Context(), host); s.CA != p.URL || s.Problem != "" || !s.Expires.Equal(cert.NotAfter) {
				t.Errorf("the second CA did not take over: %+v", s)
			}
			e.stop()

			dir, clock := t.TempDir(), new(clock)
			alone := acme.Options{CAs: []string{faulty.url}, Roots: faulty.roots, Timeout: tt.timeout}
			e = startEdge(t, p, dir, clock, alone)
			other := startEdge(t, p, dir, clock, alone)
			validateAt(p, e)
			if _, err := e.get(t, p, host); err == nil {
				t.Fatal("a certificate from a faulty CA")
			}
			orders := faulty.orders.Load()
			for range 5 {
				for _, e := range []*edge{e, other} {
					if _, err := e.get(t, p, host); err == nil {
						t.Fatal("a certificate from a faulty CA")
					}
				}
			}
			s := other.acme.Status(t.Context(), host)
			wait := s.NextTry.Sub(clock.now())
			if n := faulty.orders.Load(); n != orders || !strings.Contains(s.Problem, tt.want) || wait > tt.next || wait < tt.next-time.Minute {
				t.Errorf("%d orders more, %+v in %s, want %s and %q", n-orders, s, wait, tt.next, tt.want)
			}
			faulty.sound.Store(true)
			clock.advance(tt.next + 2*time.Minute)
			if name != "hangs" { // an order of 3 s is too much to ask of a busy machine
				other.mustGet(t, p, host)
			}
		})
	}
}

// TestACMESlowHostHoldsUpNobody: an order that the CA does not come to an end with is the
// host's trouble, and the CA goes on for others.
func TestACMESlowHostHoldsUpNobody(t *testing.T) {
	p := startPebble(t)
	faulty := startFaultyCA(t, p, neverDecides())
	e := startEdge(t, p, t.TempDir(), nil, acme.Options{CAs: []string{faulty.url}, Roots: faulty.roots, Timeout: 6 * time.Second})
	validateAt(p, e)
	if _, err := e.get(t, p, "slow.slow-host.example"); err == nil {
		t.Error("a certificate without a validation")
	}
	if s := e.acme.Status(t.Context(), "slow.slow-host.example"); !strings.Contains(s.Problem, "does not come to an end") || time.Until(s.NextTry) < time.Minute {
		t.Errorf("%+v", s)
	}
	faulty.sound.Store(true)
	e.mustGet(t, p, "other.slow-host.example")
}

// TestACMEOneDomainDoesNotTakeAllWorkers: names of one domain whose orders take long leave
// room for others'.
func TestACMEOneDomainDoesNotTakeAllWorkers(t *testing.T) {
	p := startPebble(t)
	faulty := startFaultyCA(t, p, neverDecides())
	e := startEdge(t, p, t.TempDir(), nil, acme.Options{CAs: []string{faulty.url}, Roots: faulty.roots, Timeout: 8 * time.Second, Workers: 4})
	validateAt(p, e)
	ask := func(host string) error {
		_, err := e.acme.TLSConfig().GetCertificate(&tls.ClientHelloInfo{ServerName: host})
		return err
	}
	var slow sync.WaitGroup
	defer slow.Wait()
	for _, host := range []string{"a.many-names.example", "b.many-names.example"} {
		slow.Go(func() { _ = ask(host) })
	}
	certstest.Eventually(t, "both are ordered", func() bool { return p.Orders(t) == 2 })
	if err := ask("c.many-names.example"); err == nil || !strings.Contains(err.Error(), "2 names under many-names.example") {
		t.Errorf("the third of two: %v", err)
	}
	faulty.sound.Store(true)
	if err := ask("other-names.example"); err != nil {
		t.Error(err)
	}
}

// TestACMEUselessRenewal keeps what was good when its renewal is not, at all edges.
func TestACMEUselessRenewal(t *testing.T) {
	p := startPebble(t)
	faulty := startFaultyCA(t, p, foreignChain(newInternal(t, certstest.Permit)))
	faulty.sound.Store(true)
	dir, clock := t.TempDir(), new(clock)
	o := acme.Options{CAs: []string{faulty.url}, Roots: faulty.roots}
	e := startEdge(t, p, dir, clock, o)
	validateAt(p, e)
	const host = "alice.useless-renewal.example"
	first := e.mustGet(t, p, host)
	faulty.sound.Store(false)
	clock.advance(80 * day)
	certstest.Eventually(t, "a renewal fails", func() bool { return e.acme.Status(t.Context(), host).Problem != "" })
	for _, e := range []*edge{e, startEdge(t, p, dir, clock, o)} {
		if cert := e.mustGet(t, p, host); cert.SerialNumber.Cmp(first.SerialNumber) != 0 {
			t.Error("another certificate")
		}
	}
	if n := p.Orders(t); n != 2 {
		t.Errorf("%d orders", n)
	}
}

func TestACMEAccountBinding(t *testing.T) {
	t.Parallel()
	key := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))
	p := certstest.StartPebble(t, certstest.PebbleOptions{EAB: map[string]string{"kid-1": key}})
	for name, tt := range map[string]struct {
		eab  acme.EAB
		want bool
	}{
		"none":        {acme.EAB{}, false},
		"wrong-key":   {acme.EAB{KeyID: "kid-1", Key: key[:40]}, false},
		"unknown-key": {acme.EAB{KeyID: "kid-2", Key: key}, false},
		"good":        {acme.EAB{KeyID: "kid-1", Key: key}, true},
	} {
		o := acme.Options{}
		if tt.eab.KeyID != "" {
			tt.eab.CA = p.URL
			o.EAB = []acme.EAB{tt.eab}
		}
		e := startEdge(t, p, t.TempDir(), nil, o)
		validateAt(p, e)
		if _, err := e.get(t, p, name+".binding.example"); (err == nil) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
		e.stop()
	}
}

// TestACMERenewsWhenTheCAWants renews months early, as the CA's renewal information asks for.
func TestACMERenewsWhenTheCAWants(t *testing.T) {
	p := startPebble(t)
	clock := new(clock)
	e := startEdge(t, p, t.TempDir(), clock, acme.Options{})
	validateAt(p, e)
	const host = "alice.renewal-information.example"
	first := e.mustGet(t, p, host)
	from := time.Now().Add(10 * day)
	p.SetRenewal(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: first.Raw}), from, from.Add(time.Hour))
	clock.advance(7 * time.Hour) // the CA said to ask again after six
	certstest.Eventually(t, "the CA is asked again", func() bool {
		at := e.acme.Status(t.Context(), host).Renews
		return !at.Before(from.Truncate(time.Second)) && !at.After(from.Add(time.Hour))
	})
	if cert := e.mustGet(t, p, host); cert.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Error("renewed too early")
	}
	clock.advance(10 * day)
	certstest.Eventually(t, "it is renewed", func() bool {
		return e.mustGet(t, p, host).SerialNumber.Cmp(first.SerialNumber) != 0
	})
}

func TestACMECAAIdentities(t *testing.T) {
	p := startPebble(t)
	a, err := acme.New(acme.Options{CAs: []string{"https://127.0.0.1:1/dir", p.URL}, Storage: newFolder(t, filepath.Join(t.TempDir()), 0),
		Permit: certstest.Permit, Roots: p.Roots})
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.CAAIdentities(t.Context())
	if strings.Join(got, " ") != "pebble.letsencrypt.org" || err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v, %v", got, err)
	}
}
