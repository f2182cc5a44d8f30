package lattice_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// authority makes certificates of one lattice.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", nil)
	return a
}

func (a *authority) sign(name string, parent *authority, change ...func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: parent == nil, BasicConstraintsValid: true,
	}
	for _, f := range change {
		f(c)
	}
	by, signer := c, key
	if parent != nil {
		by, signer = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	a.write(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	if c, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	return c, key
}

func (a *authority) write(name string, data []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// tls is the certificate of an edge.
func (a *authority) tls(name string, change ...func(*x509.Certificate)) lattice.TLS {
	a.sign(name, a, change...)
	at := func(file string) string { return filepath.Join(a.dir, file) }
	return lattice.TLS{Cert: at(name + ".crt"), Key: at(name + ".key"), CA: at("ca.crt")}
}

// serverConfig is for a server that asks for no certificate.
func (a *authority) serverConfig(name string) *tls.Config {
	files := a.tls(name)
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

// start runs an edge until the test ends.
func start(t *testing.T, o lattice.Options) *lattice.Lattice {
	t.Helper()
	o.Dir, o.Logger = t.TempDir(), latticetest.Logger(t)
	l, err := lattice.New(o)
	if err != nil {
		t.Fatal(err)
	}
	latticetest.Run(t, l.Run)
	return l
}

// listening starts a hub that listens on all addresses and returns its ports on loopback.
func listening(t *testing.T, o lattice.Options) (l *lattice.Lattice, client, leaf string) {
	t.Helper()
	o.Name, o.Region, o.Listen, o.LeafListen = "ams1", "ams", "127.0.0.1:0", "127.0.0.1:0"
	l = start(t, o)
	if _, err := l.Conn(limit(t)); err != nil {
		t.Fatal(err)
	}
	c, _, f := l.Addrs()
	return l, "tls://" + c.String(), "tls://" + f.String()
}

// comes reports whether an edge reaches the hub.
func comes(t *testing.T, hub, l *lattice.Lattice, patience time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	in, err := hub.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := in.SubscribeSync("terrane.presence." + l.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the edge ends anyway
	word := rand.Text()     // other tests have edges of this name in this lattice
	for ctx.Err() == nil {
		if out, err := l.Conn(ctx); err == nil {
			_ = out.Publish(sub.Subject, []byte(word))
		}
		if m, err := sub.NextMsg(50 * time.Millisecond); err == nil && string(m.Data) == word {
			return true
		}
	}
	return false
}

func TestOnlyEdgesOfTheLatticeConnect(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	known := ours.write("known.nk", seed)
	stranger, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	other, err := stranger.Seed()
	if err != nil {
		t.Fatal(err)
	}
	unknown := ours.write("unknown.nk", other)
	ca := lattice.TLS{CA: filepath.Join(ours.dir, "ca.crt")}

	byCert, certClient, certLeaf := listening(t, lattice.Options{TLS: ours.tls("ams1")})
	hubTLS := ours.tls("ams1")
	hubTLS.CA = ""
	byKey, keyClient, keyLeaf := listening(t, lattice.Options{TLS: hubTLS, Peers: map[string]string{"fra1": public}})
	for _, tt := range []struct {
		name         string
		hub          *lattice.Lattice
		client, leaf string
		tls          lattice.TLS
		credentials  string
		want         bool
	}{
		{"a certificate", byCert, certClient, certLeaf, ours.tls("fra1"), "", true},
		{"no certificate", byCert, certClient, certLeaf, ca, "", false},
		{"another authority's certificate", byCert, certClient, certLeaf, mixed(ours, theirs), "", false},
		{"an nkey", byKey, keyClient, keyLeaf, ca, known, true},
		{"an unknown nkey", byKey, keyClient, keyLeaf, ca, unknown, false},
		{"no nkey", byKey, keyClient, keyLeaf, ca, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			patience := latticetest.Patience
			if !tt.want {
				patience = 700 * time.Millisecond
			}
			client := start(t, lattice.Options{Name: "fra1", URLs: []string{tt.client}, TLS: tt.tls, Credentials: tt.credentials})
			leaf := start(t, lattice.Options{Name: "fra1", Region: "fra", Leaf: []string{tt.leaf}, TLS: tt.tls, Credentials: tt.credentials})
			for kind, l := range map[string]*lattice.Lattice{"client": client, "leaf": leaf} {
				if got := comes(t, tt.hub, l, patience); got != tt.want {
					t.Errorf("as a %s with %s: connected %v", kind, tt.name, got)
				}
			}
		})
	}
}

// mixed trusts ours and shows theirs.
func mixed(ours, theirs *authority) lattice.TLS {
	m := theirs.tls("fra1")
	m.CA = filepath.Join(ours.dir, "ca.crt")
	return m
}

func TestFaultsOfOptions(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    lattice.Options
		want string // empty: fine
	}{
		{"alone", lattice.Options{}, ""},
		{"on loopback", lattice.Options{Listen: "127.0.0.1:4222", LeafListen: "[::1]:7422"}, ""},
		{"to everyone", lattice.Options{Listen: ":4222"}, `listen: ":4222" listens beyond loopback`},
		{"a cluster without certificates", lattice.Options{Cluster: lattice.Cluster{Listen: "10.0.0.1:6222", Routes: []string{"tls://ams2:6222"}}}, "cluster.listen: "},
		{"a cluster by nkey", lattice.Options{
			Cluster: lattice.Cluster{Listen: "10.0.0.1:6222", Routes: []string{"tls://ams2:6222"}},
			TLS:     lattice.TLS{Cert: "x", Key: "y"}, Peers: map[string]string{"ams2": "UA"},
		}, "cluster.listen: "},
		{"routes and no listener", lattice.Options{Cluster: lattice.Cluster{Routes: []string{"tls://ams2:6222"}}}, "cluster.listen: want the address"},
		{"no routes", lattice.Options{Cluster: lattice.Cluster{Listen: "127.0.0.1:0"}}, "cluster.routes: want"},
		{"two servers", lattice.Options{URLs: []string{"tls://nats:4222"}, Listen: "127.0.0.1:4222"}, "url: uses another NATS"},
		{"in the clear", lattice.Options{URLs: []string{"nats://nats:4222"}}, "url[0]: nats://nats:4222 is not on this machine"},
		{"not a URL", lattice.Options{Leaf: []string{"hub:7422"}}, "leaf[0]: want tls://"},
		{"an even number of replicas", lattice.Options{Replicas: 2}, "replicas: 2: want 1, 3 or 5"},
		{"more replicas than edges", lattice.Options{Replicas: 3}, "replicas: 3, but the cluster has 1"},
		{"half a certificate", lattice.Options{TLS: lattice.TLS{Cert: "x"}}, "tls: want both"},
		{"no nkey", lattice.Options{Peers: map[string]string{"ams2": "SU"}}, "peers.ams2: \"SU\" is no user's"},
		{"a name of two tokens", lattice.Options{Name: "ams.1"}, `name: "ams.1": want letters`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.o.Name == "" {
				tt.o.Name = "ams1"
			}
			_, err := lattice.New(tt.o)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
