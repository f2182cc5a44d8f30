package zone

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/terrane/terrane/tenant"
)

// maxAliases bounds how many CNAMEs are followed in one answer.
const maxAliases = 8

// records is one state of the zone, never written to once it is served.
type records struct {
	byName map[string][]dns.RR // canonical name
	above  map[string]bool     // names that only have others below (RFC 4592 empty non-terminals)
}

// Update replaces the records of each name in the map, all at the same moment. A
// record is a type and its data as in a zone file, such as "A 192.0.2.1" or
// `TXT "kbp=/git/alice"`; a number of seconds before it sets its own TTL. No
// records remove the name. After an error nothing has changed.
func (s *Server) Update(changes map[string][]string) error {
	parsed := make(map[string][]dns.RR, len(changes))
	for name, texts := range changes {
		name = dns.CanonicalName(name)
		for _, text := range texts {
			rr, err := s.parse(name, text)
			if err != nil {
				return err
			}
			parsed[name] = append(parsed[name], rr)
		}
		if len(texts) == 0 {
			parsed[name] = nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := &records{byName: make(map[string][]dns.RR), above: make(map[string]bool)}
	if now := s.current.Load(); now != nil {
		next.byName = maps.Clone(now.byName)
	}
	for name, rrs := range parsed {
		if next.byName[name] = rrs; rrs == nil {
			delete(next.byName, name)
		}
	}
	for name := range next.byName {
		for off, end := dns.NextLabel(name, 0); !end; off, end = dns.NextLabel(name, off) {
			next.above[name[off:]] = true
		}
	}
	s.current.Store(next)
	return nil
}

func (s *Server) parse(name, text string) (dns.RR, error) {
	ttl := ""
	if text == "" || text[0] < '0' || text[0] > '9' {
		ttl = fmt.Sprint(int(s.ttl/time.Second), " ")
	}
	rr, err := dns.NewRR(name + " " + ttl + text)
	if err != nil {
		return nil, fmt.Errorf("zone: record %q of %s: %w", text, name, err)
	}
	if rr == nil {
		return nil, fmt.Errorf("zone: record %q of %s: empty", text, name)
	}
	return rr, nil
}

// Set replaces the records of one name: Update for a single one.
func (s *Server) Set(name string, texts ...string) error {
	return s.Update(map[string][]string{name: texts})
}

// SetTenant gives host its addresses and, at label, the TXT record value, such
// as "kbp=/git/alice".
func (s *Server) SetTenant(host tenant.Host, addresses []netip.Addr, label, value string) error {
	var at []string
	for _, ip := range addresses {
		kind := "A "
		if ip.Is6() {
			kind = "AAAA "
		}
		at = append(at, kind+ip.String())
	}
	return s.Update(map[string][]string{string(host): at, label + "." + string(host): {"TXT " + Quote(value)}})
}

// RemoveTenant undoes SetTenant.
func (s *Server) RemoveTenant(host tenant.Host, label string) error {
	return s.Update(map[string][]string{string(host): nil, label + "." + string(host): nil})
}

// Quote writes s as the data of a TXT record, in as many strings as it needs.
func Quote(s string) string {
	const longest = 255
	var b strings.Builder
	for first := true; first || s != ""; first = false {
		part := s[:min(len(s), longest)]
		s = s[len(part):]
		b.WriteString(` "`)
		for i := range len(part) {
			fmt.Fprintf(&b, `\%03d`, part[i])
		}
		b.WriteString(`"`)
	}
	return b.String()[1:]
}

// ServeDNS answers one query; it implements dns.Handler.
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := s.answer(q)
	if w.LocalAddr().Network() == "udp" {
		size := dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		m.Truncate(size)
	}
	_ = w.WriteMsg(m) // the peer is gone, which it will notice
}

func (s *Server) answer(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	m.Authoritative, m.RecursionAvailable = true, true
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(dns.DefaultMsgSize, false)
	}
	if len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery || q.Question[0].Qclass != dns.ClassINET {
		return m.SetRcode(q, dns.RcodeRefused)
	}
	now, name, qtype := s.current.Load(), dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype
	for range maxAliases {
		rrs, found := now.byName[name]
		alias := ""
		for _, rr := range rrs {
			if rr.Header().Rrtype == qtype || rr.Header().Rrtype == dns.TypeCNAME {
				m.Answer = append(m.Answer, rr)
			}
			if c, ok := rr.(*dns.CNAME); ok && qtype != dns.TypeCNAME {
				alias = dns.CanonicalName(c.Target)
			}
		}
		switch {
		case alias != "":
			name = alias
			continue
		case !found && !now.above[name]:
			m.Rcode = dns.RcodeNameError
		}
		break
	}
	if len(m.Answer) == 0 || m.Rcode != dns.RcodeSuccess {
		m.Ns = []dns.RR{s.soa()}
	}
	return m
}

// soa makes absence last as long as a record does.
func (s *Server) soa() *dns.SOA {
	ttl := uint32(s.ttl / time.Second)
	return &dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns: "ns.invalid.", Mbox: "nobody.invalid.", Serial: 1, Refresh: ttl, Retry: ttl, Expire: ttl, Minttl: ttl}
}
