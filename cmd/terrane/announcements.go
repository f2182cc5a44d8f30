package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/bgp"
	"github.com/terrane/terrane/bgp/relay"
)

// lookLimit is how long an edge may be silent before it counts as hung.
const lookLimit = time.Second

// announcementsFlags say how another speaker is told.
type announcementsFlags struct {
	adminFlags
	exabgp    bool
	repeat    time.Duration
	prefixes  []string
	neighbors []string
}

func announcementsCommand() *cobra.Command {
	var f announcementsFlags
	cmd := &cobra.Command{
		Use:   "announcements",
		Short: "Tell another BGP speaker of this host what an edge wants announced",
		Long: `Print a line whenever what an edge wants announced has changed, and repeat it in case the
speaker has forgotten: "announce", "leave" (with GRACEFUL_SHUTDOWN) or "withdraw"; the last also
when the edge ends, hangs or has yet to start. "shutdown" is said once: visitors still come after the
withdrawal, and the speaker is to end its sessions, which may come back. Runs until it is ended.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := relay.Options{W: cmd.OutOrStdout(), ExaBGP: f.exabgp, Repeat: f.repeat, Neighbors: f.neighbors}
			for _, text := range f.prefixes {
				p, err := netip.ParsePrefix(text)
				if err != nil {
					return usageError{cmd.CommandPath(), err}
				}
				o.Prefixes = append(o.Prefixes, p)
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			if f.exabgp {
				if len(o.Prefixes) == 0 {
					log.Warn("without --prefix nothing can be withdrawn while the edge does not answer")
				}
				// ExaBGP answers each command, and would block when nobody reads that. The
				// goroutine ends with the process: a read cannot be interrupted.
				go func() { _, _ = io.Copy(io.Discard, cmd.InOrStdin()) }()
			}
			return relay.New(o).Run(cmd.Context(), f.look(log))
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.exabgp, "exabgp", false, "print ExaBGP's commands, one for each prefix")
	cmd.Flags().DurationVar(&f.repeat, "repeat", 5*time.Second, "how often to repeat what holds; 0: never")
	cmd.Flags().StringSliceVar(&f.prefixes, "prefix", nil, "what --exabgp withdraws while the edge has not answered yet; "+
		"give each prefix of bgp.prefixes")
	cmd.Flags().StringSliceVar(&f.neighbors, "neighbor", nil, "whose session --exabgp ends when visitors still come after a withdrawal")
	return cmd
}

// look returns a function that asks the edge. A configuration that cannot be read is an
// edge that does not answer: ExaBGP ends itself when this process ends five times a minute.
func (f *announcementsFlags) look(log *slog.Logger) func(context.Context) (bgp.Status, error) {
	var base, token, logged string
	return func(ctx context.Context) (bgp.Status, error) {
		if base == "" {
			var err error
			if base, token, err = f.where(); err != nil {
				if err.Error() != logged {
					log.Error("cannot tell where the edge is: withdrawing", "err", err)
				}
				logged = err.Error()
				return bgp.Status{}, err
			}
		}
		s, err := bgpStatus(ctx, base, token)
		if err != nil {
			base, logged = "", "" // it may have moved
		}
		return s, err
	}
}

func bgpStatus(ctx context.Context, base, token string) (s bgp.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	body, err := askAdmin(ctx, base, token, http.MethodGet, "/status/bgp", http.NoBody)
	if err != nil {
		return s, err
	}
	return s, errors.Join(json.NewDecoder(body).Decode(&s), body.Close())
}
