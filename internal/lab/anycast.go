package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Visitor sends HTTPS requests to one address, each on a connection of its own.
type Visitor struct {
	Address netip.Addr    // of the server, port 443
	Host    string        // the site
	Roots   string        // path of the PEM file with the trusted roots
	Every   time.Duration // above 0 for StartVisits
	Timeout time.Duration // of one request; zero: 2 s
	Held    int           // connections that StartVisits keeps besides, with a request now and then on each
}

// Visit is how one request went.
type Visit struct {
	Start     time.Time
	Connect   time.Duration // until the TCP connection was there: one round trip
	FirstByte time.Duration // until the first byte of the answer: three round trips with TLS 1.3
	Edge      string        // who answered
	Err       string        // why nobody did; empty otherwise
	Held      bool          // a connection that was held until now, or broke: Err
}

// Visit sends one request from the node. What goes wrong with it is in the Visit.
func (n *Node) Visit(ctx context.Context, v Visitor) (Visit, error) {
	v.Every = 0
	cmd, err := n.visitor(ctx, v)
	if err != nil {
		return Visit{}, err
	}
	out, err := n.output(cmd)
	if err != nil {
		return Visit{}, err
	}
	var visit Visit
	return visit, json.Unmarshal([]byte(out), &visit)
}

func (n *Node) visitor(ctx context.Context, v Visitor) (*exec.Cmd, error) {
	in, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	cmd, err := n.role(ctx, roleVisit)
	if err == nil {
		cmd.Stdin = bytes.NewReader(in)
	}
	return cmd, err
}

// Visits is a visitor who comes again and again, whatever became of the visits before.
type Visits struct{ process *Process }

// StartVisits starts a visitor on the node, and returns after the first visit.
func (n *Node) StartVisits(ctx context.Context, v Visitor) (*Visits, error) {
	cmd, err := n.visitor(ctx, v)
	if err != nil {
		return nil, err
	}
	p, err := n.start("visits", cmd)
	if err != nil {
		return nil, err
	}
	_, err = p.Line(ctx, "Start")
	return &Visits{p}, err
}

// Done are the visits that have come to an end so far, in that order.
func (v *Visits) Done() ([]Visit, error) {
	var visits []Visit
	for line := range strings.Lines(v.process.Output()) {
		if !strings.HasSuffix(line, "\n") {
			break // still being written
		}
		var one Visit
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			return nil, fmt.Errorf("%w: %s", err, line)
		}
		visits = append(visits, one)
	}
	return visits, nil
}

// Stop ends the visitor, who finishes the visits under way, and returns all visits.
func (v *Visits) Stop(ctx context.Context) ([]Visit, error) {
	if err := errors.Join(v.process.Signal(syscall.SIGTERM), v.process.Wait(ctx)); err != nil {
		return nil, err
	}
	return v.Done()
}

// visitOn is the visitor's process.
func visitOn(ctx context.Context, _ []string) error {
	var v Visitor
	if err := json.NewDecoder(os.Stdin).Decode(&v); err != nil {
		return err
	}
	if v.Timeout == 0 {
		v.Timeout = 2 * time.Second
	}
	pem, err := os.ReadFile(v.Roots)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	newClient := func(keep bool) *http.Client {
		return &http.Client{Timeout: v.Timeout, Transport: &http.Transport{
			DisableKeepAlives: !keep,
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots},
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(v.Address, 443).String())
			},
		}}
	}
	client := newClient(false)
	if v.Every == 0 {
		return json.NewEncoder(os.Stdout).Encode(v.visit(ctx, client))
	}
	var visits sync.WaitGroup
	defer visits.Wait()
	var mu sync.Mutex // one line at a time
	out := json.NewEncoder(os.Stdout)
	tell := func(visit Visit) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(visit)
	}
	for range v.Held {
		visits.Go(func() { tell(v.hold(ctx, newClient(true))) })
	}
	tick := time.NewTicker(v.Every)
	defer tick.Stop()
	for {
		visits.Go(func() { tell(v.visit(context.WithoutCancel(ctx), client)) }) // the client's time limit ends it
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// heldEvery is how often a request is sent on a connection that is held.
const heldEvery = 200 * time.Millisecond

// hold keeps one connection in use until the context ends, and reports whether it broke.
func (v Visitor) hold(ctx context.Context, client *http.Client) Visit {
	tick := time.NewTicker(heldEvery)
	defer tick.Stop()
	var all Visit
	connections := 0
	trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		if !c.Reused {
			connections++
		}
	}}
	for ctx.Err() == nil {
		visit := v.visit(httptrace.WithClientTrace(context.WithoutCancel(ctx), trace), client)
		switch {
		case all.Err != "": // and stays broken
		case visit.Err != "":
			all.Err = visit.Err
		case connections > 1:
			all.Err = "closed"
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	client.CloseIdleConnections()
	all.Held = true
	return all
}

func (v Visitor) visit(ctx context.Context, client *http.Client) Visit {
	visit := Visit{Start: time.Now()}
	var connect, firstByte atomic.Int64 // of the transport's goroutine, which may live on after a timeout
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeStart:    func() { connect.Store(int64(time.Since(visit.Start))) },
		GotFirstResponseByte: func() { firstByte.Store(int64(time.Since(visit.Start))) },
	})
	err := func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+v.Host+"/", http.NoBody)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody))
		err = errors.Join(err, resp.Body.Close())
		visit.Edge = resp.Header.Get("Terrane-Edge")
		if resp.StatusCode != http.StatusOK {
			err = errors.Join(err, errors.New(resp.Status))
		}
		return err
	}()
	if err != nil {
		visit.Err = err.Error()
	}
	visit.Connect, visit.FirstByte = time.Duration(connect.Load()), time.Duration(firstByte.Load())
	return visit
}
