package acme

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/terrane/terrane/internal/certs/storage"
	"github.com/terrane/terrane/tenant"
)

const (
	orderPatience = time.Minute     // for another edge's order, while visitors wait
	renewPatience = 5 * time.Second // for another edge's renewal, while nobody does

	storagePatience = time.Minute // for all that an order reads and writes
)

// update returns a certificate for host that is not due for renewal, from the storage
// or from a CA. Among all edges one at a time does this for a host.
//
// If it fails, what the storage has is kept.
func (a *Manager) update(ctx context.Context, host string, patience time.Duration) (*entry, error) {
	ctx, end := context.WithTimeout(ctx, patience+time.Duration(len(a.opts.CAs))*a.opts.Timeout+storagePatience)
	defer end()
	lock := "terrane_" + host
	waiting, cancel := context.WithTimeout(ctx, patience)
	err := a.storage.Lock(waiting, lock)
	cancel()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := a.storage.Unlock(ctx, lock); err != nil {
			a.log.Warn("unlock an order", "host", host, "err", err)
		}
	}()

	e, err := a.current(ctx, host) // again: another edge may have been faster
	if err != nil || e != nil && !e.due(a.now()) {
		return e, err
	}
	return a.order(ctx, host, e)
}

// current loads what the storage has, asks the CA for news if that is due, and keeps
// it. It returns nil if there is nothing of use. The lock of host is held.
func (a *Manager) current(ctx context.Context, host string) (*entry, error) {
	e, err := a.load(ctx, host)
	switch {
	case errors.Is(err, errTorn):
		a.log.Error("a certificate in the storage is of no use, and is replaced", "host", host, "err", err)
		for _, c := range *a.cas.Load() { // certmagic would stumble over it
			if err := a.storage.Delete(ctx, certmagic.StorageKeys.CertsSitePrefix(c.key, host)); err != nil {
				return nil, err
			}
		}
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	inAnHour := a.now().Add(time.Hour).Unix()
	if e.stale(a.now()) {
		if e, err = a.refreshARI(ctx, host, e); err != nil {
			a.log.Warn("ask the CA when to renew", "host", host, "ca", e.ca.key, "err", err)
			e.next.Store(min(e.renewAt().Unix(), inAnHour))
		}
	}
	if e.due(a.now()) { // and being dealt with
		e.next.Store(inAnHour)
	}
	return a.keep(host, e), nil
}

// order gets a certificate from a CA, in place of old if that is not nil. The lock of
// host is held.
func (a *Manager) order(ctx context.Context, host string, old *entry) (*entry, error) {
	failed, err := a.loadFailure(ctx, host)
	if err != nil {
		return nil, err
	}
	if a.now().Before(failed.Until) {
		return nil, failed
	}
	if old == nil {
		if err := a.spendQuota(ctx, host); err != nil {
			return nil, err
		}
	}
	e, why, err := a.issue(ctx, host, failed.Count > 0)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		a.log.Warn("get a certificate", "host", host, "renewal", old != nil, "err", err)
		return nil, a.fail(ctx, host, failed, err, why)
	}
	if old != nil {
		a.metrics.renewals.Inc()
	}
	a.log.Info("certificate issued", "host", host, "renewal", old != nil)
	if failed.Message != "" {
		if err := a.storage.Delete(ctx, failureKey(host)); err != nil {
			a.log.Warn("forget a failure", "host", host, "err", err)
		}
	}
	if soonest := a.now().Add(time.Hour).Unix(); e.next.Load() < soonest {
		e.next.Store(soonest) // whatever the CA says: it would be an order each minute
	}
	return a.keep(host, e), nil
}

// setback says how long CAs that did not issue are to be left alone.
type setback struct {
	answered bool      // by any: else the host has nothing to do with it
	after    time.Time // all of them want no order before; may be zero
}

