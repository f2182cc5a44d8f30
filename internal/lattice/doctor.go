package lattice

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	probeTime = 3 * time.Second        // of one connection
	alertTime = 500 * time.Millisecond // until a peer has said that it refuses our certificate
	maxInfo   = 64 << 10               // bytes of a server's first line
)

// Finding is what is wrong with an edge's part in the lattice.
type Finding struct {
	Where   string `json:"where"` // a key of the configuration, and what it names
	Problem string `json:"problem"`
	Mend    string `json:"mend"`
}

// Diagnose looks for all that is wrong. It connects to each server that the
// configuration names, as this edge does, and takes a few seconds.
func (l *Lattice) Diagnose(ctx context.Context) []Finding {
	found := l.ownCertificate()
	ctx, cancel := context.WithTimeout(ctx, 2*probeTime)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for key, list := range map[string][]string{"cluster.routes": l.opts.Cluster.Routes, "leaf": l.opts.Leaf, "url": l.opts.URLs} {
		for _, at := range list {
			wg.Go(func() {
				problem, mend := l.probe(ctx, key, at)
				mu.Lock()
				defer mu.Unlock()
				if problem != "" {
					found = append(found, Finding{"lattice." + key + " " + at, problem, mend})
				}
			})
		}
	}
	wg.Wait()
	slices.SortFunc(found, func(a, b Finding) int { return strings.Compare(a.Where, b.Where) })
	return append(found, l.own(ctx)...)
}

// own is what this edge knows without asking those that it dials.
func (l *Lattice) own(ctx context.Context) (found []Finding) {
	s := l.Status()
	switch {
	case !s.Connected:
		f := Finding{"lattice", "not connected: " + s.Reason, "see what is said of each address"}
		if strings.Contains(strings.ToLower(s.Reason), "authorization") {
			f.Mend = "make the edge a user of that NATS, and give it the user's lattice.credentials, or a certificate of its authority (lattice.tls)"
		}
		return []Finding{f}
	case s.Embedded && !s.State:
		return []Finding{{"lattice.cluster", fmt.Sprintf("no majority: connected to %d of %d other edges, and nobody leads", s.Edges, s.Wanted),
			"start the other edges, or mend what keeps them apart; nothing is lost meanwhile"}}
	case s.Embedded:
		return nil
	}
	conn, err := l.Conn(ctx)
	if err != nil {
		return []Finding{{"lattice.url", err.Error(), "try again"}}
	}
	if n := conn.MaxPayload(); n < MaxPayload {
		found = append(found, Finding{"lattice.url", fmt.Sprintf("max_payload is %d: values of 1 MiB do not fit", n), fmt.Sprintf("set max_payload: %d at that NATS", MaxPayload)})
	}
	js, err := jetstream.New(conn)
	if err == nil {
		_, err = js.AccountInfo(ctx)
	}
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		found = append(found, Finding{"lattice.url", "JetStream is off there: no state is kept", "set jetstream { store_dir: ..., sync_interval: always } at that NATS, and enable it for the edges' account"})
	case err != nil:
		found = append(found, Finding{"lattice.url", "JetStream does not answer: " + err.Error(), "see that a majority of its servers is up, and that the user may publish to $JS.API.>"})
	}
	return found
}

// ownCertificate looks at what peers are shown.
func (l *Lattice) ownCertificate() []Finding {
	if l.opts.TLS.Cert == "" {
		return nil
	}
	where := "lattice.tls.cert " + l.opts.TLS.Cert
	pair, err := tls.LoadX509KeyPair(l.opts.TLS.Cert, l.opts.TLS.Key)
	if err != nil {
		return []Finding{{where, err.Error(), "replace both files: they are read anew at each handshake"}}
	}
	c := pair.Leaf
	switch left := time.Until(c.NotAfter); {
	case left < 0:
		return []Finding{{where, "expired at " + c.NotAfter.Format(time.DateTime), "replace both files: they are read anew at each handshake"}}
	case left < 7*24*time.Hour:
		return []Finding{{where, "expires at " + c.NotAfter.Format(time.DateTime), "replace both files soon: they are read anew at each handshake"}}
	case time.Now().Before(c.NotBefore):
		return []Finding{{where, "valid from " + c.NotBefore.Format(time.DateTime), "set this machine's clock, or make the certificate anew"}}
	case c.Subject.CommonName != "" && c.Subject.CommonName != l.opts.Name:
		return []Finding{{where, fmt.Sprintf("made out to %q, and the edge is %q: others let it speak in the other's name alone", c.Subject.CommonName, l.opts.Name), "make one whose common name is edge.name"}}
	}
	return nil
}

// info is what a NATS server says first.
type info struct {
	ID      string `json:"server_id"`
	Name    string `json:"server_name"`
	Cluster string `json:"cluster"`
	TLS     bool   `json:"tls_required"`
}

