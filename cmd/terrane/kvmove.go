package main

import (
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/statemove"
	"github.com/terrane/terrane/tenant"
)

func kvExportCommand() *cobra.Command {
	var f adminFlags
	cmd := &cobra.Command{
		Use:   "export [TENANT]",
		Short: "Print all state, or one tenant's, as JSON lines",
		Long: `Print the state of all tenants, or of one, as JSON lines, for terrane kv import at another
edge: with another provider of state, or in a cluster. What is written meanwhile may be missing.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{}
			if len(args) == 1 {
				id, err := tenant.ParseID(args[0])
				if err != nil {
					return usageError{cmd.CommandPath(), err}
				}
				q.Set("tenant", string(id))
			}
			body, err := f.get(cmd.Context(), "/kv/export", q)
			if err != nil {
				return err
			}
			_, err = statemove.Read(io.TeeReader(body, cmd.OutOrStdout()), func(*statemove.Line) error { return nil })
			return errors.Join(err, body.Close())
		},
	}
	f.register(cmd)
	return cmd
}

func kvImportCommand() *cobra.Command {
	var f adminFlags
	var replace bool
	cmd := &cobra.Command{
		Use:   "import < FILE",
		Short: "Store what terrane kv export printed, from standard input",
		Long: `Store what terrane kv export printed, from standard input. Keys that are there keep their
values, so that an import which failed can be repeated. Versions are new; expiry stays.

It waits until the state can be written, which takes a cluster that starts some seconds, and reads
back what it has written. The exit status is 0 only when all entries are there for certain.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if replace {
				q.Set("replace", "1")
			}
			body, err := f.do(cmd.Context(), http.MethodPost, "/kv/import", q, cmd.InOrStdin())
			if err != nil {
				return err
			}
			_, err = io.Copy(cmd.OutOrStdout(), body)
			return errors.Join(err, body.Close())
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&replace, "replace", false, "replace the values of keys that are there")
	return cmd
}
