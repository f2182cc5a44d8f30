package certs

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// Seal and ErrSealed are what tests of package certs_test look at.
var (
	Seal      = seal
	ErrSealed = errSealed
)

// Crash makes f forget its locks, without releasing them.
func Crash(f *Folder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.held {
		l.cancel()
		<-l.done
	}
}

// SetNow gives a another clock, before it runs.
func SetNow(a *ACME, now func() time.Time) { a.now = now }

// Keep puts a certificate of host into memory, one that nothing can be done with.
func Keep(a *ACME, host string) {
	leaf := &x509.Certificate{NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	a.keep(host, newEntry(&tls.Certificate{Leaf: leaf}, nil, acme.RenewalInfo{}))
}
