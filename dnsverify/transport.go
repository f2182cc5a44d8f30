package dnsverify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	udpBuffer   = 4096
	headerSize  = 12
	flagsByte   = 2
	truncated   = 0x02
	isResponse  = 0x80
	tcpOverhead = 2 // length prefix (RFC 1035, 4.2.2)
)

var (
	errForeign  = errors.New("an answer to another question")
	errReferral = errors.New("a referral instead of an answer: it is not a recursive resolver")
)

// ask sends m under a fresh random id and returns the checked answer. The
// returned reply always names r.
func (r *resolver) ask(ctx context.Context, m *dns.Msg) (reply, error) {
	m.Id = dns.Id()
	rep := reply{from: r}
	query, err := m.Pack()
	if err != nil {
		return rep, fmt.Errorf("dns question %q: %w", m.Question[0].Name, err)
	}
	raw, err := r.send(ctx, "udp", query, func(raw []byte) error {
		if raw[flagsByte]&truncated != 0 {
			return nil // TCP tells whether it is ours
		}
		_, err := checked(m, raw)
		return err
	})
	if err == nil && raw[flagsByte]&truncated != 0 {
		raw, err = r.send(ctx, "tcp", query, nil)
	}
	if err != nil {
		return rep, fmt.Errorf("%s: %w", r.addr, err)
	}
	if rep.msg, err = checked(m, raw); err != nil {
		return rep, fmt.Errorf("%s: %w", r.addr, err)
	}
	rep.raw = raw
	switch {
	case rep.msg.Rcode != dns.RcodeSuccess && rep.msg.Rcode != dns.RcodeNameError:
		return rep, &rcodeError{rep}
	case referral(rep.msg):
		return rep, fmt.Errorf("%s: %w", r.addr, errReferral)
	}
	return rep, nil
}

// silence is the error of a resolver that gave no usable answer in time.
type silence struct {
	network string
	instead error // what it sent, if anything
}

var _ net.Error = silence{}

func (e silence) Error() string {
	if e.instead != nil {
		return fmt.Sprintf("no answer over %s but %s", e.network, e.instead)
	}
	return "no answer over " + e.network
}

// Timeout implements net.Error.
func (silence) Timeout() bool { return true }

// Temporary implements net.Error.
func (silence) Temporary() bool { return true }

// send exchanges one message. Over UDP, datagrams with another id or that wanted
// refuses are skipped, for anybody can send them.
func (r *resolver) send(ctx context.Context, network string, query []byte, wanted func([]byte) error) (raw []byte, err error) {
	var skipped error
	defer func() {
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			err = silence{network, skipped}
		}
	}()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, r.addr.String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "tcp" {
		return sendStream(conn, query)
	}
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	buf := make([]byte, udpBuffer)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		raw := buf[:n]
		if n < headerSize || raw[flagsByte]&isResponse == 0 || [2]byte(raw) != [2]byte(query) {
			continue
		}
		if skipped = wanted(raw); skipped == nil {
			return raw, nil
		}
	}
}

func sendStream(conn io.ReadWriter, query []byte) ([]byte, error) {
	out := binary.BigEndian.AppendUint16(make([]byte, 0, tcpOverhead+len(query)), uint16(len(query)))
	if _, err := conn.Write(append(out, query...)); err != nil {
		return nil, err
	}
	var size [tcpOverhead]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, raw); err != nil {
		return nil, err
	}
	return raw, nil
}

// checked parses raw and makes sure that it answers the question of m. An answer
// that is a failure may leave the question out.
func checked(m *dns.Msg, raw []byte) (*dns.Msg, error) {
	got := new(dns.Msg)
	if err := got.Unpack(raw); err != nil {
		return nil, fmt.Errorf("malformed answer: %w", err)
	}
	if got.Id != m.Id || !got.Response || got.Opcode != m.Opcode {
		return nil, errForeign
	}
	if len(got.Question) == 0 && got.Rcode != dns.RcodeSuccess && got.Rcode != dns.RcodeNameError {
		return got, nil
	}
	want := m.Question[0]
	if len(got.Question) != 1 || got.Question[0].Qtype != want.Qtype || got.Question[0].Qclass != want.Qclass ||
		!strings.EqualFold(got.Question[0].Name, want.Name) {
		return nil, errForeign
	}
	return got, nil
}

// referral reports whether m sends us on to other servers. Taken for "no such
// record", it would deny everyone behind a misconfigured resolver.
func referral(m *dns.Msg) bool {
	if m.Rcode != dns.RcodeSuccess || len(m.Answer) > 0 {
		return false
	}
	found := false
	for _, rr := range m.Ns {
		switch rr.Header().Rrtype {
		case dns.TypeSOA:
			return false
		case dns.TypeNS:
			found = true
		}
	}
	return found
}
