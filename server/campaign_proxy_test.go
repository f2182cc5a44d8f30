package server_test

import (
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/campaign"
	"github.com/terrane/terrane/server"
)

// TestCampaignProxySpoofing sends PROXY headers of both versions, true ones and mutated
// ones, from where none is trusted, and requests without one from where one is due. No
// such connection gets an answer of the site, and no address of a header is logged.
func TestCampaignProxySpoofing(t *testing.T) {
	tries := campaign.Tries(60, 3_000)
	random := rand.New(rand.NewPCG(1, 2))
	access := new(syncBuffer)
	e := startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) {
		o.ServePlain, o.AccessLog = true, access
		o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}
	}})
	e.deploy("alice.example", "index.html", "alice")
	const head = "GET / HTTP/1.1\r\nHost: alice.example\r\nConnection: close\r\n\r\n"
	ask := func(from byte, text string) string {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, from)}}
		conn := must(d.DialContext(t.Context(), "tcp", e.http))
		defer closed(t, conn)
		if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, text) // a reset is an answer too
		got, _ := io.ReadAll(conn)
		return string(got)
	}
	v1 := "PROXY TCP4 203.0.113.7 192.0.2.1 4321 443\r\n"
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\xc0\x00\x02\x01\x10\xe1\x01\xbb"
	for i := range tries {
		spoofed := []byte([]string{v1, v2}[i%2])
		for range random.IntN(3) { // behind what makes it a header
			spoofed[5+random.IntN(len(spoofed)-5)] = byte(random.IntN(256))
		}
		if got := ask(2, string(spoofed)+head); strings.Contains(got, "200 OK") {
			t.Fatalf("a stranger's header %q is taken: %q", spoofed, got)
		}
		if i%10 == 0 {
			if got := ask(3, head); strings.Contains(got, "200 OK") {
				t.Fatalf("a balancer without a header is answered: %q", got)
			}
		}
	}
	if got := ask(3, v1+head); !strings.Contains(got, "200 OK") {
		t.Errorf("a balancer's own header: %q", got)
	}
	access.wait(t, `"client":"203.0.113.7:4321"`)
	if n := strings.Count(access.String(), "203.0.113.7"); n != 1 {
		t.Errorf("the address of a header is logged %d times, want once, for the balancer", n)
	}
	campaign.Row(t, "PROXY headers of strangers, and balancers without one", tries, "0 taken, 0 forged addresses logged")
}
