package sync_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
)

// TestGitTLS: an origin whose certificate has expired, or is another's, is not believed.
func TestGitTLS(t *testing.T) {
	for want, change := range map[string]func(*x509.Certificate){
		"expired":       func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) },
		"not yet valid": func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) },
		"not 127.0.0.1": func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)} },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			p := newGitPlace(t)
			good, ca := certificate(t, func(*x509.Certificate) {})
			bad, badCA := certificate(t, change)
			var cert atomic.Pointer[tls.Certificate]
			cert.Store(good)
			srv := httptest.NewUnstartedServer(p.handler(t))
			srv.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return &tls.Config{Certificates: []tls.Certificate{*cert.Load()}}, nil
			}}
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			srv.Config.SetKeepAlivesEnabled(false)
			srv.StartTLS()
			t.Cleanup(srv.Close)
			p.url = srv.URL + "/origin.git"
			store := p.Store()
			store.Git.CA = writeFile(t, ca+badCA)
			p.Deploy(t, storetest.Tree{"alice/i.html": "1"})
			e := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{store}})
			e.AwaitContent(t, alice, "i.html", "1")
			cert.Store(bad)
			p.Deploy(t, storetest.Tree{"alice/i.html": "2"})
			e.Await(t, want, func() bool { return strings.Contains(e.Status().Stores[0].Error, want) })
			e.AwaitLook(t, 2)
			if e.Content(alice, "i.html") != "1" {
				t.Error("what such an origin says went live")
			}
			cert.Store(good)
			e.Nudge("")
			e.AwaitContent(t, alice, "i.html", "2")
		})
	}
}

// certificate makes a certificate for the tests' servers, signed by itself.
func certificate(t *testing.T, change func(*x509.Certificate)) (cert *tls.Certificate, pemText string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(2 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	change(c)
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	check(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
