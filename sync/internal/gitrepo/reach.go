package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Reach asks an origin for its branch, for limit at most. It makes no mirror.
func Reach(ctx context.Context, o Options, limit time.Duration) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r := Open(o)
	if err = r.prepare(); err == nil {
		_, _, err = r.ask(ctx)
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s: %w", limit, err)
	}
	return errors.Join(err, r.Close())
}
