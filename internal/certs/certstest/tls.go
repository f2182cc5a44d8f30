package certstest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/tenant"
)

// Permit lets names below "example" have certificates.
func Permit(_ context.Context, host tenant.Host, _ netip.Addr) error {
	if !strings.HasSuffix(string(host), ".example") {
		return errors.New(string(host) + " is not below example")
	}
	return nil
}

// Trust configures a client that trusts a root and asks for host.
func Trust(rootPEM []byte, host string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(rootPEM)
	return &tls.Config{RootCAs: roots, ServerName: host}
}

// Handshake connects to a server of the configuration and returns what it showed.
func Handshake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	c, s := net.Pipe()
	defer func() { _ = c.Close() }()
	done := make(chan error, 1)
	go func() {
		conn := tls.Server(s, server)
		done <- conn.HandshakeContext(t.Context())
		_ = conn.Close()
	}()
	conn := tls.Client(c, client)
	err := conn.HandshakeContext(t.Context())
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	if err == nil {
		_, _ = conn.Read(make([]byte, 1)) // session tickets, and the end
	}
	_ = c.Close()
	if serverErr := <-done; err == nil {
		err = serverErr
	}
	return conn.ConnectionState(), err
}

// WritePair writes a self-signed certificate for names, and its key, to base.crt and
// base.key in dir.
func WritePair(t *testing.T, dir, base string, end time.Time, names ...string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: names, NotAfter: end}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, base+".crt"), filepath.Join(dir, base+".key")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
