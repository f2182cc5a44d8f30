package acme_test

import (
	"bytes"
	"crypto/tls"
	"net"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/certs"
	"github.com/terrane/terrane/internal/certs/acme"
	"github.com/terrane/terrane/internal/certs/certstest"
	"github.com/terrane/terrane/internal/certs/storage"
)

// BenchmarkHandshake measures handshakes of TLS 1.3 with X25519MLKEM768 and a P-256
// certificate, client and server in one process, full and resumed: with crypto/tls alone,
// through Internal, through ACME with 10,000 certificates, and resumed at an edge that
// did not issue the ticket. handshakes/core-s counts processor time, both sides.
func BenchmarkHandshake(b *testing.B) {
	const host = "alice.example"
	secret := bytes.Repeat([]byte("s"), 32)
	ca, err := certs.NewInternal(certs.InternalOptions{Dir: b.TempDir(), Permit: certstest.Permit})
	if err != nil {
		b.Fatal(err)
	}
	internal := func() *tls.Config { return ca.TLSConfig() }
	cert, err := internal().GetCertificate(&tls.ClientHelloInfo{ServerName: host})
	if err != nil {
		b.Fatal(err)
	}
	bare := func() *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}}
	}
	acme := func() *tls.Config {
		a := newIdleACME(b)
		for i := range 9999 {
			acme.Keep(a, "host"+strconv.Itoa(i)+".example", cert)
		}
		acme.Keep(a, host, cert)
		return a.TLSConfig()
	}
	for name, edges := range map[string][]*tls.Config{
		"bare": {bare()}, "internal": {internal()}, "acme": {acme()}, "acme-elsewhere": {acme(), acme()},
	} {
		for _, c := range edges {
			if _, err := certs.NewTickets(c, secret, 0); err != nil {
				b.Fatal(err)
			}
		}
		if len(edges) == 1 {
			b.Run("full/"+name, func(b *testing.B) { shakeHands(b, certstest.Trust(ca.RootPEM(), host), edges...) })
		}
		b.Run("resumed/"+name, func(b *testing.B) {
			client := certstest.Trust(ca.RootPEM(), host)
			client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			if resumed := shakeHands(b, client, edges...); resumed < b.N-1 {
				b.Errorf("%d of %d resumed", resumed, b.N)
			}
		})
	}
}

func shakeHands(b *testing.B, client *tls.Config, servers ...*tls.Config) (resumed int) {
	began := processorTime(b)
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
	b.ReportMetric(float64(b.N)/(processorTime(b)-began).Seconds(), "handshakes/core-s")
	return resumed
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func newIdleACME(b *testing.B) *acme.Manager {
	b.Helper()
	a, err := acme.New(acme.Options{CAs: []string{"https://ca.example/dir"}, Permit: certstest.Permit, Storage: new(storage.Folder)})
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// BenchmarkACMEInMemory measures how a certificate is found among 10,000.
func BenchmarkACMEInMemory(b *testing.B) {
	a := newIdleACME(b)
	hellos := make([]*tls.ClientHelloInfo, 10_000)
	for i := range hellos {
		hellos[i] = &tls.ClientHelloInfo{ServerName: "host" + strconv.Itoa(i) + ".example"}
		acme.Keep(a, hellos[i].ServerName, selfSigned(b))
	}
	get := a.TLSConfig().GetCertificate
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := get(hellos[i%len(hellos)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkACMEMemory measures the memory of a certificate, its key and its place. An
// operation is one of them, with a chain of two as CAs give out.
func BenchmarkACMEMemory(b *testing.B) {
	a := newIdleACME(b)
	intermediate := selfSigned(b).Certificate[0]
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n := 0
	for b.Loop() {
		cert := selfSigned(b)
		cert.Certificate = append(cert.Certificate, bytes.Clone(intermediate))
		acme.Keep(a, "host"+strconv.Itoa(n)+".example", cert)
		n++
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "bytes/certificate")
	runtime.KeepAlive(a)
}

func selfSigned(b *testing.B) *tls.Certificate {
	b.Helper()
	cert, err := certs.SelfSigned("alice.example")
	if err != nil {
		b.Fatal(err)
	}
	return cert
}
