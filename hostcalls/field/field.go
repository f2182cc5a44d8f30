// Package field has the rules for the fields of HTTP headers (RFC 9110 5) that guests set and
// ask for: which names and values are valid, which fields are the host's, and their bounds.
package field

import (
	"net/http"
	"net/textproto"
	"slices"
)

// A request may set MaxBytes of fields, over all its setters; each value counts its name and
// Cost bytes more.
const (
	MaxBytes = 256 << 10
	Cost     = 32
)

// MaxName is the length of the longest name.
const MaxName = 256

// Canonical puts name into the canonical form of net/http, in buf.
func Canonical(buf *[MaxName]byte, name []byte) ([]byte, bool) {
	if len(name) == 0 || len(name) > len(buf) {
		return nil, false
	}
	upper := true
	for i, c := range name {
		if !tokenByte(c) {
			return nil, false
		}
		switch {
		case upper && 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		case !upper && 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		upper = c == '-'
		buf[i] = c
	}
	return buf[:len(name)], true
}

// tokenByte reports whether c is allowed in a token (RFC 9110 5.6.2).
func tokenByte(c byte) bool {
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// Token reports whether b is a token.
func Token(b []byte) bool {
	return len(b) > 0 && !slices.ContainsFunc(b, func(c byte) bool { return !tokenByte(c) })
}

// ValidValue reports whether b may be a header's value (RFC 9110 5.5).
func ValidValue(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f })
}

// HostOwned reports whether the host alone sets the header of that canonical name: it
// frames the message or is about the connection (RFC 9110 7.6.1). Guests copy such
// headers from other messages, so that setting one is no mistake, and does nothing.
func HostOwned[T string | []byte](name T) bool {
	switch string(name) {
	case "Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// Intern is string(name) without an allocation for the names that guests mostly use.
func Intern(name []byte) string {
	switch string(name) {
	case "Content-Type":
		return "Content-Type"
	case "Cache-Control":
		return "Cache-Control"
	case "Location":
		return "Location"
	case "Set-Cookie":
		return "Set-Cookie"
	case "Accept":
		return "Accept"
	case "Authorization":
		return "Authorization"
	case "User-Agent":
		return "User-Agent"
	case "Etag":
		return "Etag"
	case "Access-Control-Allow-Origin":
		return "Access-Control-Allow-Origin"
	}
	return textproto.CanonicalMIMEHeaderKey(string(name)) // interned there, if common
}

// Lookup is h[name], whatever the case of name.
func Lookup(h http.Header, name []byte) []string {
	var buf [MaxName]byte
	key, ok := Canonical(&buf, name)
	if !ok {
		return nil
	}
	return h[string(key)]
}
