package lab_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/terrane/terrane/dnsverify/zone"
	"github.com/terrane/terrane/internal/lab"
)

const benchConfig = `
[edge]
name = "bench"
data = "%[1]s/data"

[[store]]
kind = "git"
prefix = "/git/"
url = "%[2]s"
poll = "100ms"

[[store]]
kind = "folder"
prefix = "/folder/"
path = "%[1]s/folder"

[dns]
addresses = ["127.0.0.1"]
resolvers = ["%[3]s"]

[http]
listen = []

[https]
listen = ["%[4]s"]

[tls]
mode = "internal"

[admin]
listen = ""
`

// BenchmarkDeploy measures from the return of git push, or of cp, to the first new
// answer over HTTPS, on loopback, with the binary an operator runs and real git
// over HTTP. Each deploy is a module never seen before. An operation is a whole
// deploy; the figures to read are median-ms and worst-ms, 5 ms exact. The git store is
// polled every 100 ms; the folder's changes come as file events.
func BenchmarkDeploy(b *testing.B) {
	ctx := context.Background()
	if _, err := exec.LookPath("git"); err != nil {
		b.Skip("git is not installed")
	}
	e := startBenchEdge(ctx, b)
	b.Run("git-push", func(b *testing.B) {
		e.measure(ctx, b, "git.bench.test", func(module []byte) error {
			if err := e.tree.Write("alice/index.wasm", module); err != nil {
				return err
			}
			if _, err := e.tree.Commit(ctx, "deploy"); err != nil {
				return err
			}
			return e.tree.Push(ctx)
		})
	})
	b.Run("cp", func(b *testing.B) {
		built := e.lab.Path("built.wasm")
		e.measure(ctx, b, "folder.bench.test", func(module []byte) error {
			if err := os.WriteFile(built, module, 0o600); err != nil {
				return err
			}
			return exec.CommandContext(ctx, "cp", built, e.lab.Path("folder", "alice", "index.wasm")).Run()
		})
	})
}

type benchEdge struct {
	lab     *lab.Lab
	tree    *lab.WorkTree
	https   string // where the edge listens
	deploys int
}

func startBenchEdge(ctx context.Context, b *testing.B) *benchEdge {
	b.Helper()
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	l, err := lab.New(ctx)
	check(err)
	b.Cleanup(func() {
		if b.Failed() {
			b.Log(l.Transcripts())
		}
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})

	records, err := zone.New(zone.Options{})
	check(err)
	zoneCtx, stopZone := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- records.Run(zoneCtx) }()
	b.Cleanup(func() {
		stopZone()
		if err := <-stopped; err != nil {
			b.Error(err)
		}
	})
	check(records.Update(map[string][]string{
		"git.bench.test":                   {"A 127.0.0.1"},
		"_keybase_pages.git.bench.test":    {`TXT "kbp=/git/alice"`},
		"folder.bench.test":                {"A 127.0.0.1"},
		"_keybase_pages.folder.bench.test": {`TXT "kbp=/folder/alice"`},
	}))

	git, err := l.Host().StartGit(ctx, netip.MustParseAddrPort("127.0.0.1:0"))
	check(err)
	url, err := git.Create(ctx, "tenants.git")
	check(err)
	e := &benchEdge{lab: l}
	e.tree, err = l.Host().Clone(ctx, url)
	check(err)
	check(os.MkdirAll(l.Path("folder", "alice"), 0o700))

	e.https, err = freeAddr()
	check(err)
	config := l.Path("terrane.toml")
	check(os.WriteFile(config, fmt.Appendf(nil, benchConfig, l.Dir(), url, records.Addr(), e.https), 0o600))
	_, err = l.Host().Start(ctx, "terrane", buildTerrane(b), "serve", "--config", config)
	check(err)
	return e
}

// freeAddr is a loopback address and a port that was free a moment ago.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// client trusts the edge's CA and keeps its connection. Names lead to the edge
// without DNS: only the edge is to ask.
func (e *benchEdge) client(ctx context.Context, b *testing.B) *http.Client {
	b.Helper()
	var roots []byte
	err := lab.Until(ctx, func(context.Context) (err error) {
		roots, err = os.ReadFile(e.lab.Path("data", caRoot))
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, e.https)
		},
	}
	b.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// answered asks every 5 ms until the answer is the one wanted.
func answered(ctx context.Context, client *http.Client, url, want string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := get(ctx, client, url)
		if err == nil && got == want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s still answers %q, %w: %w", url, got, err, ctx.Err())
		case <-tick.C:
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	return string(body), errors.Join(err, resp.Body.Close())
}

// measure deploys once to be sure that the way is open, and then b.N times.
func (e *benchEdge) measure(ctx context.Context, b *testing.B, host string, deploy func(module []byte) error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	template, err := os.ReadFile(filepath.Join("testdata", "one.wasm"))
	if err != nil {
		b.Fatal(err)
	}
	client := e.client(ctx, b)
	one := func() time.Duration {
		e.deploys++
		answer := fmt.Sprintf("release %09d\n", e.deploys)
		if err := deploy(bytes.Replace(template, []byte("the first release\n"), []byte(answer), 1)); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := answered(ctx, client, "https://"+host+"/", answer); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	one()
	var took []time.Duration
	for b.Loop() {
		took = append(took, one())
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(took[len(took)/2]), "median-ms")
	b.ReportMetric(ms(took[len(took)-1]), "worst-ms")
	b.ReportMetric(0, "ns/op")
}
