package lab_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/terrane/terrane/dnsverify/zone"
	"github.com/terrane/terrane/internal/lab"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

const benchConfig = `
[edge]
name = "%[5]s"
data = "%[1]s/%[5]s"

[[store]]
kind = "git"
prefix = "/polled/"
url = "%[2]s"
poll = "1s"

[[store]]
kind = "git"
prefix = "/told/"
url = "%[2]s"
poll = "1h"
webhook_secret = "a secret of two"

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

[lattice.cluster]
name = "bench"
listen = "%[6]s"
routes = ["nats://%[7]s"]
`

// BenchmarkDeploy measures from the return of git push, or of cp, until the last of
// three edges gives the first new answer over HTTPS, on loopback, with the binary an
// operator runs and real git over HTTP. Each deploy is a module never seen before. An
// operation is a whole deploy; the figures to read are median-ms and worst-ms, 5 ms
// exact, and the largest peak of memory of an edge so far. One git store is polled every
// second; of the other a forge tells one edge by webhook, which counts, and the lattice
// the others; the folder's changes come as file events.
func BenchmarkDeploy(b *testing.B) {
	ctx := context.Background()
	if _, err := exec.LookPath("git"); err != nil {
		b.Skip("git is not installed")
	}
	e := startBenchEdges(ctx, b)
	push := func(module []byte) error {
		if err := e.tree.Write("alice/index.wasm", module); err != nil {
			return err
		}
		if _, err := e.tree.Commit(ctx, "deploy"); err != nil {
			return err
		}
		return e.tree.Push(ctx)
	}
	b.Run("git-push/webhook", func(b *testing.B) {
		e.measure(ctx, b, "told.bench.test", push, func() error { return e.edges[0].tell(ctx) })
	})
	b.Run("git-push/poll=1s", func(b *testing.B) {
		e.measure(ctx, b, "polled.bench.test", func(module []byte) error {
			<-time.After(rand.N(time.Second)) // at any time between two looks, not right after one
			return push(module)
		}, nil)
	})
	b.Run("cp", func(b *testing.B) {
		built := e.lab.Path("built.wasm")
		e.measure(ctx, b, "folder.bench.test", func(module []byte) error {
			if err := os.WriteFile(built, module, 0o600); err != nil {
				return err
			}
			return exec.CommandContext(ctx, "cp", built, e.lab.Path("folder", "alice", "index.wasm")).Run()
		}, nil)
	})
}

type benchEdges struct {
	lab     *lab.Lab
	tree    *lab.WorkTree
	edges   [3]benchNode
	deploys int
}

type benchNode struct {
	name, https string // https: where it listens
	process     *lab.Process
	client      *http.Client // trusts its CA, finds it without DNS and keeps its connection
}

// each calls f for all edges at the same time.
func (e *benchEdges) each(f func(benchNode) error) error {
	var g errgroup.Group
	for _, at := range e.edges {
		g.Go(func() error { return f(at) })
	}
	return g.Wait()
}

// tell sends what a forge sends after a push.
func (at benchNode) tell(ctx context.Context) error {
	const body = `{"ref": "refs/heads/main"}`
	mac := hmac.New(sha256.New, []byte("a secret of two"))
	_, _ = mac.Write([]byte(body)) // never fails
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://told.bench.test/.well-known/terrane/webhook", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := at.client.Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("%s answers a webhook with %s", at.name, resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}

func startBenchEdges(ctx context.Context, b *testing.B) *benchEdges {
	b.Helper()
	l := newBenchLab(ctx, b)
	records, err := zone.New(zone.Options{})
	check(b, err)
	runZone(ctx, b, records)
	check(b, records.Update(map[string][]string{
		"told.bench.test":                  {"A 127.0.0.1"},
		"_keybase_pages.told.bench.test":   {`TXT "kbp=/told/alice"`},
		"polled.bench.test":                {"A 127.0.0.1"},
		"_keybase_pages.polled.bench.test": {`TXT "kbp=/polled/alice"`},
		"folder.bench.test":                {"A 127.0.0.1"},
		"_keybase_pages.folder.bench.test": {`TXT "kbp=/folder/alice"`},
	}))

	git, err := l.Host().StartGit(ctx, netip.MustParseAddrPort("127.0.0.1:0"))
	check(b, err)
	url, err := git.Create(ctx, "tenants.git")
	check(b, err)
	e := &benchEdges{lab: l}
	e.tree, err = l.Host().Clone(ctx, url)
	check(b, err)
	// Only a domain that shows something has the certificate under which a webhook comes.
	check(b, e.tree.Write("alice/about.txt", []byte("alice's")))
	_, err = e.tree.Commit(ctx, "first")
	check(b, err)
	check(b, e.tree.Push(ctx))
	check(b, os.MkdirAll(l.Path("folder", "alice"), 0o700))
	binary := buildTerrane(b)
	var first string
	for i := range e.edges {
		at := &e.edges[i]
		cluster := latticetest.FreeAddr(b)
		first = cmp.Or(first, cluster)
		at.name = fmt.Sprint("edge", i+1)
		at.https = latticetest.FreeAddr(b)
		config := l.Path(at.name + ".toml")
		check(b, os.WriteFile(config, fmt.Appendf(nil, benchConfig, l.Dir(), url, records.Addr(), at.https, at.name, cluster, first), 0o600))
		at.process, err = l.Host().Start(ctx, at.name, binary, "serve", "--config", config)
		check(b, err)
		at.client = e.client(ctx, b, *at)
	}
	return e
}

// newBenchLab is a lab that ends with the benchmark.
func newBenchLab(ctx context.Context, b *testing.B) *lab.Lab {
	b.Helper()
	l, err := lab.New(ctx)
	check(b, err)
	b.Cleanup(func() {
		if b.Failed() {
			b.Log(l.Transcripts())
		}
		check(b, l.Close())
	})
	return l
}

// runZone answers until the benchmark ends.
func runZone(ctx context.Context, b *testing.B, records *zone.Server) {
	ctx, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- records.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		check(b, <-stopped)
	})
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (e *benchEdges) client(ctx context.Context, b *testing.B, at benchNode) *http.Client {
	b.Helper()
	var roots []byte
	err := lab.Until(ctx, func(context.Context) (err error) {
		roots, err = os.ReadFile(e.lab.Path(at.name, caRoot))
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
			return new(net.Dialer).DialContext(ctx, network, at.https)
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

// measure deploys once to be sure that the way is open, and then b.N times. told, if
// not nil, is what happens after a deploy.
func (e *benchEdges) measure(ctx context.Context, b *testing.B, host string, deploy func(module []byte) error, told func() error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	template, err := os.ReadFile(filepath.Join("testdata", "one.wasm"))
	if err != nil {
		b.Fatal(err)
	}
	one := func() time.Duration {
		e.deploys++
		answer := fmt.Sprintf("release %09d\n", e.deploys)
		if err := deploy(bytes.Replace(template, []byte("the first release\n"), []byte(answer), 1)); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if told != nil {
			if err := told(); err != nil {
				b.Fatal(err)
			}
		}
		err := e.each(func(at benchNode) error { return answered(ctx, at.client, "https://"+host+"/", answer) })
		if err != nil {
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
	var peak int64
	for _, at := range e.edges {
		n, err := at.process.PeakMemory()
		if err != nil {
			b.Fatal(err)
		}
		peak = max(peak, n)
	}
	b.ReportMetric(float64(peak)/(1<<20), "peak-MB")
	b.ReportMetric(0, "ns/op")
}