// issue asks one CA after the other.
func (a *Manager) issue(ctx context.Context, host string, failed bool) (e *entry, why setback, err error) {
	var errs []error
	for _, c := range *a.cas.Load() {
		if !c.ask(a.now()) {
			errs = append(errs, fmt.Errorf("%s: %w", c.key, errDown))
			continue
		}
		began := a.now()
		e, err := a.issueFrom(ctx, c, host, failed)
		if ctx.Err() != nil {
			return nil, why, ctx.Err()
		}
		why.answered = c.report(began, a.now(), err) || why.answered
		if err == nil {
			a.metrics.issued.WithLabelValues(c.key).Inc()
			a.metrics.seconds.Observe(a.now().Sub(began).Seconds())
			return e, why, nil
		}
		a.metrics.failed.WithLabelValues(c.key).Inc()
		if after := retryAfter(err); len(errs) == 0 || after.Before(why.after) {
			why.after = after
		}
		errs = append(errs, fmt.Errorf("%s: %w", c.key, err))
	}
	return nil, why, errors.Join(errs...)
}

// issueFrom gets a certificate from c and looks at it. If it is of no use, what the
// storage had before from c comes back.
func (a *Manager) issueFrom(ctx context.Context, c *ca, host string, failed bool) (*entry, error) {
	keys := []string{certmagic.StorageKeys.SitePrivateKey(c.key, host), certmagic.StorageKeys.SiteCert(c.key, host), certmagic.StorageKeys.SiteMeta(c.key, host)}
	before := make([][]byte, len(keys))
	for i, key := range keys {
		var err error
		if before[i], err = a.storage.Load(ctx, key); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", errStorage, err)
		}
	}
	if err := c.issue(ctx, host, failed); err != nil {
		return nil, err
	}
	e, err := a.loadFrom(ctx, c, host)
	if err == nil {
		err = e.check(a.now())
	}
	if err == nil {
		return e, nil
	}
	errs := []error{fmt.Errorf("%w: %w", errUseless, err)}
	for i, key := range keys {
		if before[i] == nil {
			errs = append(errs, a.storage.Delete(ctx, key))
		} else {
			errs = append(errs, a.storage.Store(ctx, key, before[i]))
		}
	}
	return nil, errors.Join(errs...)
}

// renew updates a certificate in memory whose time has come.
func (a *Manager) renew(ctx context.Context, host string) {
	e, ok := a.certs.peek(host)
	if !ok {
		return
	}
	now := a.now()
	e.next.Store(now.Add(time.Hour).Unix()) // if nothing replaces it
	permitted, cancel := context.WithTimeout(ctx, storage.Timeout)
	err := a.opts.Permit(permitted, tenant.Host(host), netip.Addr{}) // as admit has parsed it
	cancel()
	if err != nil {
		a.log.Info("certificate not renewed: the host is not permitted", "host", host, "err", err)
		if !e.valid(now) {
			a.certs.remove(host)
		}
		return
	}
	var f failure
	switch _, err := a.update(ctx, host, renewPatience); {
	case err == nil || ctx.Err() != nil:
	case errors.As(err, &f):
		a.look(host, f.Until)
	case errors.Is(err, context.DeadlineExceeded): // another edge is at it
		a.look(host, now.Add(time.Minute))
	default:
		a.look(host, now.Add(time.Minute))
		a.log.Warn("renew a certificate", "host", host, "err", err)
	}
}

// look sets when the certificate of host is looked at next.
func (a *Manager) look(host string, at time.Time) {
	if e, ok := a.certs.peek(host); ok {
		e.next.Store(at.Unix())
	}
}

// findRenewals hands over what is due.
func (a *Manager) findRenewals(ctx context.Context) error {
	tick := time.NewTicker(a.opts.Every)
	defer tick.Stop()
	for {
		now := a.now().Unix()
		for _, host := range a.certs.hosts(func(e *entry) bool { return e.next.Load() <= now }) {
			select {
			case a.renewals <- host:
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
