package certs_test

import (
	"bytes"
	"crypto/tls"
	"net"
	"strconv"
	"testing"

	"github.com/terrane/terrane/internal/certs"
)

// BenchmarkHandshake measures handshakes of TLS 1.3, client and server in one
// process: with a certificate of crypto/tls alone, through Internal, and resumed at
// an edge that did not issue the ticket.
func BenchmarkHandshake(b *testing.B) {
	const host = "alice.example"
	secret := bytes.Repeat([]byte("s"), 32)
	ca, err := certs.NewInternal(certs.InternalOptions{Dir: b.TempDir(), Permit: permitExample})
	if err != nil {
		b.Fatal(err)
	}
	var edges [2]*tls.Config
	for i := range edges {
		edges[i] = ca.TLSConfig()
		if _, err := certs.NewTickets(edges[i], secret, 0); err != nil {
			b.Fatal(err)
		}
	}
	cert, err := edges[0].GetCertificate(&tls.ClientHelloInfo{ServerName: host})
	if err != nil {
		b.Fatal(err)
	}
	bare := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}}
	run := func(b *testing.B, client *tls.Config, servers ...*tls.Config) (resumed int) {
		for i := 0; b.Loop(); i++ {
			c, s := net.Pipe()
			done := make(chan error, 1)
			go func() {
				conn := tls.Server(s, servers[i%len(servers)])
				_, err := conn.Write([]byte("x")) // the handshake, its tickets, and a byte
				done <- err
			}()
			conn := tls.Client(c, client)
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				b.Fatal(err)
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			if conn.ConnectionState().DidResume {
				resumed++
			}
			_, _ = c.Close(), s.Close()
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
		return resumed
	}
	b.Run("bare", func(b *testing.B) { run(b, trust(ca.RootPEM(), host), bare) })
	b.Run("internal", func(b *testing.B) { run(b, trust(ca.RootPEM(), host), edges[0]) })
	b.Run("resumed-elsewhere", func(b *testing.B) {
		client := trust(ca.RootPEM(), host)
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		if resumed := run(b, client, edges[:]...); resumed < b.N-1 {
			b.Errorf("%d of %d resumed", resumed, b.N)
		}
	})
}

// BenchmarkACMEInMemory measures how a certificate is found among 10,000.
func BenchmarkACMEInMemory(b *testing.B) {
	a, err := certs.NewACME(certs.ACMEOptions{CAs: []string{"https://ca.example/dir"}, Permit: permitExample, Storage: new(certs.Folder)})
	if err != nil {
		b.Fatal(err)
	}
	hellos := make([]*tls.ClientHelloInfo, 10_000)
	for i := range hellos {
		hellos[i] = &tls.ClientHelloInfo{ServerName: "host" + strconv.Itoa(i) + ".example"}
		certs.Keep(a, hellos[i].ServerName)
	}
	get := a.TLSConfig().GetCertificate
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := get(hellos[i%len(hellos)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
