package dnsverify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	maxAliases     = 8
	maxTTL         = time.Hour
	errManyAliases = "is the start of more than 8 CNAMEs"
)

// answer is what DNS said of one name and type.
type answer struct {
	name    string // as asked, without the trailing dot
	qtype   uint16
	from    netip.AddrPort
	aliases []string // where CNAMEs led, in order
	addrs   []netip.Addr
	texts   []string
	caas    []*dns.CAA
	// ttl is the shortest of the records, or how long their absence holds.
	ttl       time.Duration
	authentic bool   // the resolver validated all of it by DNSSEC
	broken    string // what is wrong with the records themselves: an answer, not a failure
	err       error  // no answer
}

// none reports that DNS answered and there is no record.
func (a *answer) none() bool {
	return a.err == nil && a.broken == "" && len(a.addrs) == 0 && len(a.texts) == 0
}

// end is the name that holds the records.
func (a *answer) end() string {
	if n := len(a.aliases); n > 0 {
		return a.aliases[n-1]
	}
	return a.name
}

// take adds what m says of the name *at, moves *at along its CNAMEs, and reports
// whether the answer is complete.
func (a *answer) take(m *dns.Msg, at *string) (done bool) {
	a.authentic = a.authentic && m.AuthenticatedData
	start := *at
	for {
		target := a.collect(m, *at)
		if target == "" {
			break
		}
		name := strings.TrimSuffix(target, ".")
		if slices.Contains(a.aliases, name) || target == dns.CanonicalName(a.name) {
			a.broken = "is the start of a loop of CNAMEs"
			return true
		}
		if a.aliases = append(a.aliases, name); len(a.aliases) > maxAliases {
			a.broken = errManyAliases
			return true
		}
		*at = target
	}
	if len(a.addrs) > 0 || len(a.texts) > 0 {
		return true
	}
	negative, said := absence(m, *at)
	if m.Rcode == dns.RcodeNameError || said || *at == start {
		a.ttl = min(a.ttl, negative)
		return true
	}
	return false
}

// collect takes the records of name, and returns the target of its CNAME if it has one.
func (a *answer) collect(m *dns.Msg, name string) (target string) {
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Class != dns.ClassINET || dns.CanonicalName(h.Name) != name {
			continue
		}
		switch rr := rr.(type) {
		case *dns.CNAME:
			target = dns.CanonicalName(rr.Target)
		case *dns.A:
			if ip, ok := netip.AddrFromSlice(rr.A.To4()); ok && a.qtype == dns.TypeA {
				a.addrs = append(a.addrs, ip)
			}
		case *dns.AAAA:
			if ip, ok := netip.AddrFromSlice(rr.AAAA.To16()); ok && a.qtype == dns.TypeAAAA {
				a.addrs = append(a.addrs, ip)
			}
		case *dns.TXT:
			if a.qtype == dns.TypeTXT {
				a.texts = append(a.texts, text(rr))
			}
		case *dns.CAA:
			if a.qtype == dns.TypeCAA {
				a.texts = append(a.texts, fmt.Sprintf("%d %s %q", rr.Flag, rr.Tag, rr.Value))
				a.caas = append(a.caas, rr)
			}
		default:
			continue
		}
		a.ttl = min(a.ttl, time.Duration(h.Ttl)*time.Second)
	}
	return target
}

// absence is how long the absence of name holds (RFC 2308, 5), and whether m
// says that it is absent; without a word, zero.
func absence(m *dns.Msg, name string) (time.Duration, bool) {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, name) {
			return time.Duration(min(soa.Minttl, soa.Hdr.Ttl)) * time.Second, true
		}
	}
	return 0, false
}

// text joins the strings of a TXT record and undoes the escapes of the master
// file format, in which package dns keeps them.
func text(rr *dns.TXT) string {
	var b strings.Builder
	for _, s := range rr.Txt {
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] != '\\' || i+1 == len(s):
				b.WriteByte(s[i])
			case i+3 < len(s) && digits(s[i+1:i+4]):
				b.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + s[i+3] - '0')
				i += 3
			default:
				i++
				b.WriteByte(s[i])
			}
		}
	}
	return b.String()
}

func digits(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}
