package lab_test

import (
	"context"
	"errors"
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

// speaker is a daemon of the edge's host that announces what the edge wants.
type speaker struct {
	start, stop func(context.Context, *testing.T)
	forget      func(context.Context, *testing.T) // what it was told, while it runs; nil: it does not
}

// TestAnycastExternal has the host's own daemon announce what an edge wants
// announced, by the configurations and scripts of the page. The daemon starts after the
// script, and forgets what it was told: by a reload, and by a restart.
func TestAnycastExternal(t *testing.T) {
	needsAnycast(t)
	binary := buildTerrane(t)
	for name, newSpeaker := range map[string]func(context.Context, *testing.T, *planet, *edge) speaker{
		"bird": externalBIRD, "frr": externalFRR, "exabgp": externalExaBGP,
	} {
		t.Run(name, func(t *testing.T) {
			ctx := within(t, patience)
			p := newPlanet(ctx, t, binary, layout{front: "bird"})
			e := p.externalEdge(ctx, t)
			p.trust(ctx, t)
			d := newSpeaker(ctx, t, p, e)
			begin := time.Now()
			announced := func(when string) {
				t.Helper()
				p.announced(ctx, t)
				t.Logf("%s: announced after %v", when, time.Since(begin))
			}
			d.start(ctx, t)
			announced("start")

			left := make(chan error, 1)
			go func() { left <- lab.Until(ctx, p.leaving) }()
			e.run(ctx, t, "drain")
			try(t, <-left)
			p.gone(ctx, t)
			e.run(ctx, t, "undrain")
			announced("undrain")
			if d.forget != nil {
				d.forget(ctx, t)
				announced("forgotten")
			}
			d.stop(ctx, t)
			p.gone(ctx, t)
			d.start(ctx, t)
			announced("restart")

			// Visitors who come by a route that stays: the sessions are ended, and come back.
			route(ctx, t, p.near.router, anycastAddresses[0].String()+"/32", e.net4+".2")
			visits := p.visits(ctx, t)
			const end = "Received: Administrative shutdown"
			before := strings.Count(p.lab.Transcripts(), end)
			e.run(ctx, t, "drain")
			try(t, lab.Until(ctx, func(context.Context) error {
				if strings.Count(p.lab.Transcripts(), end) == before {
					return errors.New("the router was not told of an end of the session")
				}
				return nil
			}))
			must(visits.Stop(ctx))(t)
			try(t, p.near.router.DeleteRoute(ctx, netip.PrefixFrom(anycastAddresses[0], 32)))
			e.run(ctx, t, "undrain")
			announced("end of the session")
			try(t, e.process.Signal(syscall.SIGKILL))
			p.gone(ctx, t)
		})
	}
}

// externalEdge starts an edge at the near site whose host has another speaker.
func (p *planet) externalEdge(ctx context.Context, t *testing.T) *edge {
	t.Helper()
	e := p.newEdge(ctx, t, p.near, 0)
	shared, _, _ := strings.Cut(block(t, p.page, "toml"), "[bgp]")
	p.configure(t, e, p.near, quickly(shared+blocks(t, p.page, "toml")[1]))
	e.start(ctx, t)
	p.near.edges = append(p.near.edges, e)
	return e
}

func externalBIRD(ctx context.Context, t *testing.T, p *planet, e *edge) speaker {
	t.Helper()
	path := p.lab.Path("bin")
	try(t, os.Mkdir(path, 0o700))
	wrap(t, path, "birdc", "/usr/sbin/birdc -s "+p.lab.Path(e.node.Name()+"-bird.ctl"))
	text := e.localize(p.near, block(t, p.page, "bird external"))
	_, err := script(ctx, t, p, e, path, "bird").Line(ctx, "Unable to connect to server") // it starts before BIRD
	try(t, err)
	var bird *lab.BIRD
	return speaker{
		start: func(ctx context.Context, t *testing.T) { t.Helper(); bird = must(e.node.RunBIRD(ctx, text))(t) },
		stop:  func(ctx context.Context, t *testing.T) { t.Helper(); try(t, bird.Stop(ctx)) },
		forget: func(ctx context.Context, t *testing.T) {
			t.Helper()
			must(e.node.Run(ctx, path+"/birdc", "configure"))(t) // an unchanged file
			try(t, lab.Until(ctx, func(ctx context.Context) error {
				out, err := bird.Query(ctx, "show protocols anycast4")
				return contains(out, err, "up")
			}))
		},
	}
}

func externalFRR(ctx context.Context, t *testing.T, p *planet, e *edge) speaker {
	t.Helper()
	path := p.lab.Path("bin")
	try(t, os.Mkdir(path, 0o700))
	wrap(t, path, "vtysh", "/usr/bin/vtysh --vty_socket "+p.lab.Path(e.node.Name()+"-frr"))
	_, err := script(ctx, t, p, e, path, "frr").Line(ctx, "failed to connect") // it starts before FRR
	try(t, err)
	var frr *lab.FRR
	return speaker{
		start: func(ctx context.Context, t *testing.T) {
			t.Helper()
			if frr == nil {
				frr = must(e.node.RunFRR(ctx, block(t, p.page, "frr external")))(t)
				return
			}
			try(t, frr.StartBGP(ctx))
		},
		stop: func(ctx context.Context, t *testing.T) { t.Helper(); try(t, frr.KillBGP(ctx)) },
	}
}

func externalExaBGP(ctx context.Context, t *testing.T, p *planet, e *edge) speaker {
	t.Helper()
	needs(ctx, t, "exabgp", "pgrep")
	config := p.lab.Path("exabgp.conf")
	try(t, os.WriteFile(config, []byte(strings.Replace(block(t, p.page, "exabgp"), "terrane", p.binary, 1)), 0o600))
	var exabgp *lab.Process
	helper := func(ctx context.Context, t *testing.T) string {
		t.Helper()
		return strings.TrimSpace(must(e.node.Run(ctx, "pgrep", "-f", "^"+p.binary+" announcements"))(t))
	}
	return speaker{
		start: func(ctx context.Context, t *testing.T) {
			t.Helper()
			if exabgp == nil {
				// It starts the helper again as this user, who must be able to execute it.
				exabgp = must(e.node.Start(ctx, "exabgp", "env", "exabgp.daemon.user=root", "exabgp", config))(t)
				return
			}
			e.start(ctx, t)
		},
		// The edge and the helper are killed together.
		stop: func(ctx context.Context, t *testing.T) {
			t.Helper()
			try(t, e.process.Signal(syscall.SIGKILL))
			must(e.node.Run(ctx, "kill", "-KILL", helper(ctx, t)))(t)
		},
		// A restart of the edge is not one of the helper: ExaBGP ends itself at the fifth.
		forget: func(ctx context.Context, t *testing.T) {
			t.Helper()
			before := helper(ctx, t)
			try(t, errors.Join(e.process.Signal(syscall.SIGTERM), e.process.Wait(ctx)))
			p.gone(ctx, t)
			e.start(ctx, t)
			p.announced(ctx, t)
			if after := helper(ctx, t); after != before {
				t.Errorf("the helper was %s, and is %s", before, after)
			}
		},
	}
}

// wrap makes a program of path that is another one with arguments.
func wrap(t *testing.T, path, name, command string) {
	t.Helper()
	try(t, os.WriteFile(filepath.Join(path, name), fmt.Appendf(nil, "#!/bin/sh\nexec %s \"$@\"\n", command), 0o700))
}

// script runs the page's script for a daemon.
func script(ctx context.Context, t *testing.T, p *planet, e *edge, path, daemon string) *lab.Process {
	t.Helper()
	wrap(t, path, "terrane", p.binary)
	file := filepath.Join(path, daemon+".sh")
	try(t, os.WriteFile(file, []byte(block(t, p.page, "sh "+daemon)), 0o600))
	return must(e.node.Start(ctx, "script", "env", "PATH="+path+":"+os.Getenv("PATH"), "sh", file))(t)
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
