package fetch

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/idna"

	"github.com/terrane/terrane/hostcalls"
)

// Refusal is a request that the policy forbids. Its text is for the guest's author.
type Refusal struct {
	Reason  string
	address bool // that was dialed, and not the host's name
}

// Error is the reason.
func (r *Refusal) Error() string { return r.Reason }

// Fault implements hostcalls.FetchError.
func (r *Refusal) Fault() hostcalls.Fault {
	if r.address {
		return hostcalls.FaultAddress
	}
	return hostcalls.FaultDenied
}

func refuse(format string, a ...any) error { return &Refusal{Reason: fmt.Sprintf(format, a...)} }

func refuseAddress(reason string) error { return &Refusal{reason, true} }

// policy is whom requests may be sent to, by name.
type policy struct {
	allow, deny []string // host patterns of the operator
}

// check judges the hosts of a request to u: that of the URL, and the one that the Host
// header names, if it names another. allow is the tenant's own bound; nil: none.
func (p *policy) check(u *url.URL, host string, allow []string) error {
	if host != "" && host != u.Host {
		// Parsed: "a.example:.b.example" is a.example to many servers.
		named, err := url.Parse(u.Scheme + "://" + host)
		if err != nil || named.Host != host {
			return refuse("%.100q is not a host", host)
		}
		if err := p.check(named, "", allow); err != nil {
			return err
		}
	}
	if !allowed(p.allow, u) || allowed(p.deny, u) {
		return refuse("the host %.100q is not among those that this edge lets guests fetch from", u.Host)
	}
	if allow != nil && !allowed(allow, u) {
		return refuse("the host %.100q is not in fetch.allow of terrane.toml", u.Host)
	}
	return nil
}

// parseDeny divides the operator's list of what guests may not fetch from into networks,
// which are compared with the addresses that are dialed, and host patterns. An address
// is a network of one.
func parseDeny(list []string) (networks []netip.Prefix, hosts []string, err error) {
	var errs []error
	for _, entry := range list {
		addr, addrErr := netip.ParseAddr(strings.Trim(entry, "[]"))
		network, netErr := netip.ParsePrefix(entry)
		switch {
		case isAddressWithPort(entry):
			errs = append(errs, fmt.Errorf("%q: an address is denied with all its ports: leave the port out", entry))
		case addrErr == nil:
			addr = addr.Unmap().WithZone("")
			networks = append(networks, netip.PrefixFrom(addr, addr.BitLen()))
		case netErr == nil && network.Masked() != network:
			errs = append(errs, fmt.Errorf("network %q: has bits behind its length: want %q", entry, network.Masked()))
		case netErr == nil && network.Addr().Is4In6():
			errs = append(errs, fmt.Errorf("network %q: write it as a network of IPv4", entry))
		case netErr == nil:
			networks = append(networks, network)
		case entry == "*" || checkPattern(entry) != nil:
			errs = append(errs, fmt.Errorf("%q: want a network (192.0.2.0/24), an address, example.com, *.example.com, or a host with a port", entry))
		default:
			hosts = append(hosts, entry)
		}
	}
	return networks, hosts, errors.Join(errs...)
}

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
	port := canonicalPort(u.Port())
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return slices.ContainsFunc(patterns, func(p string) bool {
		if p == "*" {
			return true
		}
		name, wantPort := splitPort(p)
		if wantPort != "" && canonicalPort(wantPort) != port {
			return false
		}
		if parent, ok := strings.CutPrefix(name, "*."); ok {
			return strings.HasSuffix(host, "."+canonicalHost(parent))
		}
		return host == canonicalHost(name)
	})
}

// canonicalHost is a name or an address in the one spelling in which it is dialed: net/http
// maps names beyond ASCII, so that "ｅvil.example" is evil.example.
func canonicalHost(h string) string {
	if ip, err := netip.ParseAddr(h); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	if strings.ContainsFunc(h, func(c rune) bool { return c > unicode.MaxASCII }) {
		if ascii, err := idna.Lookup.ToASCII(h); err == nil {
			h = ascii
		}
	}
	return strings.ToLower(strings.TrimSuffix(h, "."))
}

// canonicalPort is a port without leading zeros, which are dialed as if they were not there.
func canonicalPort(p string) string { return strings.TrimLeft(p, "0") }

func isAddressWithPort(s string) bool {
	host, port := splitPort(s)
	_, err := netip.ParseAddr(host)
	return err == nil && port != ""
}

// splitPort cuts a port from a host; an IPv6 address stands in brackets before one.
func splitPort(s string) (host, port string) {
	if h, p, err := net.SplitHostPort(s); err == nil {
		return h, p
	}
	return strings.Trim(s, "[]"), ""
}
