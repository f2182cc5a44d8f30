package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/terrane/terrane/internal/fault"
	"github.com/terrane/terrane/sync/internal/gitrepo"
)

// ReachTime bounds how long Reach waits for one origin.
const ReachTime = 15 * time.Second

// Reach asks the origin of each git store for its branch, as the first look would, and
// returns what it is refused for, joined: each is a *fault.Fault with the key of the store's
// URL. It takes ReachTime at most and writes nothing. Stores whose repositories this edge
// keeps, or that tenants name, are not asked.
func (o Options) Reach(ctx context.Context) error {
	s := &Syncer{o: o, log: slog.New(slog.DiscardHandler)}
	faults := make([]error, len(o.Stores))
	var asking sync.WaitGroup
	for i, c := range o.Stores {
		if c.Git == nil || c.Git.Hosted {
			continue
		}
		asking.Go(func() {
			if err := gitrepo.Reach(ctx, newStore(s, c).gitOptions(), ReachTime); err != nil {
				faults[i] = &fault.Fault{Key: fmt.Sprintf("store[%d].url", i), Err: err}
			}
		})
	}
	asking.Wait()
	return errors.Join(faults...)
}
