package acme

import (
	"crypto/tls"
	"time"

	acmez "github.com/mholt/acmez/v3/acme"
)

// Hear and Await are for tests of package acme_test.
var (
	Hear  = hear
	Await = (*Manager).await
)

// SetNow gives m another clock, before it runs.
func SetNow(m *Manager, now func() time.Time) { m.now = now }

// Keep puts a certificate of host into memory.
func Keep(m *Manager, host string, cert *tls.Certificate) {
	m.keep(host, newEntry(cert, nil, acmez.RenewalInfo{}))
}
