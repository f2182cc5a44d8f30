package acme

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/terrane/terrane/internal/certs/storage"
)

// failure is what all edges remember of orders that failed.
type failure struct {
	Count   int       `json:"count"`
	Until   time.Time `json:"until"` // no order before
	Message string    `json:"message"`
}

// Error says what went wrong, and when there is another try.
func (f failure) Error() string {
	return fmt.Sprintf("%s; the next try is after %s", f.Message, f.Until.UTC().Format(time.RFC3339))
}

// Let's Encrypt takes five failed validations of a host in an hour, and one order may
// fail two, by HTTP-01 and by TLS-ALPN-01. A CA that cannot be reached is nobody's fault.
const (
	downFirst = 30 * time.Second
	downMost  = 10 * time.Minute
)

func orderPause(count int) time.Duration {
	pauses := [...]time.Duration{2 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 24 * time.Hour}
	return pauses[min(max(count, 1), len(pauses))-1]
}

// retryAfterText is how Let's Encrypt says in a problem until when a rate limit holds;
// the header that says so too does not come through the ACME library.
var retryAfterText = regexp.MustCompile(`(?i)retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d) ?(?:UTC|Z)`)

// retryAfter is the time before which a CA wants no more orders, zero if it says none.
func retryAfter(err error) time.Time {
	m := retryAfterText.FindStringSubmatch(err.Error())
	if m == nil {
		return time.Time{}
	}
	at, _ := time.Parse(time.DateTime, m[1]+" "+m[2]) // else zero
	return at
}

func downPause(count int) time.Duration {
	return min(downFirst<<min(max(count, 1)-1, 16), downMost)
}

// Where records lie in the storage.
const (
	failurePrefix = "terrane/failures"
	quotaPrefix   = "terrane/quotas"
)

func failureKey(host string) string { return failurePrefix + "/" + host }

// loadFailure returns the zero failure when there was none.
func (a *Manager) loadFailure(ctx context.Context, host string) (f failure, err error) {
	data, err := a.storage.Load(ctx, failureKey(host))
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	} else if err != nil {
		return f, err
	}
	if json.Unmarshal(data, &f) != nil {
		f = failure{} // a record of no use is no reason to refuse
	}
	return f, nil
}

// fail notes that an order failed, and returns the failure.
func (a *Manager) fail(ctx context.Context, host string, before failure, err error, why setback) error {
	f := failure{Count: before.Count, Until: a.now().Add(downFirst), Message: err.Error()}
	if why.answered {
		f.Count++
		f.Until = a.now().Add(orderPause(f.Count))
		if end := a.now().Add(quotaSpan); why.after.After(end) {
			f.Until = end
		} else if why.after.After(f.Until) {
			f.Until = why.after
		}
	}
	data, err := json.Marshal(f)
	if err == nil {
		err = a.storage.Store(ctx, failureKey(host), data)
	}
	if err != nil {
		a.log.Warn("note a failure", "host", host, "err", err)
	}
	return f
}

// registrable is the domain that host was registered under, or host itself if it is a
// public suffix.
func registrable(host string) string {
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host
	}
	return domain
}

// quotaSpan is how long a name counts against the quota of its domain.
const quotaSpan = 7 * 24 * time.Hour

// spentQuota is remembered so that a wildcard's names, without number, do not queue for
// their domain's lock in the places of other domains' orders.
type spentQuota struct {
	err   error
	look  time.Time // when to ask the storage again
	names map[string]bool
}

// spendQuota counts the names that got orders under one registrable domain, over all
// edges. Only a wildcard in DNS makes it bite: each name of it verifies.
func (a *Manager) spendQuota(ctx context.Context, host string) (err error) {
	domain := registrable(host)
	if s, ok := a.spent.get(domain); ok && a.now().Before(s.look) && !s.names[host] {
		return s.err
	}
	lock := "terrane_quota_" + domain
	waiting, cancel := context.WithTimeout(ctx, storage.Timeout)
	defer cancel()
	if err := a.storage.Lock(waiting, lock); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.storage.Unlock(ctx, lock)) }()

	key, names := quotaPrefix+"/"+domain, make(map[string]time.Time)
	data, err := a.storage.Load(ctx, key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && json.Unmarshal(data, &names) != nil {
		clear(names)
	}
	oldest := a.now()
	for name, at := range names {
		if a.now().Sub(at) > quotaSpan {
			delete(names, name)
		} else if at.Before(oldest) {
			oldest = at
		}
	}
	if _, ok := names[host]; ok {
		return nil
	}
	if len(names) >= a.opts.Quota {
		s := spentQuota{look: a.now().Add(lookAgain), names: make(map[string]bool), err: failure{Until: oldest.Add(quotaSpan),
			Message: fmt.Sprintf("%d names under %s got orders within a week, which is the limit", len(names), domain)}}
		for name := range names {
			s.names[name] = true
		}
		a.spent.put(domain, s)
		return s.err
	}
	names[host] = a.now()
	if data, err = json.Marshal(names); err != nil {
		return err
	}
	return a.storage.Store(ctx, key, data)
}
