package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"github.com/terrane/terrane/internal/certs"
	"github.com/terrane/terrane/internal/certs/storage"
	"github.com/terrane/terrane/internal/conns"
	"github.com/terrane/terrane/tenant"
)

const lookAgain = time.Minute // how long what the storage said of a failure is believed

// remembered is a failure, and when to ask the storage for news of it.
type remembered struct {
	err  error
	look time.Time
}

// flight is an order that handshakes wait for. cert and err are set before done is closed.
type flight struct {
	host   string
	domain string       // registrable
	from   netip.Prefix // network whose visitor asked first; zero: not known
	done   chan struct{}
	cert   *tls.Certificate
	err    error
}

// admit refuses hosts that may not have a certificate. One in memory was permitted.
func (a *Manager) admit(hello *tls.ClientHelloInfo) error {
	name := certs.ServerName(hello)
	if e, ok := a.certs.peek(name); ok && e.valid(a.now()) {
		return nil
	}
	host, err := tenant.ParseHost(name)
	if err != nil {
		return fmt.Errorf("%w: %w", certs.ErrNoName, err)
	}
	if isChallenge(hello) || a.self != nil && host == a.opts.SelfHost {
		return nil
	}
	return a.opts.Permit(hello.Context(), host, certs.Source(hello))
}

func isChallenge(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmeALPN
}

// getCertificate is asked for hosts that were admitted.
func (a *Manager) getCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	ctx := hello.Context()
	if ctx == nil { // in tests, which make a hello by hand
		ctx = context.Background()
	}
	host := certs.ServerName(hello)
	if isChallenge(hello) {
		return a.challengeCert(hello)
	}
	if e, ok := a.certs.get(host); ok && e.valid(a.now()) {
		return e.cert, nil
	}
	if a.self != nil && host == string(a.opts.SelfHost) {
		return a.self, nil
	}
	if f, ok := a.failures.get(host); ok && a.now().Before(f.look) {
		return nil, f.err
	}
	e, err := a.loadShared(ctx, host)
	if err == nil && e.valid(a.now()) {
		return a.keep(host, e).cert, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errTorn) {
		return nil, err
	}
	return a.await(ctx, host, conns.NetworkOf(certs.Source(hello)))
}

// challengeCert answers a challenge that this edge or another one has to meet.
func (a *Manager) challengeCert(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	var errs []error
	if cas := a.cas.Load(); cas != nil {
		for _, c := range *cas {
			cert, err := c.config.GetCertificate(hello)
			if err == nil {
				return cert, nil
			}
			errs = append(errs, err)
		}
	}
	return nil, errors.Join(errs...)
}

// loadShared loads once for all handshakes that want it at a time. A storage that
// hangs costs them no more than storage.Timeout.
func (a *Manager) loadShared(ctx context.Context, host string) (*entry, error) {
	loaded := a.loads.DoChan(host, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storage.Timeout)
		defer cancel()
		return a.load(ctx, host)
	})
	timer := time.NewTimer(storage.Timeout)
	defer timer.Stop()
	select {
	case r := <-loaded:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*entry), nil
	case <-timer.C:
		return nil, errors.New("the storage of certificates does not answer")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// await waits for the order for host, and starts it if there is none.
func (a *Manager) await(ctx context.Context, host string, from netip.Prefix) (*tls.Certificate, error) {
	a.mu.Lock()
	f, ok := a.flights[host]
	if !ok {
		f = &flight{host: host, domain: registrable(host), from: from, done: make(chan struct{})}
		if err := a.share(f); err != nil {
			a.mu.Unlock()
			return nil, err
		}
		select {
		case a.jobs <- f:
			a.flights[host] = f
		default:
			a.mu.Unlock()
			return nil, fmt.Errorf("%d orders for certificates wait already: try again", cap(a.jobs))
		}
	}
	a.mu.Unlock()
	select {
	case <-f.done:
		return f.cert, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-a.done:
		return nil, errors.New("no orders are made anymore")
	}
}

// share refuses an order if too many for the same registrable domain, or on behalf of the
// same network, are in progress. A domain may take half of the workers. A network may take as
// many as it leaves free, so that several together do not take all; its first order is never
// refused. a.mu is held.
func (a *Manager) share(f *flight) error {
	domain, network := 0, 0
	for _, other := range a.flights {
		if other.domain == f.domain {
			domain++
		}
		if f.from.IsValid() && other.from == f.from {
			network++
		}
	}
	switch {
	case domain >= max(1, a.opts.Workers/2):
		return fmt.Errorf("%d names under %s wait for their certificates already: try again", domain, f.domain)
	case network >= max(1, a.opts.Workers-len(a.flights)):
		return fmt.Errorf("%d names that %s asked for wait for their certificates already: try again", network, f.from)
	}
	return nil
}

// land makes the order that a flight stands for.
func (a *Manager) land(ctx context.Context, f *flight) {
	e, err := a.update(ctx, f.host, orderPatience)
	if err != nil {
		f.err = fmt.Errorf("no certificate for %s: %w", f.host, err)
		a.failures.put(f.host, remembered{f.err, a.now().Add(a.silence(err))})
	} else {
		f.cert = e.cert
	}
	a.mu.Lock()
	delete(a.flights, f.host)
	a.mu.Unlock()
	close(f.done)
}

// silence is how long err is the answer before the storage is asked again.
func (a *Manager) silence(err error) time.Duration {
	var f failure
	if errors.As(err, &f) {
		return max(0, min(lookAgain, f.Until.Sub(a.now())))
	}
	return time.Second // the storage's fault
}

func (a *Manager) keep(host string, e *entry) *entry {
	a.certs.put(host, e)
	a.failures.remove(host)
	return e
}
