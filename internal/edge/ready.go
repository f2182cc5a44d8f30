package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/terrane/terrane/bgp"
	"github.com/terrane/terrane/bgp/hostaddr"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/health"
	"github.com/terrane/terrane/server"
)

// How long an edge may fail a check before it leaves the routes.
const readyGrace = 500 * time.Millisecond

// buildHealth builds the checks that an edge passes while it is worth announcing.
func (e *Edge) buildHealth(context.Context) error {
	client := e.selfClient()
	checks := []health.Check{
		{Name: "store", Func: e.checkStore, Interval: 200 * time.Millisecond},
		{Name: "self-request", Func: func(ctx context.Context) error { return e.checkSelf(ctx, client) }, Interval: time.Second, Timeout: 2 * time.Second},
	}
	if e.Lattice.Clustered() {
		checks = append(checks, health.Check{Name: "cluster", Func: e.checkCluster, Interval: 500 * time.Millisecond, Timeout: 2 * time.Second})
	}
	if len(e.buckets()) > 0 {
		checks = append(checks, health.Check{Name: "state", Func: e.checkState, Interval: time.Second, Timeout: 2 * stateWait})
	}
	if a := announced(e.cfg); len(a) > 0 {
		check := hostaddr.Check(a...)
		checks = append(checks, health.Check{Name: "address", Interval: time.Second, Func: func(ctx context.Context) error {
			if e.addresses != nil { // it knows what is in the way
				return e.addresses.Check(ctx)
			}
			return check(ctx)
		}})
	}
	var hold time.Duration
	if e.cfg.BGP != nil {
		hold = time.Duration(e.cfg.BGP.Hold)
	}
	var err error
	e.Health, err = health.New(health.Options{
		Checks:   checks,
		Grace:    readyGrace,
		Hold:     hold,
		OnChange: e.setHealth,
		Logger:   e.logger("health"),
		Metrics:  e.metrics,
	})
	return err
}

// Ready is whether balancers and operators should send visitors here.
func (e *Edge) Ready() (bool, []string) {
	ok, unmet := e.Health.Ready()
	if e.announcer != nil {
		switch e.announcer.Status().State {
		case bgp.Draining, bgp.Withdrawing, bgp.Drained:
			return false, append(unmet, "the edge is drained (terrane undrain ends that)")
		}
	}
	return ok, unmet
}

// announced are the addresses whose visitors BGP leads here.
func announced(c *config.Config) []netip.Addr {
	var list []netip.Addr
	if c.BGP == nil {
		return nil
	}
	for _, a := range c.DNS.Addresses {
		if slices.ContainsFunc(c.BGP.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) }) {
			list = append(list, a)
		}
	}
	return list
}

func (e *Edge) checkStore(context.Context) error {
	select {
	case <-e.Syncer.Mirrored():
		return nil
	default:
		return errors.New("the stores have not been mirrored yet")
	}
}

// checkCluster fails until a new edge of a cluster has had the cluster's state. From then on
// it passes, also after a restart: an edge that is cut off serves what it has.
func (e *Edge) checkCluster(ctx context.Context) error {
	standing := e.Lattice.Standing()
	switch {
	case standing.Settled:
		return nil
	case !standing.Joined:
		return errors.New("this edge is no member of its cluster yet: a majority of the cluster's edges must be there")
	}
	if e.states.ready != nil {
		if _, err := e.states.ready(ctx); err != nil {
			return fmt.Errorf("the cluster's state cannot be written yet: %w", err)
		}
	}
	return e.Lattice.Settle()
}

// checkSelf asks the edge's own HTTPS listener.
func (e *Edge) checkSelf(ctx context.Context, client *http.Client) error {
	select {
	case <-e.Server.Ready():
	case <-ctx.Done():
		return errors.New("the listeners are not up yet")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+string(server.SelfHost)+"/", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10))
	err = errors.Join(err, resp.Body.Close())
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("our own HTTPS listener answered %s", resp.Status)
	}
	return err
}

// selfClient makes a new connection for each request, so that each one proves that
// the listener accepts.
func (e *Edge) selfClient() *http.Client {
	conf := &tls.Config{ServerName: string(server.SelfHost)}
	if e.Authority != nil {
		conf.RootCAs = x509.NewCertPool()
		conf.RootCAs.AppendCertsFromPEM(e.Authority.RootPEM())
	} else {
		conf.InsecureSkipVerify = true // the operator's certificates have no name for it, and the peer is this process
	}
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   conf,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			_, https := e.Server.Addrs()
			return e.Server.DialSelf(ctx, reachable(https[0].String()))
		},
	}}
}

// reachable replaces "all addresses" in HOST:PORT by the loopback one.
func reachable(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}
