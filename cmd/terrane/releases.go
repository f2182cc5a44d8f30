package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/user"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/tenant"
)

func releasesCommand() *cobra.Command {
	var f adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "releases TENANT",
		Short: "List a tenant's releases on an edge, the newest first",
		Long: `List the releases of a tenant ("/git/alice", as in its TXT record) that an edge keeps,
one for each content: the live one first, then those that it can be rolled back to by when they
were last live. A release that was rolled back to says who did it, when, at which edge, and why.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := tenantQuery(cmd, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return f.show(cmd, "/releases", q)
			}
			body, err := f.get(cmd.Context(), "/releases", q)
			if err != nil {
				return err
			}
			var list []tenantsync.Release
			if err := errors.Join(json.NewDecoder(body).Decode(&list), body.Close()); err != nil {
				return err
			}
			return printReleases(cmd.OutOrStdout(), list)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printReleases(w io.Writer, list []tenantsync.Release) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, r := range list {
		var state string
		if r.Live {
			state = "live since " + r.Since.Format(time.DateTime)
		}
		if r.Pinned {
			state += ", " + r.Pin.Summary()
		}
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\n", r.Revision, r.Time.Format(time.DateTime), state) // Flush returns what fails
	}
	return tw.Flush()
}

func rollbackCommand() *cobra.Command {
	var f adminFlags
	var reason string
	cmd := &cobra.Command{
		Use:   "rollback TENANT REVISION",
		Short: "Make an earlier release of a tenant live again, until the content of its folder changes",
		Long: `Make an earlier release of a tenant live again at every edge of the lattice, and return once
it is. It stays, over restarts too, until the content of the tenant's folder changes and is good:
touching files, or a commit that changes no content, does not end it. The beginning of the
revision will do, from seven characters on; "terrane releases TENANT" lists them.`,
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := tenantQuery(cmd, args[0])
			if err != nil {
				return err
			}
			q.Set("revision", args[1])
			q.Set("by", whoami())
			q.Set("reason", reason)
			return f.post(cmd.Context(), "/rollback", q)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the others who see it in \"terrane releases\"")
	return cmd
}

// whoami names who runs the command, as USER@HOST.
func whoami() string {
	name := os.Getenv("SUDO_USER")
	if u, err := user.Current(); name == "" && err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}

// tenantQuery begins the query of what is asked about a tenant.
func tenantQuery(cmd *cobra.Command, arg string) (url.Values, error) {
	id, err := tenant.ParseIDOrPreview(arg)
	if err != nil {
		return nil, usageError{cmd.CommandPath(), err}
	}
	return url.Values{"tenant": {string(id)}}, nil
}
