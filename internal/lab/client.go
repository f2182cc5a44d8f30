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
	"net/netip"
	"net/url"
	"os"
	"time"
)

// Request is one HTTP GET on a connection of its own.
type Request struct {
	URL      string
	Resolver netip.AddrPort // the DNS server that is asked; zero: the URL's host is an address
	Roots    string         // path of the PEM file with the only trusted roots; empty: the system's
	Timeout  time.Duration  // for all of it; zero: 10 s
}

// Answer is what came back. Redirects are answers too.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	Remote string // the address and port the client was connected to
}

// maxBody bounds what a client of the lab reads.
const maxBody = 16 << 20

// Fetch sends the request from the node. An error means that there was no answer:
// no such name, no way there, a certificate that does not verify.
func (n *Node) Fetch(ctx context.Context, r Request) (*Answer, error) {
	if n.namespace == "" {
		return r.fetch(ctx)
	}
	cmd, err := n.role(ctx, roleFetch)
	if err != nil {
		return nil, err
	}
	in, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	cmd.Stdin = bytes.NewReader(in)
	out, err := n.output(cmd)
	if err != nil {
		return nil, err
	}
	a := new(Answer)
	return a, json.Unmarshal([]byte(out), a)
}

// fetchOnce is the client process.
func fetchOnce(ctx context.Context, _ []string) error {
	var r Request
	if err := json.NewDecoder(os.Stdin).Decode(&r); err != nil {
		return err
	}
	a, err := r.fetch(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(a)
}

func (r Request) fetch(ctx context.Context) (*Answer, error) {
	if r.Timeout == 0 {
		r.Timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	if r.Roots != "" {
		pem, err := os.ReadFile(r.Roots)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", r.Roots)
		}
	}
	dialer := &net.Dialer{}
	if r.Resolver.IsValid() {
		dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, r.Resolver.String())
		}}
	}
	a := new(Answer)
	client := &http.Client{
		Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err == nil {
				a.Remote = conn.RemoteAddr().String()
			}
			return conn, err
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	a.Status, a.Header, a.Body = resp.StatusCode, resp.Header, string(body)
	return a, err
}

// Dial starts a process on the node that opens a TCP connection to addr and closes
// it again, every few milliseconds, and prints a line "connected" or "refused: ..." for each.
func (n *Node) Dial(ctx context.Context, addr netip.AddrPort) (*Process, error) {
	cmd, err := n.role(ctx, roleDial, addr.String())
	if err != nil {
		return nil, err
	}
	return n.start("dial", cmd)
}

func dialForever(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("want ADDRESS")
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	dialer := &net.Dialer{Timeout: time.Second}
	for {
		conn, err := dialer.DialContext(ctx, "tcp", args[0])
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			fmt.Println("refused:", err)
		default:
			fmt.Println("connected")
			_ = conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
