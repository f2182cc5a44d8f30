package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	acmez "github.com/mholt/acmez/v3/acme"
)

// errTorn is a certificate that lies in the storage without its key: it is being
// replaced, or whoever did that died.
var errTorn = errors.New("certificate and key do not belong together")

// What is no fault of a CA's connection: the CA has answered.
var (
	errUseless = errors.New("the CA issued a certificate of no use")
	errSlow    = errors.New("the CA answers, and does not come to an end with this host")
	errStorage = errors.New("the storage of certificates failed")
)

// entry is a certificate and what is known of its renewal. All but next is immutable.
type entry struct {
	cert *tls.Certificate
	ca   *ca // whose it is
	ari  acmez.RenewalInfo
	next atomic.Int64 // Unix time of the next look at it
}

func newEntry(cert *tls.Certificate, c *ca, ari acmez.RenewalInfo) *entry {
	e := &entry{cert: cert, ca: c, ari: ari}
	next := e.renewAt()
	if e.ari.HasWindow() && e.ari.RetryAfter != nil && e.ari.RetryAfter.Before(next) {
		next = *e.ari.RetryAfter
	}
	e.next.Store(next.Unix())
	return e
}

func (e *entry) valid(now time.Time) bool { return now.Before(e.cert.Leaf.NotAfter) }

// check says what is wrong with a certificate that was just issued. Who trusts its
// root is not for the edge to know.
func (e *entry) check(now time.Time) error {
	for i, der := range e.cert.Certificate {
		cert, err := x509.ParseCertificate(der)
		switch {
		case err != nil:
			return err
		case now.After(cert.NotAfter):
			return fmt.Errorf("it, or one in its chain, has expired on %s", cert.NotAfter)
		case i+1 == len(e.cert.Certificate):
			continue
		}
		above, err := x509.ParseCertificate(e.cert.Certificate[i+1])
		if err == nil {
			err = cert.CheckSignatureFrom(above)
		}
		if err != nil {
			return fmt.Errorf("its chain does not verify: %w", err)
		}
	}
	return nil
}

// renewAt is the time that was chosen within the CA's window (RFC 9773), unless that
// is perilously late, or when a third of the certificate's life is left.
func (e *entry) renewAt() time.Time {
	end := e.cert.Leaf.NotAfter
	life := end.Sub(e.cert.Leaf.NotBefore)
	if at := e.ari.SelectedTime; !at.IsZero() {
		if latest := end.Add(-life / 20); at.After(latest) {
			return latest
		}
		return at
	}
	return end.Add(-life / 3)
}

func (e *entry) due(now time.Time) bool { return !now.Before(e.renewAt()) }

// stale says whether the CA may have another opinion on renewal by now.
func (e *entry) stale(now time.Time) bool {
	return e.ari.HasWindow() && (e.ari.RetryAfter == nil || !now.Before(*e.ari.RetryAfter))
}

// load returns the certificate in the storage that is valid for longest. The error
// wraps fs.ErrNotExist when there is none, and errTorn when only halves are there.
func (a *Manager) load(ctx context.Context, host string) (*entry, error) {
	select {
	case <-a.ready:
	case <-ctx.Done():
		return nil, errors.New("certificates are not read yet: the edge is starting")
	}
	var best *entry
	missing := fmt.Errorf("certificate of %s: %w", host, fs.ErrNotExist)
	for _, c := range *a.cas.Load() {
		e, err := a.loadFrom(ctx, c, host)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, errTorn):
			missing = err
		case err != nil:
			return nil, err
		case best == nil || e.cert.Leaf.NotAfter.After(best.cert.Leaf.NotAfter):
			best = e
		}
	}
	if best == nil {
		return nil, missing
	}
	return best, nil
}

// loadFrom reads what certmagic stored.
func (a *Manager) loadFrom(ctx context.Context, c *ca, host string) (*entry, error) {
	keyPEM, err := a.storage.Load(ctx, certmagic.StorageKeys.SitePrivateKey(c.key, host))
	if err != nil {
		return nil, err
	}
	certPEM, err := a.storage.Load(ctx, certmagic.StorageKeys.SiteCert(c.key, host))
	if err != nil {
		return nil, err
	}
	meta, _, err := a.loadMeta(ctx, c, host)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err == nil {
		err = cert.Leaf.VerifyHostname(host)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s of %s: %w", errTorn, host, c.key, err)
	}
	var ari acmez.RenewalInfo
	if meta.RenewalInfo != nil {
		ari = *meta.RenewalInfo
	}
	return newEntry(&cert, c, ari), nil
}

// loadMeta reads what certmagic notes of a certificate.
func (a *Manager) loadMeta(ctx context.Context, c *ca, host string) (meta acmez.Certificate, outer certmagic.CertificateResource, err error) {
	data, err := a.storage.Load(ctx, certmagic.StorageKeys.SiteMeta(c.key, host))
	if err != nil {
		return meta, outer, err
	}
	err = json.Unmarshal(data, &outer)
	if err == nil && outer.IssuerData != nil {
		err = json.Unmarshal(outer.IssuerData, &meta)
	}
	if err != nil {
		err = fmt.Errorf("%w: metadata of %s: %w", errTorn, host, err)
	}
	return meta, outer, err
}

// refreshARI asks the CA when it wants the certificate renewed, and notes it for all
// edges. The lock of host is held.
func (a *Manager) refreshARI(ctx context.Context, host string, e *entry) (*entry, error) {
	info, err := e.ca.issuer.GetRenewalInfo(ctx, certmagic.Certificate{Certificate: *e.cert})
	if err != nil {
		return e, err
	}
	if info.SameWindow(e.ari) && !e.ari.SelectedTime.IsZero() {
		info.SelectedTime = e.ari.SelectedTime
	}
	if soonest := a.now().Add(time.Minute); info.RetryAfter == nil || info.RetryAfter.Before(soonest) {
		soonest = soonest.Add(6 * time.Hour) // RFC 9773 4.3.3
		info.RetryAfter = &soonest
	}
	meta, outer, err := a.loadMeta(ctx, e.ca, host)
	if err != nil {
		return e, err
	}
	meta.RenewalInfo = &info
	if outer.IssuerData, err = json.Marshal(meta); err != nil {
		return e, err
	}
	data, err := json.Marshal(outer)
	if err != nil {
		return e, err
	}
	err = a.storage.Store(ctx, certmagic.StorageKeys.SiteMeta(e.ca.key, host), data)
	return newEntry(e.cert, e.ca, info), err
}
