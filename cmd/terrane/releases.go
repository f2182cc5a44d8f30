package main

import (
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/admin"
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
			var list []admin.Release
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

func printReleases(w io.Writer, list []admin.Release) error {
	row, end := newTable(w)
	for _, r := range list {
		var state string
		if r.Live {
			state = "live since " + r.Since.Format(time.DateTime)
		}
		if r.Pinned {
			state += ", " + r.Pin.Summary()
		}
		row("%s\t%s\t%s", r.Revision, r.Time.Format(time.DateTime), state)
	}
	return end()
}
