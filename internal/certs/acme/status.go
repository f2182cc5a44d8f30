package acme

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Status is what is known of a host's certificate, for its domain's owner.
type Status struct {
	CA      string    `json:"ca,omitempty"`      // directory URL of who issued it
	Expires time.Time `json:"expires,omitzero"`  // zero: this edge has none in memory
	Renews  time.Time `json:"renews,omitzero"`   // when its renewal is due
	Problem string    `json:"problem,omitempty"` // why the last order failed
	NextTry time.Time `json:"next_try,omitzero"` // no order before; zero without a problem
}

// Status looks into memory, and asks the storage what the edges remember of failures.
// It makes no order.
func (a *Manager) Status(ctx context.Context, host string) Status {
	var s Status
	if e, ok := a.certs.peek(host); ok {
		s.CA, s.Expires, s.Renews = e.ca.url, e.cert.Leaf.NotAfter, e.renewAt()
	}
	failed, err := a.loadFailure(ctx, host)
	if err != nil {
		s.Problem = err.Error()
		return s
	}
	s.Problem, s.NextTry = failed.Message, failed.Until
	if r, ok := a.failures.get(host); ok && s.Problem == "" && a.now().Before(r.look) {
		s.Problem = r.err.Error() // what nobody is to remember for longer: a quota, a storage that failed
	}
	return s
}

const (
	directoryTimeout = 5 * time.Second
	maxDirectory     = 64 << 10
)

// CAAIdentities are the names by which CAA records allow the CAs of this edge (RFC 8555
// 9.7.6), as their directories say. The error is of those that did not say; there may be
// identities beside it.
func (a *Manager) CAAIdentities(ctx context.Context) (identities []string, err error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{RootCAs: a.roots, MinVersion: tls.VersionTLS12}}
	client := &http.Client{Transport: transport}
	var errs []error
	for _, url := range a.opts.CAs {
		found, err := readIdentities(ctx, client, url)
		identities = append(identities, found...)
		errs = append(errs, err)
	}
	return identities, errors.Join(errs...)
}

func readIdentities(ctx context.Context, client *http.Client, url string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, directoryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	var directory struct {
		Meta struct {
			CAAIdentities []string `json:"caaIdentities"`
		} `json:"meta"`
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, maxDirectory)).Decode(&directory)
	if err = errors.Join(err, resp.Body.Close()); err != nil || len(directory.Meta.CAAIdentities) == 0 {
		return nil, errors.Join(fmt.Errorf("the directory %s names no CAA identities (%s)", url, resp.Status), err)
	}
	return directory.Meta.CAAIdentities, nil
}
