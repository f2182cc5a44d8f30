package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/terrane/terrane/internal/certs/storage"
)

// The files of an authority, in its folder.
const (
	caFile   = "ca.pem"   // key and certificate, mode 0600, written once
	rootFile = "root.crt" // the certificate again, for those who shall trust it
)

const (
	rootLifetime = 10 * 365 * 24 * time.Hour
	backdate     = time.Hour // clients' clocks differ
)

// authority is a root certificate and its key.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// openAuthority loads the authority in dir, or makes one. Processes that start
// together agree on one.
func openAuthority(dir string) (*authority, error) {
	path := filepath.Join(dir, caFile)
	a, err := loadAuthority(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeAuthority(dir); err != nil {
			return nil, fmt.Errorf("make a certificate authority in %s: %w", dir, err)
		}
		a, err = loadAuthority(path)
	}
	if err != nil {
		return nil, err
	}
	// It is written only if it differs: an edge must start on a full disk.
	if old, err := os.ReadFile(filepath.Join(dir, rootFile)); err == nil && bytes.Equal(old, a.rootPEM()) { //nolint:gosec // the operator's own folder
		return a, nil
	}
	if err := storage.WriteFile(dir, rootFile, a.rootPEM(), 0o644, os.Rename); err != nil {
		return nil, fmt.Errorf("write the root certificate: %w", err)
	}
	return a, nil
}

func makeAuthority(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: "terrane internal CA " + hex.EncodeToString(newSerial().Bytes()[:4])},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(rootLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	bundle := append(
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...)
	// A link does not replace: another process may have been faster.
	if err := storage.WriteFile(dir, caFile, bundle, 0o600, os.Link); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func loadAuthority(path string) (*authority, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others can read the key: chmod 600 it, or remove it to make a new authority", path)
	}
	data, err := os.ReadFile(path) //nolint:gosec // the operator's own folder
	if err != nil {
		return nil, err
	}
	a, err := parseAuthority(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: restore it, or remove it to make a new authority", path, err)
	}
	return a, nil
}

func parseAuthority(data []byte) (*authority, error) {
	key, rest := pem.Decode(data)
	if key == nil {
		return nil, errors.New("no private key in PEM")
	}
	cert, _ := pem.Decode(rest)
	if cert == nil {
		return nil, errors.New("no certificate in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(key.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the key is no ECDSA key")
	}
	root, err := x509.ParseCertificate(cert.Bytes)
	if err != nil {
		return nil, err
	}
	switch {
	case !signer.PublicKey.Equal(root.PublicKey):
		return nil, errors.New("key and certificate do not belong together")
	case !root.IsCA:
		return nil, errors.New("the certificate is no authority's")
	case time.Now().After(root.NotAfter):
		return nil, fmt.Errorf("the certificate has expired on %s", root.NotAfter.Format(time.DateOnly))
	}
	return &authority{cert: root, key: signer}, nil
}

func (a *authority) rootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func newSerial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// SelfSigned makes a certificate for host that nobody trusts.
func SelfSigned(host string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: newSerial(), DNSNames: []string{host},
		NotBefore: time.Now().Add(-backdate), NotAfter: time.Now().Add(rootLifetime)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
