package fetch

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Refusal is a request that the policy forbids. Its text is for the guest's author.
type Refusal struct{ Reason string }

// Error is the reason.
func (r *Refusal) Error() string { return r.Reason }

func refuse(format string, a ...any) error { return &Refusal{fmt.Sprintf(format, a...)} }

// checkPattern returns an error unless p is "*", a host, "*." before a host, or
// one of the last two with a port.
func checkPattern(p string) error {
	host, port := splitPort(p)
	name := strings.TrimPrefix(host, "*.")
	if p != "*" && (name == "" || strings.ContainsAny(name, "*/?@[] ") || strings.Trim(port, "0123456789") != "") {
		return fmt.Errorf("pattern %q: want *, example.com, *.example.com or one with a port", p)
	}
	return nil
}

// allowed reports whether one of the patterns matches the URL's host.
func allowed(patterns []string, u *url.URL) bool {
	host := canonicalHost(u.Hostname())
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return slices.ContainsFunc(patterns, func(p string) bool {
		if p == "*" {
			return true
		}
		name, wantPort := splitPort(p)
		if wantPort != "" && wantPort != port {
			return false
		}
		name = canonicalHost(name)
		if parent, ok := strings.CutPrefix(name, "*."); ok {
			return strings.HasSuffix(host, "."+parent)
		}
		return host == name
	})
}

func canonicalHost(h string) string { return strings.ToLower(strings.TrimSuffix(h, ".")) }

// splitPort cuts a port from a host; an IPv6 address stands in brackets before one.
func splitPort(s string) (host, port string) {
	if h, p, err := net.SplitHostPort(s); err == nil {
		return h, p
	}
	return strings.Trim(s, "[]"), ""
}

// addresses judges what may be dialed.
type addresses struct {
	own     []netip.Addr
	private []netip.Prefix
}

// newMetadata judges as a lab does: link-local addresses and the others at which clouds
// hand a machine its credentials are for no guest, wherever it runs.
func newMetadata() addresses {
	return addresses{private: prefixes("169.254.0.0/16", "fe80::/10", "100.100.100.200/32", "168.63.129.16/32",
		"fd00:ec2::254/128", "fd20:ce::254/128")}
}

func newAddresses(own []netip.Addr) addresses {
	var a addresses
	for _, ip := range own {
		a.own = append(a.own, ip.Unmap())
	}
	a.private = prefixes(
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
		"168.63.129.16/32", // a cloud's metadata at a public address
		// Of IPv6 only global unicast, and of that nothing which leads to IPv4.
		"::/3", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "4000::/2", "8000::/1",
	)
	return a
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

// check returns a Refusal unless ip is a public address that is not ours.
func (a addresses) check(ip netip.Addr) error {
	ip = ip.Unmap().WithZone("")
	if slices.Contains(a.own, ip) {
		return refuse("the host is at an address of this edge, which guests may not fetch from")
	}
	if slices.ContainsFunc(a.private, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return refuse("the host is at a private or reserved address, which guests may not fetch from")
	}
	return nil
}
