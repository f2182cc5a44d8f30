package dnstest

import (
	"github.com/miekg/dns"
)

func (s *Server) serve(next dns.Handler, w dns.ResponseWriter, q *dns.Msg) {
	if len(q.Question) != 1 {
		next.ServeDNS(w, q)
		return
	}
	fault, release := s.note(q.Question[0])
	udp := w.LocalAddr().Network() == "udp"
	m := new(dns.Msg).SetReply(q)
	switch fault {
	case None:
		next.ServeDNS(w, q)
		return
	case Drop:
		return
	case Hold:
		<-release
		next.ServeDNS(w, q)
		return
	case ServFail:
		m.Rcode = dns.RcodeServerFailure
	case Refused:
		m.Rcode = dns.RcodeRefused
	case Bogus:
		m.Rcode = dns.RcodeServerFailure
		m.SetEdns0(dns.DefaultMsgSize, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus}}
	case Truncate, TruncateDrop:
		if !udp {
			if fault == Truncate {
				next.ServeDNS(w, q)
			}
			return
		}
		m.Truncated = true
	case SpoofQuestion, SpoofThenTrue:
		forge(m)
		if _ = w.WriteMsg(m); fault == SpoofThenTrue {
			next.ServeDNS(w, q)
		}
		return
	case WrongID:
		m.Id++
	case Garbage:
		raw := append([]byte{byte(q.Id >> 8), byte(q.Id), 0x80, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0}, 0xc0, 0x0c, 0xff)
		_, _ = w.Write(raw)
		return
	case Referral:
		m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 1}, Ns: "a.invalid."}}
	case AliasOnly, Signed:
		next.ServeDNS(&editor{w, fault}, q)
		return
	}
	_ = w.WriteMsg(m)
}

// forge makes m an answer to another question that claims what an attacker wants.
func forge(m *dns.Msg) {
	m.Question[0].Name = "attacker.invalid."
	if rr, err := dns.NewRR(`attacker.invalid. 3600 TXT "kbp=/git/mallory"`); err == nil {
		m.Answer = []dns.RR{rr}
	}
}

// editor changes an answer on its way out.
type editor struct {
	dns.ResponseWriter
	fault Fault
}

// WriteMsg implements dns.ResponseWriter.
func (e *editor) WriteMsg(m *dns.Msg) error {
	switch e.fault {
	case Signed:
		m.AuthenticatedData = true
	case AliasOnly:
		if len(m.Answer) > 0 && m.Answer[0].Header().Rrtype == dns.TypeCNAME {
			m.Answer, m.Ns, m.Rcode = m.Answer[:1], nil, dns.RcodeSuccess
		}
	}
	return e.ResponseWriter.WriteMsg(m)
}
