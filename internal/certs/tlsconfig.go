package certs

import "crypto/tls"

// newTLSConfig is what all modes have in common: TLS 1.2 and 1.3 with Go's choice
// of suites and groups, HTTP/2 and 1.1, session tickets.
func newTLSConfig(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: get,
	}
}
