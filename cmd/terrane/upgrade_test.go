package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// process is an edge of its own process.
type process struct {
	t                  *testing.T
	name, dir, lattice string // lattice: of its configuration
	admin              string // where it listens
	cmd                *exec.Cmd
}

// build builds the command as of a release.
func build(t *testing.T, release string) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), release)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-X main.release="+release, "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

func newProcess(t *testing.T, name string) *process {
	return &process{t: t, name: name, dir: t.TempDir(), admin: latticetest.FreeAddr(t)}
}

func (p *process) file() string { return filepath.Join(p.dir, "terrane.toml") }

func (p *process) start(binary string) {
	p.t.Helper()
	file := p.file()
	text := fmt.Sprintf(`
[edge]
name = %q
region = "ams"
data = %q
[[store]]
kind = "folder"
prefix = "/sites/"
path = %q
[dns]
addresses = ["127.0.0.1"]
resolvers = ["127.0.0.1:9"]
[tls]
mode = "internal"
[http]
listen = ["127.0.0.1:0"]
[https]
listen = ["127.0.0.1:0"]
[admin]
listen = %q
%s`, p.name, filepath.Join(p.dir, "data"), p.t.TempDir(), p.admin, p.lattice)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.CommandContext(context.WithoutCancel(p.t.Context()), binary, "serve", "--config", file)
	p.cmd.Stderr = p.t.Output()
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(p.stop)
	p.await("the edge", func() bool { _, err := p.get("/status/lattice"); return err == nil })
}

// stop ends it as an operator does.
func (p *process) stop() {
	if p.cmd == nil {
		return
	}
	err := p.cmd.Process.Signal(syscall.SIGTERM)
	if waited := p.cmd.Wait(); err == nil {
		err = waited
	}
	if p.cmd = nil; err != nil {
		p.t.Errorf("%s: %v", p.name, err)
	}
}

func (p *process) await(what string, cond func() bool) {
	p.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(4 * time.Minute); !cond(); {
		select {
		case <-tick.C:
		case <-late:
			p.t.Fatalf("%s: waited in vain for %s", p.name, what)
		}
	}
}

// get asks the admin listener.
func (p *process) get(path string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), latticetest.Patience)
	defer cancel()
	body, err := askAdmin(ctx, "http://"+p.admin, "", http.MethodGet, path, http.NoBody)
	if err != nil {
		return "", err
	}
	defer body.Close() //nolint:errcheck // it was read
	data, err := io.ReadAll(body)
	return string(data), err
}

// put stores a key that is not there, and reports whether that was confirmed.
func (p *process) put(key string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), latticetest.Patience)
	defer cancel()
	q := url.Values{"tenant": {"/sites/alice"}, "key": {key}, "version": {"0"}}
	body, err := askAdmin(ctx, "http://"+p.admin, "", http.MethodPut, "/kv/entry?"+q.Encode(), strings.NewReader("value of "+key))
	return err == nil && body.Close() == nil
}

// run runs a subcommand on the edge.
func (p *process) run(binary string, in io.Reader, args ...string) string {
	p.t.Helper()
	return p.command(binary, in, append(args, "--admin=http://"+p.admin)...)
}

// command runs the command without an edge.
func (p *process) command(binary string, in io.Reader, args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), binary, args...)
	var out, problem bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &problem
	if err := cmd.Run(); err != nil {
		p.t.Fatalf("%s: %q: %v %s", p.name, args, err, &problem)
	}
	return out.String()
}

// complete awaits the whole cluster.
func (p *process) complete() {
	p.t.Helper()
	p.await("the cluster", func() bool {
		text, err := p.get("/status/lattice")
		if err != nil || !strings.Contains(text, `"edges": 2`) && !strings.Contains(text, `"edges":2`) {
			return false
		}
		_, err = p.get("/kv/entry?strict=1&tenant=/sites/alice&key=first")
		return err == nil
	})
}

// TestUpgrade takes the state of an edge alone to a cluster of three, and replaces the
// binary of each edge by that of the next release while state is written: nothing that
// was confirmed is lost, and each release reads what the other has written.
func TestUpgrade(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the command")
	}
	const old, next = "v1.0.0", "v1.1.0-next"
	before, after := build(t, old), build(t, next)

	edges := []*process{newProcess(t, "ams1"), newProcess(t, "ams2"), newProcess(t, "ams3")}
	alone := edges[0]
	alone.start(before)
	alone.await("state", func() bool { return alone.put("first") })
	alone.put("second\xff")
	alone.run(before, nil, "kv", "put", "/sites/bob", "third", "a value", "--ttl", "1h")
	alone.stop()
	state := filepath.Join(t.TempDir(), "state.jsonl")
	alone.command(before, nil, "lattice", "grow", "--config", alone.file(), "--output", state)
	text, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	exported := string(text)

	routes := []string{latticetest.FreeAddr(t), latticetest.FreeAddr(t), latticetest.FreeAddr(t)}
	for i, p := range edges {
		others := slices.Delete(slices.Clone(routes), i, i+1)
		p.lattice = fmt.Sprintf("[lattice.cluster]\nlisten = %q\nroutes = [\"nats://%s\", \"nats://%s\"]\n", routes[i], others[0], others[1])
		p.start(before)
	}
	edges[1].await("a majority", func() bool { _, err := edges[1].get("/kv?tenant=/sites/alice"); return err == nil })
	edges[1].run(before, strings.NewReader(exported), "kv", "import")
	if got, want := entries(t, edges[2].run(before, nil, "kv", "export")), entries(t, exported); !slices.Equal(got, want) || len(got) != 3 {
		t.Fatalf("the cluster has %q, the edge alone had %q", got, want)
	}

	ctx, end := context.WithCancel(t.Context())
	defer end()
	var writing sync.WaitGroup
	written := make([][]string, len(edges))
	counts := make([]atomic.Int64, len(edges)) // of written, while it grows
	for i, p := range edges {
		writing.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if key := fmt.Sprint(p.name, "-", n); p.put(key) {
					written[i] = append(written[i], key)
					counts[i].Add(1)
					continue
				}
				select { // it is down
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
	for i, p := range edges {
		p.stop()
		p.start(after)
		p.complete()
		if i == 0 { // both are there
			p.await("a write", func() bool { return p.put("by the next") })
			other := edges[2]
			other.await("what the next release wrote", func() bool {
				text, err := other.get("/kv/entry?strict=1&tenant=/sites/alice&key=by+the+next")
				return err == nil && strings.Contains(text, "value of by the next")
			})
			for _, p := range edges {
				p.await("both releases in its status", func() bool {
					text := p.run(before, nil, "status")
					return strings.Contains(text, old) && strings.Contains(text, next)
				})
			}
		}
	}
	for i, p := range edges {
		p.await("ten writes", func() bool { return counts[i].Load() >= 10 })
	}
	end()
	writing.Wait()
	kept := strings.Join(entries(t, edges[0].run(after, nil, "kv", "export")), "\n")
	for _, keys := range written {
		for _, key := range keys {
			if !strings.Contains(kept, fmt.Sprintf(`"key":%q`, key)) {
				t.Errorf("%s was confirmed, and is lost", key)
			}
		}
	}
	t.Logf("%d, %d and %d keys were written meanwhile", len(written[0]), len(written[1]), len(written[2]))
}
