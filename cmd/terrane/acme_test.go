package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/admin"
	"github.com/terrane/terrane/internal/certs/certstest"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
	"github.com/terrane/terrane/internal/tomlfile"
)

// startACME runs an edge that gets its certificates from Pebble, which asks the same
// DNS as the edge does.
func startACME(t testing.TB, change func(*config.Config)) (*edgetest.Edge, *certstest.Pebble) {
	t.Helper()
	var p *certstest.Pebble
	e := edgetest.Start(t, func(c *config.Config) {
		p = certstest.StartPebble(t, certstest.PebbleOptions{DNS: c.DNS.Resolvers[0].String()})
		roots := filepath.Join(t.TempDir(), "roots.pem")
		if err := os.WriteFile(roots, p.Roots, 0o600); err != nil {
			t.Fatal(err)
		}
		c.TLS = config.TLS{Mode: "acme", CA: []string{p.URL}, Email: "ops@terrane.example", Roots: roots, Storage: t.TempDir()}
		if change != nil {
			change(c)
		}
	})
	e.Roots = p.Issuer
	plain, secure := e.Server.Addrs()
	p.HTTP.To(plain[0].String())
	p.TLS.To(secure[0].String())
	return e, p
}

// TestACME is a tenant's way from two DNS records to HTTPS, with a real CA.
func TestACME(t *testing.T) {
	e, p := startACME(t, func(c *config.Config) {
		c.HTTPS.HSTS = tomlfile.Duration(time.Hour)
		c.DNS.MinTTL = tomlfile.Duration(time.Second)
	})
	const host = "alice.example"
	e.Deploy("alice", map[string][]byte{"index.html": []byte("alice")})
	e.Domain(host) // the A record alone
	if status, body := e.Request("", host, "/.well-known/terrane"); !strings.Contains(body, "there is no TXT record") {
		t.Errorf("over HTTP: %d %s", status, body)
	}
	if _, body := e.Request(host, host, "/"); !strings.Contains(body, "tls: ") {
		t.Errorf("without a TXT record: %s", body)
	}
	if n := p.Orders(t); n != 0 {
		t.Fatalf("%d orders for a domain that is not verified", n)
	}
	e.Domain(host, "terrane=/sites/alice/")
	e.Await("HTTPS", func() bool { status, _ := e.Request(host, host, "/"); return status == http.StatusOK })
	e.Want(host, "/", http.StatusOK, "alice")
	if n := p.Orders(t); n != 1 {
		t.Errorf("%d orders", n)
	}

	_, secure := e.Server.Addrs()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.Issuer)
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: host}}).DialContext(t.Context(), "tcp", secure[0].String())
	if err != nil {
		t.Fatal(err)
	}
	if s := conn.(*tls.Conn).ConnectionState(); s.Version != tls.VersionTLS13 || s.CurveID != tls.X25519MLKEM768 {
		t.Errorf("TLS %x with %s", s.Version, s.CurveID)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if status, _ := e.Request(host, "bob.example", "/"); status != http.StatusMisdirectedRequest {
		t.Errorf("SNI and Host that differ: %d", status)
	}

	// The TXT record goes: the certificate stays, service ends.
	e.Domain(host)
	if err := e.DNS.Set("_terrane." + host); err != nil {
		t.Fatal(err)
	}
	e.Await("the end of service", func() bool { status, _ := e.Request(host, host, "/"); return status == http.StatusNotFound })
	e.Want(host, "/", http.StatusNotFound, "there is no TXT record")
}

// TestDoctorOfCertificates is what doctor says of orders, and of CAA records.
func TestDoctorOfCertificates(t *testing.T) {
	e, p := startACME(t, nil)
	at := "--admin=http://" + e.Admin.Addr().String()
	e.Deploy("alice", map[string][]byte{"index.html": nil})
	doctor := func(host string, healthy bool, want ...string) {
		t.Helper()
		out, err := terrane(t, "doctor", host, at)
		if (err == nil) != healthy {
			t.Errorf("doctor %s: %v\n%s", host, err, out)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("doctor %s: nothing of %q in\n%s", host, w, out)
			}
		}
	}
	e.Domain("good.example", "terrane=/sites/alice/")
	if err := e.DNS.Set("good.example", "A 127.0.0.1", `CAA 0 issue "pebble.letsencrypt.org"`); err != nil {
		t.Fatal(err)
	}
	doctor("good.example", true, "certificate  by CN=Pebble", "its renewal is due at")
	if err := e.DNS.Set("good.example", "A 127.0.0.1", `CAA 0 issue "other.example"`); err != nil {
		t.Fatal(err)
	}
	doctor("good.example", true, "let none of this platform's CAs issue", `add CAA 0 issue "pebble.letsencrypt.org" there`)

	// The CA cannot reach the domain.
	p.HTTP.Shut()
	p.TLS.Shut()
	e.Domain("bad.example", "terrane=/sites/alice/")
	doctor("bad.example", false, "urn:ietf:params:acme:error:", "must reach this platform at port 80 or 443", "the next try is after")
	out, _ := terrane(t, "doctor", "bad.example", "--json", at)
	var x admin.Examination
	if err := json.Unmarshal([]byte(out), &x); err != nil || x.Healthy || x.Certificate.ACME.NextTry.IsZero() || x.Certificate.ACME.Problem == "" {
		t.Errorf("%v\n%s", err, out)
	}

	// The CA is away: what there is stays, and CAA is not judged.
	p.API.Shut()
	doctor("good.example", true, "not compared:", "certificate  by CN=Pebble")
}

// BenchmarkOnboarding measures from the moment the TXT record is there to the first 200
// over HTTPS, with Pebble, on loopback: dnsverify, order, validation, issuance, answer. An
// operation is one tenant. "polled" has a visitor knock from before, whose denial is remembered.
func BenchmarkOnboarding(b *testing.B) {
	for _, tt := range []struct {
		name   string
		polled bool
	}{{"first-visit", false}, {"polled", true}} {
		b.Run(tt.name, func(b *testing.B) {
			e, _ := startACME(b, func(c *config.Config) { c.DNS.MinTTL = 0 })
			e.Deploy("alice", map[string][]byte{"index.html": nil})
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				host := fmt.Sprintf("a%d.onboarding%d.example", i, i) // a registrable domain each, or the quota ends it
				e.Domain(host)
				if tt.polled {
					e.Request(host, host, "/")
				}
				start := time.Now()
				e.Domain(host, "terrane=/sites/alice/")
				e.Await("HTTPS", func() bool { status, _ := e.Request(host, host, "/"); return status == http.StatusOK })
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "median-ms")
			b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "worst-ms")
		})
	}
}
