package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

// curl is what curl says of a visit of the client: the edge that answered, and how
// long it took to connect and until the first byte, in seconds.
func (p *planet) curl(ctx context.Context, t *testing.T, a netip.Addr) (edge string, connect, firstByte float64) {
	t.Helper()
	to := a.String()
	if a.Is6() {
		to = "[" + to + "]"
	}
	out := must(p.client.Run(ctx, "curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "10", "--output", "/dev/null", "--cacert", p.roots,
		"--resolve", anycastHost+":443:"+to, "--write-out", "%header{terrane-edge} %{time_connect} %{time_starttransfer}", "https://"+anycastHost+"/"))(t)
	if n, err := fmt.Sscan(out, &edge, &connect, &firstByte); n != 3 {
		t.Fatalf("curl says %q: %v", out, err)
	}
	return edge, connect, firstByte
}

var httpingAverage = regexp.MustCompile(`round-trip min/avg/max = [0-9.]+/([0-9.]+)/`)

// httping is the time in ms that httping takes to connect and be answered over HTTP.
func (p *planet) httping(ctx context.Context, t *testing.T, a netip.Addr) string {
	t.Helper()
	args := []string{"-c", "2", "-i", "0.2", "-h", a.String(), "-p", "80"}
	if a.Is6() {
		args = append(args, "-6")
	}
	out := must(p.client.Run(ctx, "httping", args...))(t)
	found := httpingAverage.FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("httping says %q", out)
	}
	return found[1]
}

// mtr is the way that mtr shows: each hop with its round trip in ms.
func (p *planet) mtr(ctx context.Context, t *testing.T, a netip.Addr) string {
	t.Helper()
	out := must(p.client.Run(ctx, "mtr", "--json", "--no-dns", "--report-cycles", "2", "--interval", "0.2", "--gracetime", "0.5", a.String()))(t)
	var report struct {
		Report struct {
			Hubs []struct {
				Host string
				Avg  float64
			}
		}
	}
	try(t, json.Unmarshal([]byte(out), &report))
	var hops []string
	for _, h := range report.Report.Hubs {
		hops = append(hops, fmt.Sprintf("%s %.0f", h.Host, h.Avg))
	}
	return strings.Join(hops, ", ")
}
