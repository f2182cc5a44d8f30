package fetch

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Resolver is a hostcalls.Resolver: it asks recursive resolvers on behalf of
// guests and of a Client.
type Resolver struct {
	servers []string
	system  *net.Resolver
	turn    atomic.Uint32
}

// tryTimeout is how long one server is waited for.
const tryTimeout = 2 * time.Second

// NewResolver returns a Resolver that asks the servers, each an address with a
// port, in turn; no servers mean the system's.
func NewResolver(servers []string) (*Resolver, error) {
	r := &Resolver{servers: servers, system: &net.Resolver{PreferGo: true}}
	for _, s := range servers {
		if _, err := netip.ParseAddrPort(s); err != nil {
			return nil, fmt.Errorf("resolver %q: want an address and a port, as in 192.0.2.1:53", s)
		}
	}
	if len(servers) == 0 {
		r.servers = systemServers("/etc/resolv.conf")
	} else {
		r.system.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, r.next())
		}
	}
	return r, nil
}

func systemServers(file string) []string {
	conf, err := os.ReadFile(file) //nolint:gosec // a constant name
	if err != nil {
		return nil
	}
	var servers []string
	for line := range strings.Lines(string(conf)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			servers = append(servers, net.JoinHostPort(f[1], "53"))
		}
	}
	return servers
}

// net is the resolver for a net.Dialer; without a Resolver, the system's.
func (r *Resolver) net() *net.Resolver {
	if r == nil {
		return &net.Resolver{PreferGo: true}
	}
	return r.system
}

func (r *Resolver) next() string {
	return r.servers[int(r.turn.Add(1)-1)%len(r.servers)]
}

// LookupIP implements hostcalls.Resolver.
func (r *Resolver) LookupIP(ctx context.Context, name string, ipv6 bool) ([]netip.Addr, error) {
	network := "ip4"
	if ipv6 {
		network = "ip6"
	}
	found, err := r.system.LookupNetIP(ctx, network, root(name))
	if err != nil {
		return nil, explain(err)
	}
	return found, nil
}

var (
	errNoQuery   = errors.New("not a well-formed query of one question")
	errNoServers = errors.New("no recursive resolver is known")
	errNoAnswer  = errors.New("no recursive resolver answered")
)

// Query implements hostcalls.Resolver: by UDP, and by TCP if the answer is cut short.
func (r *Resolver) Query(ctx context.Context, message []byte) ([]byte, error) {
	question, id, ok := parse(message, false)
	if !ok {
		return nil, errNoQuery
	}
	if len(r.servers) == 0 {
		return nil, errNoServers
	}
	for range max(2, len(r.servers)) {
		answer, err := r.ask(ctx, r.next(), message, question)
		if err == nil {
			binary.BigEndian.PutUint16(answer, id)
			return answer, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errNoAnswer
}

func (r *Resolver) ask(ctx context.Context, server string, message []byte, q dnsmessage.Question) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	query := append([]byte(nil), message...)
	if _, err := rand.Read(query[:2]); err != nil {
		return nil, err
	}
	answer, err := overUDP(ctx, server, query, q)
	if err == nil && answer[2]&truncated != 0 {
		return overTCP(ctx, server, query, q)
	}
	return answer, err
}

// truncated is the TC bit in a header's third byte.
const truncated = 1 << 1

func overUDP(ctx context.Context, server string, query []byte, q dnsmessage.Question) ([]byte, error) {
	conn, end, err := dial(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer end()
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if answers(buf[:n], query, q) { // else it is somebody's guess
			return buf[:n:n], nil
		}
	}
}

func overTCP(ctx context.Context, server string, query []byte, q dnsmessage.Question) ([]byte, error) {
	conn, end, err := dial(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer end()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	answer := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return nil, err
	}
	if !answers(answer, query, q) {
		return nil, errNoAnswer
	}
	return answer, nil
}

// dial connects, and makes reads and writes end with ctx.
func dial(ctx context.Context, network, server string) (net.Conn, func(), error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return conn, func() { stop(); _ = conn.Close() }, nil
}

// answers reports whether message is a well-formed answer to the query about q.
func answers(message, query []byte, q dnsmessage.Question) bool {
	got, id, ok := parse(message, true)
	return ok && id == binary.BigEndian.Uint16(query) && got.Type == q.Type && got.Class == q.Class &&
		strings.EqualFold(got.Name.String(), q.Name.String())
}

// parse reads all of a message with one question.
func parse(message []byte, answer bool) (q dnsmessage.Question, id uint16, ok bool) {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil || h.Response != answer || h.OpCode != 0 {
		return q, 0, false
	}
	questions, err := p.AllQuestions()
	if err != nil || len(questions) != 1 {
		return q, 0, false
	}
	for _, skip := range [...]func() error{p.SkipAllAnswers, p.SkipAllAuthorities, p.SkipAllAdditionals} {
		if err := skip(); err != nil {
			return q, 0, false
		}
	}
	return questions[0], h.ID, true
}
