package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/lattice/logtail"
)

func logsCommand() *cobra.Command {
	var f adminFlags
	var follow, asJSON bool
	var lines int
	cmd := &cobra.Command{
		Use:   "logs TENANT",
		Short: "Show what a tenant's modules logged, on all edges",
		Long:  `Show what the modules of a tenant ("/git/alice", as in its TXT record) logged, on all edges.`,
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := tenantQuery(cmd, args[0])
			if err != nil {
				return err
			}
			q.Set("lines", strconv.Itoa(lines))
			if follow {
				q.Set("follow", "1")
			}
			body, err := f.get(cmd.Context(), "/logs", q)
			if err != nil {
				if cmd.Context().Err() != nil {
					return nil // a signal is how to end it
				}
				return err
			}
			if asJSON {
				_, err = io.Copy(cmd.OutOrStdout(), body)
			} else {
				err = printLog(cmd.OutOrStdout(), body)
			}
			if cmd.Context().Err() != nil {
				err = nil // likewise
			}
			return errors.Join(err, body.Close())
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with each new line")
	cmd.Flags().IntVarP(&lines, "lines", "n", 100, "how many of the last lines")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	return cmd
}

func printLog(w io.Writer, r io.Reader) error {
	for dec := json.NewDecoder(r); ; {
		var line logtail.Line
		err := dec.Decode(&line)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s %s %-5s %s %s %s\n",
			line.Time.Format(time.DateTime), line.Edge, strings.ToLower(line.Level.String()), line.Request, line.Module, line.Text)
		if err != nil {
			return err
		}
	}
}
