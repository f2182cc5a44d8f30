package edge_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/edge/edgetest"
)

// clientHello is one that names a host of 24 bytes, and where that stands.
func clientHello(t testing.TB) (hello []byte, at int) {
	t.Helper()
	const name = "xxxxxxxxxxxxxxxx.flood.t"
	c, s := net.Pipe()
	go func() { _ = tls.Client(c, &tls.Config{ServerName: name}).HandshakeContext(context.Background()) }()
	buf := make([]byte, 4<<10)
	n, err := s.Read(buf)
	if err != nil || c.Close() != nil || s.Close() != nil {
		t.Fatal(err)
	}
	at = strings.Index(string(buf[:n]), name)
	return buf[:n], at
}

// knock sends the hello with one more random name, and waits for the refusal.
func knock(ctx context.Context, d *net.Dialer, to string, hello []byte, at, number int) error {
	conn, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	mine := slices.Clone(hello)
	copy(mine[at:], fmt.Sprintf("r%07d.d%05d.example", number, number%100_000)) // many domains
	if _, err := conn.Write(mine); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	_, err = io.Copy(io.Discard, conn)
	return err
}

// TestFloodOfNamesAtTheListener has one address ask for more names than all may: it gets
// its share of lookups, and a new tenant who comes from another one is served.
func TestFloodOfNamesAtTheListener(t *testing.T) {
	e := edgetest.Start(t, nil)
	e.Deploy("alice", map[string][]byte{"index.html": []byte("alice")})
	_, secure := e.Server.Addrs()
	hello, at := clientHello(t)
	flooder := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	start := time.Now()
	for i := range 1500 {
		if err := knock(t.Context(), flooder, secure[0].String(), hello, at, i); err != nil {
			t.Fatal(err)
		}
	}
	share := 100 + int(time.Since(start)/(100*time.Millisecond)) + 1
	_, metrics := e.Get("/metrics")
	refused := 0
	for line := range strings.Lines(metrics) {
		_, _ = fmt.Sscanf(line, "terrane_dnsverify_refusals_total %d", &refused)
	}
	if refused < 1500-share {
		t.Errorf("%d of 1500 names refused: the flooder had more than its share of %d", refused, share)
	}
	e.Domain("alice.example", "terrane=/sites/alice/")
	e.Want("alice.example", "/", http.StatusOK, "alice")
}

// BenchmarkHandshakeInFlood measures a verified tenant's full handshakes, alone and while
// others ask for random names under 20,000 a second, or as many as the machine brings
// about: names/s says how many. Visitor, flood and edge share its processors.
func BenchmarkHandshakeInFlood(b *testing.B) {
	e := edgetest.Start(b, nil)
	e.Deploy("alice", map[string][]byte{"index.html": nil})
	const host = "alice.example"
	e.Domain(host, "terrane=/sites/alice/")
	e.Await("HTTPS", func() bool { status, _ := e.Request(host, host, "/"); return status == http.StatusOK })
	_, secure := e.Server.Addrs()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(e.Authority.RootPEM())
	visitor := &tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: host}}
	hello, at := clientHello(b)
	for _, rate := range []int{0, 1000, 20_000} {
		b.Run(fmt.Sprintf("%d-a-second", rate), func(b *testing.B) {
			ctx, cancel := context.WithCancel(b.Context())
			var knocks atomic.Int64
			var flood sync.WaitGroup
			start := time.Now()
			for worker := range min(64, rate) {
				flood.Go(func() {
					tick := time.NewTicker(64 * time.Second / time.Duration(rate))
					defer tick.Stop()
					d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(worker))}}
					for ctx.Err() == nil {
						if knock(ctx, d, secure[0].String(), hello, at, int(knocks.Add(1))) != nil && ctx.Err() == nil {
							b.Error("an unknown name is not answered")
							return
						}
						<-tick.C
					}
				})
			}
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				conn, err := visitor.DialContext(ctx, "tcp", secure[0].String())
				if err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
				_ = conn.Close()
			}
			b.StopTimer()
			b.ReportMetric(float64(knocks.Load())/time.Since(start).Seconds(), "names/s")
			cancel()
			flood.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "median-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}
