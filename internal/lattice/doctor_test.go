package lattice_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// finds wants exactly these findings, each a text that is in its words. It asks again until
// they are so: edges take a moment to connect.
func finds(t *testing.T, l *lattice.Lattice, want ...string) {
	t.Helper()
	var got []lattice.Finding
	latticetest.Await(t, func() bool {
		got = l.Diagnose(context.Background())
		if len(got) != len(want) {
			return false
		}
		for i, f := range got {
			if f.Mend == "" || !strings.Contains(f.Where+" "+f.Problem, want[i]) {
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprintf("found %+v", got) })
}

func TestDiagnoseCluster(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	trusting := func(tls lattice.TLS) lattice.TLS {
		tls.CA = filepath.Join(ours.dir, "ca.crt")
		return tls
	}
	const lonely = "no majority"
	for _, tt := range []struct {
		name    string
		own     lattice.TLS
		other   lattice.Options
		want    []string
		nowhere bool // nobody is at the route
	}{
		{name: "fine", own: ours.tls("ams1", lasting), other: lattice.Options{TLS: ours.tls("ams2")}},
		{name: "fine in the clear"},
		{name: "nobody there", nowhere: true, want: []string{"not reached: dial tcp 127.0.0.1:9", lonely}},
		{
			name: "its authority is another", own: ours.tls("ams1", lasting), other: lattice.Options{TLS: trusting(theirs.tls("ams2"))},
			want: []string{"this edge refuses its certificate: tls: failed to verify certificate: x509: certificate signed by unknown authority", lonely},
		},
		{
			name: "our authority is another", own: trusting(theirs.tls("ams1", lasting)), other: lattice.Options{TLS: ours.tls("ams2")},
			want: []string{"it refuses this edge's certificate: ", lonely},
		},
		{
			name: "its certificate has expired", own: ours.tls("ams1", lasting), other: lattice.Options{TLS: ours.tls("old", expired)},
			want: []string{"x509: certificate has expired", lonely},
		},
		{
			name: "its certificate is for another host", own: ours.tls("ams1", lasting), other: lattice.Options{TLS: ours.tls("away", elsewhere)},
			want: []string{"valid for 192.0.2.1, not 127.0.0.1", lonely},
		},
		{name: "it speaks no TLS", own: ours.tls("ams1", lasting), want: []string{"no TLS: ", lonely}},
		{name: "it speaks TLS", other: lattice.Options{TLS: ours.tls("ams2")}, want: []string{"no edge of a cluster answers: ", lonely}},
		{name: "another cluster", other: lattice.Options{Cluster: lattice.Cluster{Name: "fra"}}, want: []string{`the edge ams2 is of the cluster "fra", and this one of "ams"`, lonely}},
		{name: "a twin", other: lattice.Options{Name: "ams1"}, want: []string{"another edge there is called ams1 too", lonely}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			edge := func(o lattice.Options, route string) *lattice.Lattice {
				o.Region, o.Replicas = "ams", 1
				o.Cluster.Listen, o.Cluster.Advertise, o.Cluster.Routes = "127.0.0.1:0", "127.0.0.1:9", []string{"nats://" + route}
				l := start(t, o)
				if _, err := l.Conn(limit(t)); err != nil {
					t.Fatal(err)
				}
				return l
			}
			route := "127.0.0.1:9"
			if !tt.nowhere {
				if tt.other.Name == "" {
					tt.other.Name = "ams2"
				}
				_, at, _ := edge(tt.other, route).Addrs()
				route = at.String()
			}
			finds(t, edge(lattice.Options{Name: "ams1", TLS: tt.own}, route), tt.want...)
		})
	}
}

func TestDiagnoseOwnCertificate(t *testing.T) {
	ca := newAuthority(t)
	files := ca.tls("ams1", lasting)
	l := start(t, lattice.Options{Name: "ams1", TLS: files})
	if _, err := l.Conn(limit(t)); err != nil {
		t.Fatal(err)
	}
	finds(t, l)
	ca.sign("ams1", ca)
	finds(t, l, "expires at")
	ca.sign("ams1", ca, expired)
	finds(t, l, "expired at")
	ca.sign("ams1", ca, lasting, func(c *x509.Certificate) { c.Subject.CommonName = "other" })
	finds(t, l, `made out to "other", and the edge is "ams1"`)
	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	finds(t, l, "no such file")
}

func TestDiagnoseLeaf(t *testing.T) {
	hub := start(t, lattice.Options{Name: "ams1", Region: "ams", LeafListen: "127.0.0.1:0"})
	if _, err := hub.Conn(limit(t)); err != nil {
		t.Fatal(err)
	}
	_, _, at := hub.Addrs()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() }) // it never answers
	ca := newAuthority(t)
	for _, tt := range []struct {
		name string
		o    lattice.Options
		want []string
	}{
		{"fine", lattice.Options{Leaf: []string{"nats://" + at.String()}}, nil},
		{"nobody there", lattice.Options{Leaf: []string{"nats://127.0.0.1:9"}}, []string{"lattice.leaf nats://127.0.0.1:9 not reached"}},
		{"not NATS", lattice.Options{Leaf: []string{"nats://" + ln.Addr().String()}}, []string{"no NATS server answers"}},
		{"the hub speaks no TLS", lattice.Options{Leaf: []string{"tls://" + at.String()}, TLS: ca.tls("fra1", lasting)}, []string{"it does not speak TLS"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.o.Name, tt.o.Region = "fra1", "fra"
			l := start(t, tt.o)
			if _, err := l.Conn(limit(t)); err != nil {
				t.Fatal(err)
			}
			finds(t, l, tt.want...)
		})
	}
}

func TestDiagnoseExternal(t *testing.T) {
	ca := newAuthority(t)
	as := func(x *latticetest.External, name string) lattice.Options {
		return lattice.Options{Name: "ams1", URLs: []string{x.URL}, Credentials: x.Credentials[name]}
	}
	fine := latticetest.StartJWT(t, nil, "ams1")
	stranger := as(latticetest.StartJWT(t, nil, "ams1"), "ams1")
	stranger.URLs = []string{fine.URL}
	overTLS := as(latticetest.StartNkeys(t, latticetest.TLS(ca.serverConfig("nats")), "ams1"), "ams1")
	overTLS.TLS.CA = filepath.Join(newAuthority(t).dir, "ca.crt")
	for _, tt := range []struct {
		name string
		o    lattice.Options
		want []string
	}{
		{"fine", as(fine, "ams1"), nil},
		{"a stranger", stranger, []string{"lattice not connected: nats: Authorization Violation"}},
		{"no JetStream", as(latticetest.StartNkeys(t, func(o *server.Options) { o.JetStream = false }, "ams1"), "ams1"), []string{"JetStream is off"}},
		{"small messages", as(latticetest.StartNkeys(t, func(o *server.Options) { o.MaxPayload = 1 << 20 }, "ams1"), "ams1"), []string{"max_payload is 1048576"}},
		{"another authority", overTLS, []string{"this edge refuses its certificate", "not connected: nats: tls error"}},
		{"nobody there", lattice.Options{Name: "ams1", URLs: []string{"nats://127.0.0.1:9"}}, []string{"not reached", "not connected"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			finds(t, start(t, tt.o), tt.want...)
		})
	}
}
