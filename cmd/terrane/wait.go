package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/tenant"
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
func (f *waitFlags) wait(ctx context.Context, ask func(context.Context) ([]*edgeStatus, error)) error {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	behind := "no edge"
	for pause := firstAsk; ; pause = min(2*pause, lastAsk) {
		edges, err := ask(ctx)
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
			return fmt.Errorf("%s is not live at %s after %s: see what its stores say (terrane status)", f.revision, behind, f.timeout)
		case <-time.After(pause):
		}
	}
}

// behind names an edge that has yet to take the revision, none if it is live at all.
func (f *waitFlags) behind(edges []*edgeStatus) (behind string, err error) {
	var refusals []error
	for _, e := range edges {
		live, err := e.Sync.Progress(tenant.Revision(f.revision))
		if err != nil {
			refusals = append(refusals, fmt.Errorf("%s is not live at %s: %w", f.revision, e.Edge["name"], err))
		}
		if !live {
			behind = e.Edge["name"]
		}
	}
	return behind, errors.Join(refusals...)
}

// edges asks for the status of each edge that can be asked: the one that the flags name.
func (f *adminFlags) edges(ctx context.Context) ([]*edgeStatus, error) {
	s, err := f.status(ctx)
	return []*edgeStatus{s}, err
}

func (f *adminFlags) status(ctx context.Context) (*edgeStatus, error) {
	body, err := f.get(ctx, "/status", nil)
	if err != nil {
		return nil, err
	}
	s := new(edgeStatus)
	return s, errors.Join(json.NewDecoder(body).Decode(s), body.Close())
}
