package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/terrane/terrane/dnsverify/zone"
	"github.com/terrane/terrane/internal/lab"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// askConfig is an edge of a lattice on loopback; ams1 has room for one guest at a time,
// so that what it asks for is done elsewhere.
const askConfig = loopbackConfig + `[limits]
concurrency = %[6]d

[state]
home = "ams"

[lattice]
%[7]s
`

const askManifest = `
[[subscribe]]
subject = "orders.*"
path = "/slow"
`

// TestRequestMoves has a guest at one edge ask another, of three that are processes. The
// nearest answers; when it is killed, or stops, amid the work, another region does, within
// the request's time and unnoticed by the guest; when it is back, so is the work.
func TestRequestMoves(t *testing.T) {
	needs(t.Context(), t, "go")
	ctx := within(t, patience)
	l := newLab(ctx, t)
	records := must(zone.New(zone.Options{}))(t)
	zoneCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan error, 1)
	go func() { stopped <- records.Run(zoneCtx) }()
	t.Cleanup(func() {
		stop()
		try(t, <-stopped)
	})
	const host = "alice.lab.test"
	try(t, records.Update(map[string][]string{host: {"A 127.0.0.1"}, "_terrane." + host: {`TXT "terrane=/folder/alice/"`}}))
	try(t, os.MkdirAll(l.Path("folder", "alice"), 0o700))
	try(t, os.WriteFile(l.Path("folder", "alice", "terrane.toml"), []byte(askManifest), 0o600))
	for _, name := range []string{"ask.wasm", "slow.wasm"} {
		try(t, os.WriteFile(l.Path("folder", "alice", name), must(os.ReadFile(filepath.Join("..", "..", "cmd", "terrane", "testdata", "guests", name)))(t), 0o600))
	}

	binary := buildTerrane(t)
	leaf, one, two := latticetest.FreeAddr(t), latticetest.FreeAddr(t), latticetest.FreeAddr(t)
	cluster := func(own, other string) string {
		return fmt.Sprintf("[lattice.cluster]\nname = \"ams\"\nlisten = %q\nroutes = [%q]\n", own, "nats://"+other)
	}
	var visited string
	start := func(name string, concurrency int, lattice string) func() *lab.Process {
		https, config := latticetest.FreeAddr(t), l.Path(name+".toml")
		if name == "ams1" {
			_, port, _ := strings.Cut(https, ":")
			visited = "https://" + host + ":" + port + "/ask"
		}
		try(t, os.WriteFile(config, fmt.Appendf(nil, askConfig, name, name[:3], l.Dir(), records.Addr(), https, concurrency, lattice), 0o600))
		return func() *lab.Process { return must(l.Host().Start(ctx, name, binary, "serve", "--config", config))(t) }
	}
	start("ams1", 1, fmt.Sprintf("leaf_listen = %q\n", leaf)+cluster(one, two))()
	startNear := start("ams2", 64, cluster(two, one))
	near := startNear()
	start("fra1", 64, fmt.Sprintf("leaf = [%q]\n", "nats://"+leaf))()

	ask := func(ctx context.Context) (string, error) {
		a, err := l.Host().Fetch(ctx, lab.Request{URL: visited, Resolver: records.Addr(), Roots: l.Path("ams1", caRoot)})
		if err == nil && a.Status != 200 {
			err = fmt.Errorf("%d %s", a.Status, a.Body)
		}
		if err != nil {
			return "", err
		}
		return a.Body, nil
	}
	by := func(want string) {
		t.Helper()
		try(t, lab.Until(ctx, func(ctx context.Context) error {
			got, err := ask(ctx)
			if err == nil && got != want {
				err = fmt.Errorf("answered by %s, want %s", got, want)
			}
			return err
		}))
	}
	by("ams2")
	for name, harm := range map[string]struct{ with, mend syscall.Signal }{
		"killed": {with: syscall.SIGKILL}, "stopped": {syscall.SIGSTOP, syscall.SIGCONT},
	} {
		begun := strings.Count(near.Output(), "text=begun")
		answered := make(chan error, 1)
		go func() {
			got, err := ask(ctx)
			if err == nil && got != "fra1" {
				err = fmt.Errorf("answered by %s, want fra1", got)
			}
			answered <- err
		}()
		try(t, lab.Until(ctx, func(context.Context) error {
			if strings.Count(near.Output(), "text=begun") == begun && len(answered) == 0 {
				return errors.New("ams2 has not begun")
			}
			return nil
		}))
		try(t, near.Signal(harm.with))
		if err := <-answered; err != nil {
			t.Errorf("while ams2 is %s: %v", name, err)
		}
		if harm.mend == 0 {
			_ = near.Wait(ctx) // killed
			near = startNear()
		} else {
			try(t, near.Signal(harm.mend))
		}
		by("ams2")
	}
}
