package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/bgp"
)

const (
	lookEvery = 200 * time.Millisecond
	lookLimit = time.Second // an edge that is silent for so long hangs
)

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
			t := teller{w: cmd.OutOrStdout(), exabgp: f.exabgp, repeat: f.repeat, neighbors: f.neighbors}
			for _, text := range f.prefixes {
				p, err := netip.ParsePrefix(text)
				if err != nil {
					return usageError{cmd.CommandPath(), err}
				}
				t.prefixes = append(t.prefixes, p)
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			if f.exabgp {
				if len(t.prefixes) == 0 {
					log.Warn("without --prefix nothing can be withdrawn while the edge does not answer")
				}
				// ExaBGP answers each command, and would block when nobody reads that. The
				// goroutine ends with the process: a read cannot be interrupted.
				go func() { _, _ = io.Copy(io.Discard, cmd.InOrStdin()) }()
			}
			return t.follow(cmd.Context(), f.look(log))
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

// teller tells another speaker what to do.
type teller struct {
	w         io.Writer
	exabgp    bool
	repeat    time.Duration  // 0: never
	prefixes  []netip.Prefix // the last ones known: they outlive the edge
	neighbors []string       // of ExaBGP

	said  string
	at    time.Time // of said
	ended bool      // the sessions, for late visitors
}

// follow tells what look finds until the context ends.
func (t *teller) follow(ctx context.Context, look func(context.Context) (bgp.Status, error)) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s, err := look(ctx)
		if ctx.Err() != nil {
			break
		}
		if err := t.update(s, err == nil, time.Now()); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if t.said == "withdraw" {
		return nil
	}
	return t.tell("withdraw")
}

// update tells what is new in s, or to be repeated. An edge that has not answered wants
// nothing announced.
func (t *teller) update(s bgp.Status, answered bool, now time.Time) error {
	word := "withdraw"
	if answered {
		t.prefixes = s.Prefixes
		switch s.State {
		case bgp.Announcing:
			word = "announce"
		case bgp.Draining:
			word = "leave"
		}
	}
	// ExaBGP knows what it has announced, and sends each withdrawal.
	repeats := t.repeat > 0 && (!t.exabgp || word != "withdraw")
	if word != t.said || repeats && now.Sub(t.at) >= t.repeat {
		if err := t.tell(word); err != nil {
			return err
		}
		t.said, t.at = word, now
	}
	if answered && s.SessionsEnded && !t.ended {
		if err := t.tell("shutdown"); err != nil {
			return err
		}
	}
	if answered {
		t.ended = s.SessionsEnded
	}
	return nil
}

func (t *teller) tell(word string) error {
	if !t.exabgp {
		_, err := fmt.Fprintln(t.w, word)
		return err
	}
	verb, community := word, ""
	switch word {
	case "leave":
		verb, community = "announce", " community [65535:0]" // RFC 8326
	case "shutdown":
		for _, n := range t.neighbors { // Administrative Shutdown; it connects again
			if _, err := fmt.Fprintf(t.w, "neighbor %s teardown 2\n", n); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range t.prefixes {
		if _, err := fmt.Fprintf(t.w, "%s route %v next-hop self%s\n", verb, p, community); err != nil {
			return err
		}
	}
	return nil
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
