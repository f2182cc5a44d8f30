package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/admin"
	"github.com/terrane/terrane/tenant"
)

func statusCommand() *cobra.Command {
	var f adminFlags
	var asJSON bool
	var wait waitFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show all edges, and one of them: health, stores, tenants, announcements, and why not",
		Long: `Show all edges of the lattice, and of the one that is asked: health, stores, tenants,
announcements, and why not.

With --wait it first waits until a revision is live at each edge: a commit that a git store is at, or
a tenant's revision. The exit status is 1 when it, or a part of it, is refused, and when
it is not live in time:

    git push && terrane status --wait $(git rev-parse HEAD)`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait.revision != "" {
				if err := wait.wait(cmd.Context(), f.progress); err != nil {
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
			return printStatus(cmd.OutOrStdout(), s)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	wait.register(cmd)
	return cmd
}

func printStatus(w io.Writer, s *admin.Status) error {
	row, end := newTable(w)
	state := "ready"
	if !s.Ready {
		state = "not ready"
	}
	row("edge\t%s\t%s\t%s", s.Edge["name"], state, s.Edge["version"])
	for _, why := range s.Unmet {
		row("\t\t%s", why)
	}
	printLattice(row, s)
	for i := range s.Fleet {
		row("differs\t%s\t%s", s.Fleet[i].Tenant, s.Fleet[i].Summary())
	}
	printTasks(row, &s.Tasks)
	for _, st := range s.Sync.Stores {
		state := "reachable"
		if !st.Reachable {
			state = st.Error
		}
		row("store\t%s\t%s\t%s", st.Prefix, st.Origin, state)
		if st.Refused != "" {
			row("\tnot followed\t%s", st.Refused)
		}
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
		if t.Live != nil && t.Live.Pinned {
			row("\t%s", t.Live.Pin.Summary())
		}
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
	for _, p := range s.BFD {
		row("bfd\t%s\t%s\t%s", p.Address, p.State, p.Reason)
	}
	return end()
}

// printLattice shows every edge that this one has heard.
func printLattice(row func(format string, args ...any), s *admin.Status) {
	switch l := s.Lattice; {
	case !l.Connected:
		row("lattice\tcut off\t%s", l.Reason)
	case !l.State:
		row("lattice\tno state\tfewer than half of the cluster's edges are there: what modules keep cannot be reached")
	}
	if l := s.Lattice; l.Edges < l.Wanted {
		row("lattice\t%d of %d other edges of the cluster are connected", l.Edges, l.Wanted)
	}
	s.Members.Print(row)
	for _, e := range s.Edges {
		state := "ready"
		switch {
		case e.Leaving:
			state = "left at " + e.Heard.Format(time.DateTime)
		case e.Silent:
			state = "silent since " + e.Heard.Format(time.DateTime)
		case !e.Ready:
			state = "not ready: " + strings.Join(e.Unmet, "; ")
		}
		row("peer\t%s\t%s\t%s\t%s", e.Name, orNone(e.Region), e.Version, state)
		for _, st := range e.Stores {
			head := tenant.Revision(st.Head).Short()
			if st.Pending > 0 {
				head += fmt.Sprintf(", %d tenants to come", st.Pending)
			}
			row("\t%s\t%s\t%s", st.Prefix, orNone(head), st.Problem)
		}
		if len(e.Prefixes) > 0 {
			row("\tannounces\t%s", strings.Join(e.Prefixes, ", "))
		}
	}
}

// printTasks shows what concerns an operator.
func printTasks(row func(format string, args ...any), s *admin.Tasks) {
	if s.Cron.Lines > 0 {
		row("cron\t%s leads\t%d lines of this region", orNone(s.Cron.Leader), s.Cron.Lines)
	}
	switch {
	case s.Waiting == nil:
		row("messages\tout of reach")
	case *s.Waiting > 0:
		row("messages\t%d wait", *s.Waiting)
	}
}
