package lattice_test

import (
	"crypto/x509"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// TestDocsNamePermissions compares what operators are told to grant with what edges ask for.
func TestDocsNamePermissions(t *testing.T) {
	docs, err := os.ReadFile("../../docs/lattice.md")
	if err != nil {
		t.Fatal(err)
	}
	pub, sub := lattice.Permissions("NAME")
	for what, want := range map[string][]string{"publish": pub, "subscribe": sub} {
		_, row, ok := strings.Cut(string(docs), "| "+what+" | ")
		row, _, _ = strings.Cut(row, "|")
		var got []string
		for i, part := range strings.Split(row, "`") {
			if i%2 == 1 {
				got = append(got, part)
			}
		}
		if !ok || !slices.Equal(got, want) {
			t.Errorf("%s: documented %q, used %q", what, got, want)
		}
	}
}

// TestClientsSubjects: an edge that is a client of another speaks in its own name, and
// cannot listen to what is not terrane's.
func TestClientsSubjects(t *testing.T) {
	ca := newAuthority(t)
	_, url, _ := listening(t, lattice.Options{TLS: ca.tls("fra1")})
	mayNot(t, start(t, lattice.Options{Name: "ams1", URLs: []string{url}, TLS: ca.tls("ams1")}))
}

// TestLeafsSubjects has somebody with a leaf node's certificate, and a server of their
// own, try what a region may not.
func TestLeafsSubjects(t *testing.T) {
	ca := newAuthority(t)
	hub, _, leaf := listening(t, lattice.Options{TLS: ca.tls("ams1")})
	in, err := hub.Conn(limit(t))
	if err != nil {
		t.Fatal(err)
	}
	out := stranger(t, ca, leaf)
	heard := make(chan string, 1024)
	if _, err := out.Subscribe(">", func(m *nats.Msg) { heard <- m.Subject }); err != nil {
		t.Fatal(err)
	}
	latticetest.Await(t, func() bool { _, err := out.Request("$JS.ams.API.INFO", nil, time.Second); return err == nil }, nil) // it is connected
	for _, subject := range []string{
		"$JS.API.INFO", "$JS.API.STREAM.LIST", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.USER.INFO",
	} {
		if m, err := out.Request(subject, nil, 300*time.Millisecond); err == nil && !strings.Contains(string(m.Data), out.ConnectedServerName()) {
			t.Errorf("%s is answered: %s", subject, m.Data)
		}
	}
	kv := bucket(t, hub)
	if err := out.Publish("$KV.terrane_test.forged", []byte("value")); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(limit(t), "key", []byte("value")); err != nil {
		t.Fatal(err)
	}
	for ctx := limit(t); ; {
		if err := in.Publish("terrane.presence.ams1", nil); err != nil || ctx.Err() != nil {
			t.Fatal("it does not hear presence", err)
		}
		var subject string
		select {
		case subject = <-heard:
		case <-time.After(50 * time.Millisecond):
		}
		if subject == "$KV.terrane_test.key" || strings.HasPrefix(subject, "$JS.API.STREAM.CREATE") { // of the hub
			t.Errorf("it hears %s", subject)
		}
		if subject == "terrane.presence.ams1" {
			break
		}
	}
	if keys, err := kv.Keys(limit(t)); err != nil || !slices.Equal(keys, []string{"key"}) {
		t.Errorf("the bucket has %q, %v", keys, err)
	}
}

// stranger is a client of a NATS server of its own, which is a leaf node of the hub.
func stranger(t *testing.T, ca *authority, leaf string) *nats.Conn {
	t.Helper()
	config := ca.serverConfig("fra1")
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AddCert(ca.cert)
	hub, err := url.Parse(leaf)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "stranger", Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
		LeafNode: server.LeafNodeOpts{Remotes: []*server.RemoteLeafOpts{{URLs: []*url.URL{hub}, TLS: true, TLSConfig: config}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the stranger's server is not ready")
	}
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}
