package edge_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
)

// TestSessionResumesAtTheOtherEdge: edges that share tls.tickets, and nothing else, resume
// each other's sessions, and one that does not share it shakes hands in full.
func TestSessionResumesAtTheOtherEdge(t *testing.T) {
	client := &tls.Config{ServerName: "alice.example", RootCAs: x509.NewCertPool(), ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	var edges []*edgetest.Edge
	for _, secret := range []config.Secret{"a secret that two edges share, long", "a secret that two edges share, long", "another secret, which is long as well"} {
		e := edgetest.Start(t, func(c *config.Config) { c.TLS.Tickets = secret })
		e.Deploy("alice", map[string][]byte{"index.html": nil})
		e.Domain(client.ServerName, "terrane=/sites/alice/")
		e.Want(client.ServerName, "/", http.StatusOK, "")
		client.RootCAs.AppendCertsFromPEM(e.Authority.RootPEM())
		edges = append(edges, e)
	}
	for i, step := range []struct {
		edge    int
		resumed bool
	}{{0, false}, {1, true}, {0, true}, {2, false}} {
		_, secure := edges[step.edge].Server.Addrs()
		conn, err := tls.Dial("tcp", secure[0].String(), client)
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().DidResume; got != step.resumed {
			t.Errorf("visit %d, at edge %d: resumed %v", i, step.edge, got)
		}
		// Tickets come with what the server says next: to an HTTP/1.1 request, an answer.
		if _, err := conn.Write([]byte("HEAD / HTTP/1.1\r\nHost: alice.example\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		_ = conn.Close()
	}
}
