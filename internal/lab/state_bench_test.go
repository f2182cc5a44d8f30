package lab_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/terrane/terrane/dnsverify/zone"
	"github.com/terrane/terrane/internal/lab"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

const stateConfig = loopbackConfig + `[limits]
cpu = "10s"
wall = "30s"

[state]
home = "ams"
bytes = "1GiB"

`

// BenchmarkState measures operations on state from a guest, over HTTPS, with the binary
// an operator runs: of one edge, of one of three that keep the state, and of one in
// another region, over a line on which an answer takes 80 ms. An operation of the
// benchmark is one request at a time, or 32 at once, each of many operations on a key of
// its own; the figures to read are ops/s and us/op, for one request's operations.
func BenchmarkState(b *testing.B) {
	for _, c := range []struct {
		name    string
		writes  int // of a request
		regions []string
		at      int // the edge that is asked
	}{
		{"alone", 50, []string{"ams"}, 0},
		{"cluster", 20, []string{"ams", "ams", "ams"}, 1},
		{"80ms", 1, []string{"ams", "fra"}, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
			defer cancel()
			ask := startStateEdges(ctx, b, c.regions, c.at)
			for _, op := range []struct {
				name, path, host string
				n                int
			}{
				{"get", "get", "near", 2000},
				{"get, strict", "get", "strict", c.writes},
				{"put", "put", "near", c.writes},
				{"increment", "inc", "near", c.writes},
				{"append", "app", "near", c.writes},
				{"list of 100", "lst", "near", 100},
			} {
				for _, atOnce := range []int{1, 32} {
					b.Run(fmt.Sprintf("%s/%d", op.name, atOnce), func(b *testing.B) {
						measureState(ctx, b, ask, op.host, op.path, op.n, atOnce)
					})
				}
			}
		})
	}
}

// asker makes a request to the guest of a tenant.
type asker func(ctx context.Context, host, path string) error

func measureState(ctx context.Context, b *testing.B, ask asker, host, op string, n, atOnce int) {
	key := func(i int) string {
		if op == "lst" {
			return "list/"
		}
		return fmt.Sprintf("%s%d", strings.Replace(op, "get", "put", 1), i)
	}
	for i := range atOnce { // what is read is there, and connections are open
		first := op
		if op == "get" {
			first = "put"
		}
		if err := ask(ctx, host, fmt.Sprintf("/%s/1/%s", first, key(i))); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	var workers errgroup.Group
	for i := range atOnce {
		workers.Go(func() error {
			for range b.N {
				if err := ask(ctx, host, fmt.Sprintf("/%s/%d/%s", op, n, key(i))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		b.Fatal(err)
	}
	took, all := b.Elapsed(), float64(b.N*n)
	b.ReportMetric(all*float64(atOnce)/took.Seconds(), "ops/s")
	b.ReportMetric(float64(took.Microseconds())/all, "us/op")
	b.ReportMetric(0, "ns/op")
}

// startStateEdges starts an edge for each name of a region, the first of which is the
// hub, and returns how to ask one of them.
func startStateEdges(ctx context.Context, b *testing.B, regions []string, at int) asker {
	b.Helper()
	l := newBenchLab(ctx, b)
	records, err := zone.New(zone.Options{})
	check(b, err)
	runZone(ctx, b, records)
	check(b, records.Update(map[string][]string{
		"near.bench.test": {"A 127.0.0.1"}, "_keybase_pages.near.bench.test": {`TXT "kbp=/folder/near"`},
		"strict.bench.test": {"A 127.0.0.1"}, "_keybase_pages.strict.bench.test": {`TXT "kbp=/folder/strict"`},
	}))
	guest, err := os.ReadFile(filepath.Join("testdata", "state.wasm"))
	check(b, err)
	for _, tenant := range []string{"near", "strict"} {
		check(b, os.MkdirAll(l.Path("folder", tenant), 0o700))
		check(b, os.WriteFile(l.Path("folder", tenant, "index.wasm"), guest, 0o600))
	}
	check(b, os.WriteFile(l.Path("folder", "strict", "terrane.toml"), []byte("[state]\nstrict = true\n"), 0o600))

	var routes []string
	listen := make([]string, len(regions))
	for i, region := range regions {
		listen[i] = latticetest.FreeAddr(b)
		if region == regions[0] {
			routes = append(routes, `"nats://`+listen[i]+`"`)
		}
	}
	binary := buildTerrane(b)
	e := &benchEdges{lab: l}
	ask := func(client *http.Client) asker {
		return func(ctx context.Context, host, path string) error {
			return askOnce(ctx, client, "https://"+host+".bench.test"+path)
		}
	}
	up := func(node benchNode) asker {
		client := e.client(ctx, b, node)
		client.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
		client.Timeout = time.Minute
		for _, host := range []string{"near", "strict"} {
			check(b, lab.Until(ctx, func(ctx context.Context) error { return ask(client)(ctx, host, "/put/1/up") }))
		}
		return ask(client)
	}
	var nodes []benchNode
	for i, region := range regions {
		node := benchNode{name: fmt.Sprint(region, i+1)}
		node.https = latticetest.FreeAddr(b)
		config := fmt.Sprintf(stateConfig, node.name, region, l.Dir(), records.Addr(), node.https)
		switch {
		case region != regions[0]:
			config += fmt.Sprintf("[lattice]\nleaf = [\"nats://%s\"]\n", longLine(b, listen[0], 40*time.Millisecond))
		case len(routes) > 1:
			config += fmt.Sprintf("[lattice.cluster]\nlisten = %q\nroutes = [%s]\n", listen[i], strings.Join(routes, ", "))
		default:
			config += fmt.Sprintf("[lattice]\nleaf_listen = %q\n", listen[i])
		}
		file := l.Path(node.name + ".toml")
		check(b, os.WriteFile(file, []byte(config), 0o600))
		_, err = l.Host().Start(ctx, node.name, binary, "serve", "--config", file)
		check(b, err)
		nodes = append(nodes, node)
		if len(routes) == 1 { // a mirror of what is not there yet is tried again late
			up(node)
		}
	}
	asked := up(nodes[at])
	var fill errgroup.Group
	for i := range 10 {
		fill.Go(func() error { return asked(ctx, "near", fmt.Sprintf("/fil/10/list/%dxx", i)) })
	}
	check(b, fill.Wait())
	check(b, lab.Until(ctx, func(ctx context.Context) error { return asked(ctx, "near", "/lst/1/list/") })) // a mirror has them, too
	return asked
}

func askOnce(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = cmp.Or(err, fmt.Errorf("%s: %s: %s", url, resp.Status, body))
	}
	return errors.Join(err, resp.Body.Close())
}

// longLine passes TCP connections on; each byte takes delay, either way.
func longLine(b *testing.B, to string, delay time.Duration) (addr string) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(b, err)
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	pass := func(to, from net.Conn) {
		type piece struct {
			due  time.Time
			data []byte
		}
		held := make(chan piece, 1024)
		all.Go(func() {
			for p := range held {
				<-time.After(time.Until(p.due))
				_, _ = to.Write(p.data) // or the other way fails, too
			}
			_ = to.Close()
		})
		for buf := make([]byte, 64<<10); ; {
			n, err := from.Read(buf)
			if err != nil {
				break
			}
			held <- piece{time.Now().Add(delay), slices.Clone(buf[:n])}
		}
		close(held)
	}
	all.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, in, out)
			mu.Unlock()
			all.Go(func() { pass(out, in) })
			all.Go(func() { pass(in, out) })
		}
	})
	b.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return ln.Addr().String()
}
