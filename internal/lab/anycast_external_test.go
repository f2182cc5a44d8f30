package lab_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lab"
)

// TestAnycastExternal has the host's own daemon announce what an edge wants
// announced, by the configurations and scripts of the page.
func TestAnycastExternal(t *testing.T) {
	needsAnycast(t)
	binary := buildTerrane(t)
	for _, tt := range []struct {
		daemon string
		start  func(ctx context.Context, t *testing.T, p *planet, n *lab.Node, path string)
	}{
		{"bird", func(ctx context.Context, t *testing.T, p *planet, n *lab.Node, path string) {
			must(n.RunBIRD(ctx, block(t, p.page, "bird external")))(t)
			wrap(t, path, "birdc", "/usr/sbin/birdc -s "+p.lab.Path(n.Name()+"-bird.ctl"))
			script(ctx, t, p, n, path, "bird")
		}},
		{"frr", func(ctx context.Context, t *testing.T, p *planet, n *lab.Node, path string) {
			must(n.RunFRR(ctx, block(t, p.page, "frr external")))(t)
			wrap(t, path, "vtysh", "/usr/bin/vtysh --vty_socket "+p.lab.Path(n.Name()+"-frr"))
			script(ctx, t, p, n, path, "frr")
		}},
		{"exabgp", func(ctx context.Context, t *testing.T, p *planet, n *lab.Node, path string) {
			needs(ctx, t, "exabgp")
			config := filepath.Join(path, "exabgp.conf")
			text := strings.Replace(block(t, p.page, "exabgp"), "terrane", p.binary, 1)
			try(t, os.WriteFile(config, []byte(text), 0o600))
			must(n.Start(ctx, "exabgp", "env", "exabgp.daemon.drop=false", "exabgp.api.ack=false", "exabgp", config))(t)
		}},
	} {
		t.Run(tt.daemon, func(t *testing.T) {
			ctx := within(t, time.Minute)
			p := newPlanet(ctx, t, binary, layout{front: "bird"})
			e := p.newEdge(ctx, t, p.near, 0)
			shared, _, _ := strings.Cut(block(t, p.page, "toml"), "[bgp]")
			p.configure(t, e, p.near, shared+blocks(t, p.page, "toml")[1]+"shutdown_wait = \"1s\"\nwithdraw_wait = \"1s\"\n")
			path := p.lab.Path("bin")
			try(t, os.Mkdir(path, 0o700))
			tt.start(ctx, t, p, e.node, path)
			e.start(ctx, t)
			p.near.edges = append(p.near.edges, e)

			p.announced(ctx, t)
			left := make(chan error, 1)
			go func() { left <- lab.Until(ctx, p.leaving) }()
			e.run(ctx, t, "drain")
			try(t, <-left)
			p.gone(ctx, t)
			e.run(ctx, t, "undrain")
			p.announced(ctx, t)
			try(t, e.process.Signal(syscall.SIGKILL))
			p.gone(ctx, t)
		})
	}
}

// wrap makes a program of path that is another one with arguments.
func wrap(t *testing.T, path, name, command string) {
	t.Helper()
	try(t, os.WriteFile(filepath.Join(path, name), fmt.Appendf(nil, "#!/bin/sh\nexec %s \"$@\"\n", command), 0o700))
}

// script runs the page's script for a daemon.
func script(ctx context.Context, t *testing.T, p *planet, n *lab.Node, path, daemon string) {
	t.Helper()
	wrap(t, path, "terrane", p.binary)
	file := filepath.Join(path, daemon+".sh")
	try(t, os.WriteFile(file, []byte(block(t, p.page, "sh "+daemon)), 0o600))
	must(n.Start(ctx, "script", "env", "PATH="+path+":"+os.Getenv("PATH"), "sh", file))(t)
}

// gone waits until the near router has no route to an edge.
func (p *planet) gone(ctx context.Context, t *testing.T) {
	t.Helper()
	try(t, lab.Until(ctx, func(ctx context.Context) error {
		for _, a := range anycastAddresses {
			routes, err := p.near.router.Routes(ctx, netip.PrefixFrom(a, a.BitLen()))
			if err != nil || len(routes) > 0 {
				return fmt.Errorf("%s: routes %v, %w", p.near.name, routes, err)
			}
		}
		return nil
	}))
}

// leaving checks that the near router was asked to leave.
func (p *planet) leaving(ctx context.Context) error {
	for _, a := range anycastAddresses {
		out, err := p.near.query(ctx, netip.PrefixFrom(a, a.BitLen()).String())
		if err != nil || !strings.Contains(out, "BGP.local_pref: 0") {
			return fmt.Errorf("not leaving %s: %s, %w", a, out, err)
		}
	}
	return nil
}
