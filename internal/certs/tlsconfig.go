package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"strings"

	"github.com/terrane/terrane/tenant"
)

// Permit says whether a host may have a certificate: an error refuses it. source is the
// address of the visitor who asks for it, invalid if there is none.
type Permit func(ctx context.Context, host tenant.Host, source netip.Addr) error

// ErrNoName is wrapped by the error of an admit for a client that named no host. The client
// gets the alert unrecognized_name.
var ErrNoName = errors.New("the client named no host")

// unrecognizedName is the record of a fatal alert of that kind (RFC 6066), as TLS 1.2 and 1.3
// have it before encryption begins.
const unrecognizedName = "\x15\x03\x03\x00\x02\x02\x70"

// NewTLSConfig returns what all modes have in common: TLS 1.2 and 1.3 with Go's choice
// of suites and groups, HTTP/2 and 1.1, session tickets. admit, if not nil, refuses
// hosts before the key exchange, which is most of a handshake's cost.
func NewTLSConfig(admit func(*tls.ClientHelloInfo) error, get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	c := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: get,
	}
	if admit != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			err := admit(hello)
			if errors.Is(err, ErrNoName) && hello.Conn != nil {
				// crypto/tls sends internal_error for any error of a callback. What comes first counts.
				_, _ = io.WriteString(hello.Conn, unrecognizedName) // err ends the connection anyway
			}
			return nil, err
		}
	}
	return c
}

// ServerName is the name that a client asks for, in lower case and without the trailing
// dot. It need not be a host name.
func ServerName(hello *tls.ClientHelloInfo) string {
	return strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
}

// Source is the visitor's address, invalid in tests that make a hello by hand.
func Source(hello *tls.ClientHelloInfo) netip.Addr {
	if hello.Conn == nil {
		return netip.Addr{}
	}
	from, _ := netip.ParseAddrPort(hello.Conn.RemoteAddr().String())
	return from.Addr()
}
