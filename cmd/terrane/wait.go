package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/admin"
)

// waitFlags say which revision is awaited, and for how long.
type waitFlags struct {
	revision string
	timeout  time.Duration
}

func (f *waitFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.revision, "wait", "", "wait until this revision is live; from seven characters on, its beginning will do")
	cmd.Flags().DurationVar(&f.timeout, "timeout", time.Minute, "how long --wait waits")
}

const (
	firstAsk = 50 * time.Millisecond // between two questions; it doubles
	lastAsk  = time.Second
)

// wait returns once the revision is live at all edges that ask tells of, or why it is
// not.
func (f *waitFlags) wait(ctx context.Context, ask func(context.Context, string) ([]admin.Progress, error)) error {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	behind := "no edge"
	for pause := firstAsk; ; pause = min(2*pause, lastAsk) {
		edges, err := ask(ctx, f.revision)
		if err == nil {
			behind, err = f.behind(edges)
		}
		switch {
		case ctx.Err() != nil: // whatever ask says
		case err != nil:
			return err
		case behind == "":
			return nil
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return fmt.Errorf("%s was not live at %s yet: %w", f.revision, behind, cause)
			}
			return fmt.Errorf("%s is not live at %s after %s: see what its stores say (terrane status)", f.revision, behind, f.timeout)
		case <-time.After(pause):
		}
	}
}

// behind names an edge that has yet to take the revision, none if it is live at all.
func (f *waitFlags) behind(edges []admin.Progress) (behind string, err error) {
	var refusals []error
	for _, e := range edges {
		if e.Problem != "" {
			refusals = append(refusals, fmt.Errorf("%s is not live at %s: %s", f.revision, e.Edge, e.Problem))
		}
		if !e.Live {
			behind = e.Edge
		}
	}
	return behind, errors.Join(refusals...)
}

// progress asks an edge how far a revision has come at each one that it hears.
func (f *adminFlags) progress(ctx context.Context, revision string) ([]admin.Progress, error) {
	body, err := f.get(ctx, "/progress", url.Values{"revision": {revision}})
	if err != nil {
		return nil, err
	}
	var list []admin.Progress
	return list, errors.Join(json.NewDecoder(body).Decode(&list), body.Close())
}

func (f *adminFlags) status(ctx context.Context) (*admin.Status, error) {
	body, err := f.get(ctx, "/status", nil)
	if err != nil {
		return nil, err
	}
	s := new(admin.Status)
	return s, errors.Join(json.NewDecoder(body).Decode(s), body.Close())
}
