package acme

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

const (
	cleanEvery = 24 * time.Hour      // for all edges together
	keepUnused = 30 * 24 * time.Hour // for what has expired
)

// clean removes from the storage what hosts that left have left, until ctx ends.
func (a *Manager) clean(ctx context.Context) error {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	for {
		if err := a.cleanOnce(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("clean the storage of certificates", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *Manager) cleanOnce(ctx context.Context) error {
	errs := []error{certmagic.CleanStorage(ctx, a.storage, certmagic.CleanStorageOptions{
		Interval: cleanEvery - time.Hour, ExpiredCerts: true, ExpiredCertGracePeriod: keepUnused, Logger: zap.NewNop(),
	})}
	for _, prefix := range []string{failurePrefix, quotaPrefix} {
		keys, err := a.storage.List(ctx, prefix, true)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, key := range keys {
			info, err := a.storage.Stat(ctx, key)
			if err == nil && a.now().Sub(info.Modified) > keepUnused {
				errs = append(errs, a.storage.Delete(ctx, key))
			}
		}
	}
	return errors.Join(errs...)
}
