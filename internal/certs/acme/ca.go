package acme

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	acmez "github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// errDown is a CA that is left alone as it did not answer.
var errDown = errors.New("did not answer lately, and is left alone for a while")

// ca is one authority. certmagic speaks with it, keeps the account, and stores what it
// issues; when to order, for whom and how often is ours.
type ca struct {
	key     string // its name in the storage
	url     string
	config  *certmagic.Config
	afresh  *certmagic.Config // the same, but its renewals replace nothing
	issuer  *certmagic.ACMEIssuer
	timeout time.Duration // of one order

	mu     sync.Mutex
	down   int       // answers missed in a row
	missed time.Time // the last of them
	until  time.Time // not asked before
}

// newCAs makes the CAs. The cache is for certmagic to have one: nothing comes into it.
func (a *Manager) newCAs(busyPort int) (*certmagic.Cache, []*ca) {
	nop := zap.NewNop() // errors come back, and are logged by us
	var first *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return first, nil },
		RenewCheckInterval: math.MaxInt64, OCSPCheckInterval: math.MaxInt64,
		Logger: nop,
	})
	cas := make([]*ca, len(a.opts.CAs))
	for i, url := range a.opts.CAs {
		template := certmagic.Config{
			Storage: a.storage,
			Issuers: []certmagic.Issuer{}, // New would make one
			OCSP:    certmagic.OCSPConfig{DisableStapling: true},
			OnEvent: onEvent,
			Logger:  nop,
		}
		config := certmagic.New(cache, template)
		issuer := certmagic.NewACMEIssuer(config, certmagic.ACMEIssuer{
			CA: url, Email: a.opts.Email, Agreed: true, TrustedRoots: a.roots,
			ExternalAccount:   a.opts.eab(url),
			CertObtainTimeout: a.opts.Timeout,
			ListenHost:        "127.0.0.1", AltHTTPPort: busyPort, AltTLSALPNPort: busyPort,
			Logger: nop,
		})
		config.Issuers = []certmagic.Issuer{issuer}
		template.Issuers, template.DisableARI = config.Issuers, true
		cas[i] = &ca{key: issuer.IssuerKey(), url: url, timeout: a.opts.Timeout, config: config, afresh: certmagic.New(cache, template), issuer: issuer}
	}
	first = cas[0].config
	return cache, cas
}

// eab is how the account at a CA is bound; nil: it is not.
func (o *Options) eab(ca string) *acmez.EAB {
	i := slices.IndexFunc(o.EAB, func(b EAB) bool { return b.CA == ca })
	if i < 0 {
		return nil
	}
	return &acmez.EAB{KeyID: o.EAB[i].KeyID, MACKey: o.EAB[i].Key}
}

// attempt is the key of a context.CancelCauseFunc that ends an order.
type attempt struct{}

// issue gets a certificate into the storage, in one attempt, also where there is one.
//
// Of certmagic's two ways the synchronous one asks for an e-mail address on standard
// input, and the other tries again for 30 days while it holds the lock. Only these
// tell the CA which certificate is replaced (RFC 9773 5). So this is the latter,
// ended with its first failure.
//
// A CA may refuse to replace what it issued to another account, as after a change of
// the e-mail address: after a failure the certificate is ordered afresh.
func (c *ca) issue(ctx context.Context, host string, failed bool) error {
	config := c.config
	if failed {
		config = c.afresh
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	begun := time.Now()
	var heard atomic.Int64
	ctx = hear(ctx, begun, &heard)
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	err := config.RenewCertAsync(context.WithValue(ctx, attempt{}, end), host, true)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no certificate within %s: %w", c.timeout, err)
		if last := time.Duration(heard.Load()); last > 0 && time.Since(begun)-last < c.timeout/2 {
			err = fmt.Errorf("%w: %w", errSlow, err)
		}
	}
	return err
}

// hear notes in last when a CA answered, in nanoseconds since begun. What comes after ctx has
// ended does not count: a server may answer as we hang up, just because of that.
func hear(ctx context.Context, begun time.Time, last *atomic.Int64) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() {
		if ctx.Err() == nil {
			last.Store(int64(time.Since(begun)))
		}
	}})
}

// onEvent ends an order when it has failed.
func onEvent(ctx context.Context, event string, data map[string]any) error {
	end, ok := ctx.Value(attempt{}).(context.CancelCauseFunc)
	if !ok {
		return nil
	}
	switch event {
	case "cert_obtaining":
		// The first attempt may have failed where certmagic tells nobody.
		if n, ok := ctx.Value(certmagic.AttemptsCtxKey).(*int); ok && *n > 0 {
			err := fmt.Errorf("%w: the certificate could not be stored", errStorage)
			end(err)
			return err
		}
	case "cert_failed":
		if err, ok := data["error"].(error); ok {
			end(err)
		}
	}
	return nil
}

// report notes how an order from began to now went, and says whether the CA answered.
// One that does not is left alone for a while: certmagic makes all orders wait for one
// that asks for a directory.
func (c *ca) report(began, now time.Time, err error) (answered bool) {
	var p acmez.Problem
	answered = err == nil || errors.Is(err, errUseless) || errors.Is(err, errSlow) || errors.Is(err, errStorage) || errors.As(err, &p) && p.Status < http.StatusInternalServerError
	c.mu.Lock()
	defer c.mu.Unlock()
	if answered {
		c.down = 0
		return true
	}
	if began.Before(c.missed) {
		return false // of one outage with those that were missed
	}
	c.down++
	c.missed = now
	c.until = now.Add(downPause(c.down))
	return false
}

// ask says whether to order from the CA now. Of all orders one tries a CA that did not
// answer before.
func (c *ca) ask(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down == 0 {
		return true
	}
	if now.Before(c.until) {
		return false
	}
	c.until = now.Add(c.timeout)
	return true
}
