package lattice_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

func lasting(c *x509.Certificate) { c.NotAfter = time.Now().Add(30 * 24 * time.Hour) }

func elsewhere(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} }

// lines is a log that is kept.
type lines struct {
	slog.Handler
	t  *testing.T
	mu sync.Mutex
	is []string // guarded by mu
}

func keptLog(t *testing.T) *lines { return &lines{Handler: latticetest.Logger(t).Handler(), t: t} }

// Handle implements slog.Handler.
func (l *lines) Handle(ctx context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	l.mu.Lock()
	l.is = append(l.is, line)
	l.mu.Unlock()
	return l.Handler.Handle(ctx, r)
}

// find returns the first line that has all texts.
func (l *lines) find(texts ...string) (line string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.is, func(line string) bool {
		return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) })
	})
	if i < 0 {
		return "", false
	}
	return l.is[i], true
}

// await waits for a line that has all texts.
func (l *lines) await(texts ...string) {
	l.t.Helper()
	latticetest.Await(l.t, func() bool { _, ok := l.find(texts...); return ok }, func() string { return fmt.Sprintf("waited in vain for %q in the log", texts) })
}

// joined awaits that each of the edges is connected to so many of its cluster.
func joined(t *testing.T, n *latticetest.Net, others int) {
	t.Helper()
	for _, node := range n.Nodes() {
		latticetest.Await(t, func() bool { return node.Status().Edges == others }, func() string {
			return fmt.Sprintf("%s: %+v, want %d others", node.Name(), node.Status(), others)
		})
	}
}

func TestClusterOverTLS(t *testing.T) {
	ca := newAuthority(t)
	n := latticetest.StartAs(t, func(o *lattice.Options) { o.TLS = ca.tls(o.Name) }, latticetest.Region{Name: "ams", Edges: 3})
	joined(t, n, 2)
	kv := bucket(t, n.Node("ams1"))
	latticetest.Await(t, func() bool { // of two routes at first, one is closed, and what it carries is lost
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := kv.Put(ctx, "key", []byte("value"))
		return err == nil
	}, nil)
	n.Cut(true, "ams3")
	latticetest.Await(t, func() bool { return n.Node("ams3").Status().Edges == 0 }, nil)
	n.Cut(false, "ams3")
	joined(t, n, 2)
	hears(t, n.Node("ams3"), n.Node("ams1"))
	kept(t, n.Node("ams3"), "value")
}

// TestClusterRefusesStrangers has one edge dial another, whose certificate, or its own,
// is not as it must be.
func TestClusterRefusesStrangers(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	trusting := func(tls lattice.TLS) lattice.TLS {
		tls.CA = filepath.Join(ours.dir, "ca.crt")
		return tls
	}
	for _, tt := range []struct {
		name             string
		dials, dialed    lattice.TLS
		dialing, hearing string // what its log says; empty: nothing
	}{
		{"fine", ours.tls("d0"), ours.tls("l0"), "", ""},
		{"dials with another authority's", trusting(theirs.tls("d1")), ours.tls("l1"), "", "unknown authority"},
		{"dials with an expired one", ours.tls("d2", expired), ours.tls("l2"), "", "expired"},
		{"dials in the clear", lattice.TLS{}, ours.tls("l3"), "", "TLS route handshake error"},
		{"answers with another authority's", ours.tls("d4"), trusting(theirs.tls("l4")), "unknown authority", ""},
		{"answers with an expired one", ours.tls("d5"), ours.tls("l5", expired), "expired", ""},
		{"answers with one for another host", ours.tls("d6"), ours.tls("l6", elsewhere), "certificate is valid for 192.0.2.1, not 127.0.0.1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			edge := func(name, route string, tls lattice.TLS) (*lattice.Lattice, *lines) {
				log := keptLog(t)
				l, err := lattice.New(lattice.Options{
					Name: name, Region: "ams", Dir: t.TempDir(), Logger: slog.New(log), TLS: tls, Replicas: 1,
					Cluster: lattice.Cluster{Listen: "127.0.0.1:0", Advertise: "127.0.0.1:9", Routes: []string{"nats://" + route}},
				})
				if err != nil {
					t.Fatal(err)
				}
				latticetest.Run(t, l.Run)
				if _, err := l.Conn(limit(t)); err != nil {
					t.Fatal(err)
				}
				return l, log
			}
			dialed, hears := edge("ams1", "127.0.0.1:9", tt.dialed)
			_, at, _ := dialed.Addrs()
			dials, says := edge("ams2", at.String(), tt.dials)
			switch {
			case tt.dialing != "":
				says.await(tt.dialing)
			case tt.hearing != "":
				hears.await(tt.hearing)
			default:
				latticetest.Await(t, func() bool { return dials.Status().Edges == 1 && dialed.Status().Edges == 1 }, nil)
				return
			}
			if dials.Status().Edges+dialed.Status().Edges > 0 {
				t.Error("they are connected")
			}
		})
	}
}

// TestCertificatesAreReplaced replaces an edge's files while it runs: it is what they
// say, be that bad or good, as a route, as a leaf node and as a client.
func TestCertificatesAreReplaced(t *testing.T) {
	ca := newAuthority(t)
	log := keptLog(t)
	n := latticetest.StartAs(t, func(o *lattice.Options) {
		o.TLS = ca.tls(o.Name)
		if o.Name == "ams1" {
			o.Listen, o.Logger = "127.0.0.1:0", slog.New(log)
		}
	}, latticetest.Region{Name: "ams", Edges: 2}, latticetest.Region{Name: "fra", Edges: 1})
	ams1, ams2, fra1 := n.Node("ams1"), n.Node("ams2"), n.Node("fra1")
	at, _, _ := ams1.Addrs()
	client := start(t, lattice.Options{Name: "ber1", URLs: []string{"tls://" + at.String()}, TLS: ca.tls("ber1")})
	own, err := client.Conn(limit(t))
	if err != nil {
		t.Fatal(err)
	}
	connected := func() {
		t.Helper()
		latticetest.Await(t, func() bool { return ams2.Status().Edges == 1 && fra1.Status().Leafs == 1 && own.IsConnected() }, nil)
	}
	replaced := []string{"ams2", "fra1", "ber1"}
	connected()
	for _, name := range replaced {
		ca.sign(name, ca, expired)
	}
	for _, cut := range []bool{true, false} {
		n.Cut(cut, "ams2")
		n.Cut(cut, "fra1")
	}
	if err := own.ForceReconnect(); err != nil {
		t.Error(err)
	}
	for _, kind := range []string{"TLS route handshake error", "TLS leafnode handshake error", "TLS handshake error"} {
		log.await(kind, "certificate has expired")
	}
	if ams2.Status().Edges+fra1.Status().Leafs > 0 || own.IsConnected() {
		t.Errorf("with expired certificates: %+v, %+v, %v", ams2.Status(), fra1.Status(), own.IsConnected())
	}
	for _, name := range replaced {
		ca.sign(name, ca)
	}
	connected()
}
