package tenant

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Host is a domain name in canonical form: lower case, A-labels (RFC 5890), no
// port, no trailing dot. Only ParseHost makes one.
type Host string

// ParseHost reads a Host header, an SNI or a manifest's domain that is already
// in A-labels. A port and one trailing dot are dropped, upper case is folded.
// IP literals, single labels, and what is no host name by RFC 1123 are errors.
func ParseHost(s string) (Host, error) {
	name := s
	if strings.ContainsRune(name, ':') {
		h, _, err := net.SplitHostPort(name)
		if err != nil {
			return "", fmt.Errorf("host %.80q: %w", s, errNotName)
		}
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if isAddress(name) {
		return "", fmt.Errorf("host %q: %w", s, errAddress)
	}
	if len(name) > 253 {
		return "", fmt.Errorf("host of %d bytes: a name has at most 253", len(name))
	}
	labels := 0
	for label := range strings.SplitSeq(name, ".") {
		if !validLabel(label) {
			return "", fmt.Errorf("host %q: %w", s, errNotName)
		}
		labels++
	}
	if labels < 2 {
		return "", fmt.Errorf("host %q: %w", s, errSingleLabel)
	}
	return Host(name), nil
}

var (
	errNotName     = errors.New("not a domain name")
	errAddress     = errors.New("an address, not a domain name")
	errSingleLabel = errors.New("a single label, not a domain name")
)

// isAddress asks netip only when the name may be an address: its error costs an
// allocation, and ParseHost runs for each request.
func isAddress(name string) bool {
	if last := len(name) - 1; last < 0 || name[last] > '9' && !strings.Contains(name, ":") {
		return false
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}

func validLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		c := l[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// Pattern is a Host, or "*." and a Host: any name exactly one label below it.
// Only ParsePattern makes one.
type Pattern string

// ParsePattern reads one entry of a manifest's domains.
func ParsePattern(s string) (Pattern, error) {
	parent, wild := strings.CutPrefix(s, "*.")
	h, err := ParseHost(parent)
	if err != nil {
		return "", err
	}
	if wild {
		return Pattern("*." + string(h)), nil
	}
	return Pattern(h), nil
}

// Matches reports whether h is one of the pattern's names.
func (p Pattern) Matches(h Host) bool {
	parent, wild := strings.CutPrefix(string(p), "*.")
	if !wild {
		return string(p) == string(h)
	}
	_, rest, ok := strings.Cut(string(h), ".")
	return ok && rest == parent
}
