package dnsverify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/miekg/dns"
)

// maxQuery bounds a raw query in bytes: one question and EDNS need fewer.
const maxQuery = 512

// unanswered is why guests have no answer. Its text is for them, and tells nothing of
// the resolvers; what it wraps does.
type unanswered struct{ cause error }

func (unanswered) Error() string   { return "no recursive resolver answered" }
func (u unanswered) Unwrap() error { return u.cause }

// LookupIP returns the addresses of name, IPv6 or else IPv4, in the order of the
// answer. Errors are of type *net.DNSError: IsNotFound when there is none,
// IsTimeout or IsTemporary when no resolver answered. It resolves whatever the
// resolvers do, private names included: what may be connected to is the caller's
// to decide. As those of Query, the errors' texts tell nothing of the resolvers.
func (c *Client) LookupIP(ctx context.Context, name string, ipv6 bool) ([]netip.Addr, error) {
	qtype := dns.TypeA
	if ipv6 {
		qtype = dns.TypeAAAA
	}
	a := c.lookup(ctx, dns.Fqdn(name), qtype)
	if len(a.addrs) > 0 && a.broken == "" {
		return a.addrs, nil
	}
	e := &net.DNSError{Err: "no such host", Name: fmt.Sprintf("%.255s", name), IsNotFound: a.err == nil}
	if a.broken != "" {
		e.Err = "name " + a.broken
	}
	if a.err != nil {
		e.Err, e.UnwrapErr, e.IsTemporary = unanswered{}.Error(), a.err, true
		var timeout net.Error // context.DeadlineExceeded is one too
		e.IsTimeout = errors.As(a.err, &timeout) && timeout.Timeout()
	}
	return nil, e
}

// Query forwards one question in wire format (RFC 1035) and returns the answer
// in wire format under the query's id, failures such as SERVFAIL included. The
// query goes upstream under a random id, rebuilt from what it says: one question
// of class IN that is no zone transfer, the flags RD, AD and CD, and EDNS without options. An answer has at
// most 65,535 bytes.
func (c *Client) Query(ctx context.Context, wire []byte) ([]byte, error) {
	q, err := parseQuery(wire)
	if err != nil {
		return nil, fmt.Errorf("dns query: %w", err)
	}
	rep, err := c.exchange(ctx, q)
	var failure *rcodeError
	if errors.As(err, &failure) {
		rep, err = failure.reply, nil
	}
	if err != nil {
		return nil, unanswered{err}
	}
	copy(rep.raw, wire[:2])
	return rep.raw, nil
}

// parseQuery reads a query from a stranger and returns the one to send.
func parseQuery(wire []byte) (*dns.Msg, error) {
	if len(wire) < headerSize || len(wire) > maxQuery {
		return nil, fmt.Errorf("%d bytes, want %d to %d", len(wire), headerSize, maxQuery)
	}
	// Counted before they are parsed: the answer and authority sections must be empty.
	if questions, records := binary.BigEndian.Uint16(wire[4:]), binary.BigEndian.Uint32(wire[6:]); questions != 1 || records != 0 {
		return nil, errors.New("want one question and no records")
	}
	in := new(dns.Msg)
	if err := in.Unpack(wire); err != nil {
		return nil, err
	}
	// Unpack forgives a section that ends too early.
	if len(in.Question) != 1 || in.Response || in.Opcode != dns.OpcodeQuery {
		return nil, errors.New("want one question and no records")
	}
	q := in.Question[0]
	if q.Qclass != dns.ClassINET {
		return nil, fmt.Errorf("class %d, want IN", q.Qclass)
	}
	switch q.Qtype {
	case dns.TypeNone, dns.TypeAXFR, dns.TypeIXFR, dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY, dns.TypeMAILA, dns.TypeMAILB:
		return nil, fmt.Errorf("type %s is not forwarded", dns.Type(q.Qtype))
	}
	out := new(dns.Msg)
	out.SetQuestion(q.Name, q.Qtype)
	out.RecursionDesired, out.AuthenticatedData, out.CheckingDisabled = in.RecursionDesired, in.AuthenticatedData, in.CheckingDisabled
	opt := in.IsEdns0()
	if opt != nil {
		out.SetEdns0(ednsSize, opt.Do())
	}
	if extra := len(in.Extra); extra > 1 || extra == 1 && opt == nil {
		return nil, errors.New("additional records other than EDNS")
	}
	return out, nil
}
