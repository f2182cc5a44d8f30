package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/bgp"
)

const (
	lookEvery = 200 * time.Millisecond
	lookLimit = time.Second // an edge that is silent for so long hangs
)

func announcementsCommand() *cobra.Command {
	var f adminFlags
	var exabgp bool
	cmd := &cobra.Command{
		Use:   "announcements",
		Short: "Tell another BGP speaker of this host what an edge wants announced",
		Long: `Print a line whenever what an edge wants announced has changed: "announce", "leave" (with
GRACEFUL_SHUTDOWN) or "withdraw"; the last also when the edge ends or hangs. Runs until it is ended.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			base, token, err := f.where()
			if err != nil {
				return err
			}
			look := func(ctx context.Context) (bgp.Status, error) { return bgpStatus(ctx, base, token) }
			return follow(cmd.Context(), cmd.OutOrStdout(), look, exabgp)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&exabgp, "exabgp", false, "print ExaBGP's commands, one for each prefix")
	return cmd
}

// follow prints changes until the context ends.
func follow(ctx context.Context, w io.Writer, look func(context.Context) (bgp.Status, error), exabgp bool) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last bgp.Status // the prefixes outlive the edge
	said := ""
	for {
		s, err := look(ctx)
		word := "withdraw"
		switch {
		case err == nil && s.State == bgp.Announcing:
			word = "announce"
		case err == nil && s.State == bgp.Draining:
			word = "leave"
		}
		if err == nil {
			last = s
		}
		if word != said {
			if err := tell(w, word, last, exabgp); err != nil {
				return err
			}
			said = word
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if said == "withdraw" {
				return nil
			}
			return tell(w, "withdraw", last, exabgp)
		}
	}
}

func tell(w io.Writer, word string, s bgp.Status, exabgp bool) error {
	if !exabgp {
		_, err := fmt.Fprintln(w, word)
		return err
	}
	verb, community := word, ""
	if word == "leave" {
		verb, community = "announce", " community [65535:0]" // RFC 8326
	}
	for _, p := range s.Prefixes {
		if _, err := fmt.Fprintf(w, "%s route %v next-hop self%s\n", verb, p, community); err != nil {
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
