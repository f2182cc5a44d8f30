package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/bgp"
	"github.com/terrane/terrane/internal/health"
	tenantsync "github.com/terrane/terrane/sync"
)

// edgeStatus is what /status says, as far as it is printed.
type edgeStatus struct {
	Edge   map[string]string `json:"edge"`
	Ready  bool              `json:"ready"`
	Unmet  []string          `json:"unmet"`
	Health health.Status     `json:"health"`
	Sync   tenantsync.Status `json:"sync"`
	BGP    *bgp.Status       `json:"bgp"`
}

func statusCommand() *cobra.Command {
	var f adminFlags
	var asJSON bool
	var wait waitFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show an edge: health, stores, tenants, announcements, and why not",
		Long: `Show an edge: health, stores, tenants, announcements, and why not.

With --wait it first waits until a revision is live: a commit that a git store is at, or
a tenant's revision. The exit status is 1 when it, or a part of it, is refused, and when
it is not live in time:

    git push && terrane status --wait $(git rev-parse HEAD)`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait.revision != "" {
				if err := wait.wait(cmd.Context(), f.edges); err != nil {
					return err
				}
			}
			if asJSON {
				return f.show(cmd, "/status", nil)
			}
			s, err := f.status(cmd.Context())
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout())
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	wait.register(cmd)
	return cmd
}

func (s *edgeStatus) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(format string, args ...any) { _, _ = fmt.Fprintf(tw, format+"\n", args...) } // Flush returns what fails
	state := "ready"
	if !s.Ready {
		state = "not ready"
	}
	row("edge\t%s\t%s\t%s", s.Edge["name"], state, s.Edge["version"])
	for _, why := range s.Unmet {
		row("\t\t%s", why)
	}
	for _, st := range s.Sync.Stores {
		state := "reachable"
		if !st.Reachable {
			state = st.Error
		}
		row("store\t%s\t%s\t%s", st.Prefix, st.Origin, state)
		for name, why := range st.Odd {
			row("\t%s\t%s", name, why)
		}
	}
	for _, t := range s.Sync.Tenants {
		live := "never live"
		if t.Live != nil {
			live = fmt.Sprintf("%s since %s", t.Live.Revision.Short(), t.Live.Since.Format(time.DateTime))
		}
		row("tenant\t%s\t%s", t.ID, live)
		if t.Refused != nil {
			row("\trefused %s\t%s", t.Refused.Revision.Short(), t.Refused.Reason)
		}
	}
	if s.BGP != nil {
		row("bgp\t%s\t%s", s.BGP.State, s.BGP.Reason)
		for _, n := range s.BGP.Neighbors {
			state := fmt.Sprintf("announced %v since %s", n.Announced, n.Since.Format(time.DateTime))
			if n.Reason != "" {
				state = n.Reason
			}
			row("neighbor\t%s AS%d\t%s", n.Address, n.ASN, state)
		}
	}
	return tw.Flush()
}