// probe connects to a server as NATS does, as far as to its certificate and ours.
func (l *Lattice) probe(ctx context.Context, key, at string) (problem, mend string) {
	u, err := url.Parse(at)
	if err != nil {
		return err.Error(), "" // check has seen it
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return "not reached: " + err.Error(), "start the server there, and let this edge through firewalls on the way; if it listens elsewhere, change the address"
	}
	defer conn.Close() //nolint:errcheck // nothing was said
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	route := key == "cluster.routes" // those speak TLS from the first byte, the others say so first
	wantsTLS := l.tls != nil || u.Scheme == "tls"
	var first info
	if !route {
		if first, err = readInfo(conn); err != nil {
			return "no NATS server answers: " + err.Error(), "name the address of its " + map[string]string{"leaf": "leaf listener", "url": "client listener"}[key]
		}
		if !first.TLS && wantsTLS {
			return "it does not speak TLS", "give that server a certificate: lattice.tls there"
		}
		wantsTLS = wantsTLS || first.TLS
	}
	if wantsTLS {
		c, problem, mend := l.handshake(ctx, conn, u.Hostname())
		if problem != "" {
			return problem, mend
		}
		conn = c
	}
	if route {
		if first, err = readInfo(conn); err != nil {
			if refused, mend := refusal(err); refused != "" {
				return refused, mend
			}
			return "no edge of a cluster answers: " + err.Error(), "name the address of its cluster.listen; give all edges of the cluster lattice.tls, or none"
		}
		return l.compare(first)
	}
	if first.Cluster != "" && key == "leaf" && first.Cluster == l.opts.Cluster.Name {
		return fmt.Sprintf("the hub's cluster is called %q as this region: NATS takes that for a loop", first.Cluster), "give each region its own edge.region, or lattice.cluster.name"
	}
	if wantsTLS {
		_ = conn.SetReadDeadline(time.Now().Add(alertTime))
		_, err := io.ReadFull(conn, make([]byte, 1))
		return refusal(err)
	}
	return "", ""
}

// compare is of an edge that should be of this one's cluster.
func (l *Lattice) compare(peer info) (problem, mend string) {
	l.mu.Lock()
	s := l.server
	l.mu.Unlock()
	switch {
	case s != nil && peer.ID == s.ID():
		return "", "" // it is this one
	case peer.Cluster != l.opts.Cluster.Name:
		return fmt.Sprintf("the edge %s is of the cluster %q, and this one of %q: they do not connect", peer.Name, peer.Cluster, l.opts.Cluster.Name),
			"give all edges of a cluster the same lattice.cluster.name, or edge.region"
	case peer.Name == l.opts.Name:
		return fmt.Sprintf("another edge there is called %s too", peer.Name), "give each edge its own edge.name"
	}
	return "", ""
}

func readInfo(conn net.Conn) (i info, err error) {
	line, err := bufio.NewReader(io.LimitReader(conn, maxInfo)).ReadBytes('\n')
	if err != nil {
		return i, err
	}
	text, ok := bytes.CutPrefix(line, []byte("INFO "))
	if !ok {
		return i, errors.New("it does not speak NATS")
	}
	return i, json.Unmarshal(text, &i)
}

// handshake says which side refuses the other, and why.
func (l *Lattice) handshake(ctx context.Context, conn net.Conn, host string) (c *tls.Conn, problem, mend string) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if l.tls != nil {
		config = l.tls.Clone()
	}
	config.ServerName = host
	c = tls.Client(conn, config)
	err := c.HandshakeContext(ctx)
	if err == nil {
		return c, "", ""
	}
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	switch problem = "this edge refuses its certificate: " + err.Error(); {
	case errors.As(err, &unknown):
		return nil, problem, "use certificates of one authority, and name that in lattice.tls.ca at each edge"
	case errors.As(err, &invalid):
		return nil, problem, "replace the certificate there, and see that the clocks are right"
	case errors.As(err, &name):
		return nil, problem, fmt.Sprintf("make that certificate out to %s too (subjectAltName), or dial it by a name that it has", host)
	}
	if problem, mend = refusal(err); problem != "" {
		return nil, problem, mend
	}
	return nil, "no TLS: " + err.Error(), "give all edges lattice.tls, or none; see that the address is that of the listener"
}

// refusal is what the error of a read says of our certificate; nothing if it says none.
func refusal(err error) (problem, mend string) {
	alert, ok := errors.AsType[tls.AlertError](err)
	var remote *net.OpError
	switch {
	case ok:
		return "it refuses this edge's certificate: " + alert.Error(), "use a certificate of the authority that it has in lattice.tls.ca (its log says more)"
	case errors.As(err, &remote) && remote.Op == "remote error":
		return "it refuses this edge's certificate: " + remote.Err.Error(), "use a certificate of the authority that it has in lattice.tls.ca (its log says more)"
	case errors.Is(err, syscall.ECONNRESET):
		return "it ends the connection after the handshake", "see its log"
	case errors.Is(err, os.ErrDeadlineExceeded), err == nil:
	}
	return "", ""
}
