package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/statemove"
	"github.com/terrane/terrane/tenant"
)

func kvCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kv get|put|del|list|export|import ...",
		Short: "See and change a tenant's key-value state",
		Long:  `See and change the key-value state of a tenant ("/git/alice", as in its TXT record).`,
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(kvGetCommand(), kvPutCommand(), kvDelCommand(), kvListCommand(), kvExportCommand(), kvImportCommand())
	return cmd
}

// kvCall is a call of the admin listener for one tenant.
type kvCall struct {
	adminFlags
	json bool
}

func (c *kvCall) register(cmd *cobra.Command) *cobra.Command {
	c.adminFlags.register(cmd)
	cmd.Flags().BoolVar(&c.json, "json", false, "print JSON")
	return cmd
}

// ask sends a request, prints the answer if JSON is wanted, or decodes it into answer.
func (c *kvCall) ask(cmd *cobra.Command, method, path, id string, q url.Values, send io.Reader, answer any) error {
	parsed, err := tenant.ParseID(id)
	if err != nil {
		return usageError{cmd.CommandPath(), err}
	}
	q.Set("tenant", string(parsed))
	body, err := c.do(cmd.Context(), method, path, q, send)
	if err != nil {
		return err
	}
	if c.json {
		_, err = io.Copy(cmd.OutOrStdout(), body)
	} else {
		err = json.NewDecoder(body).Decode(answer)
	}
	return errors.Join(err, body.Close())
}

func kvGetCommand() *cobra.Command {
	var c kvCall
	var strict bool
	cmd := &cobra.Command{
		Use:   "get TENANT KEY",
		Short: "Print a key's value, as it is",
		Args:  usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{"key": {args[1]}}
			if strict {
				q.Set("strict", "1")
			}
			var e statemove.Entry
			if err := c.ask(cmd, http.MethodGet, "/kv/entry", args[0], q, http.NoBody, &e); err != nil || c.json {
				return err
			}
			_, err := cmd.OutOrStdout().Write(e.Bytes())
			return err
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "a linearizable read: it fails where no majority is in reach")
	return c.register(cmd)
}

func kvPutCommand() *cobra.Command {
	var c kvCall
	var ttl time.Duration
	var version string
	cmd := &cobra.Command{
		Use:   "put TENANT KEY [VALUE]",
		Short: "Store a value, or what comes on standard input; print its version",
		Args:  usage(cobra.RangeArgs(2, 3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			value := cmd.InOrStdin()
			if len(args) == 3 {
				value = strings.NewReader(args[2])
			}
			q := url.Values{"key": {args[1]}, "version": {version}}
			if ttl != 0 {
				q.Set("ttl", ttl.String())
			}
			var e statemove.Entry
			if err := c.ask(cmd, http.MethodPut, "/kv/entry", args[0], q, value, &e); err != nil || c.json {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), e.Version)
			return err
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long the value is kept; 0 is for ever")
	cmd.Flags().StringVar(&version, "version", "", "store only if the key has this version, 0 if it is absent")
	return c.register(cmd)
}

func kvDelCommand() *cobra.Command {
	var c kvCall
	var version string
	cmd := &cobra.Command{
		Use:   "del TENANT KEY",
		Short: "Delete a key",
		Args:  usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.ask(cmd, http.MethodDelete, "/kv/entry", args[0], url.Values{"key": {args[1]}, "version": {version}}, http.NoBody, &struct{}{})
		},
	}
	cmd.Flags().StringVar(&version, "version", "", "delete only if the key has this version")
	return c.register(cmd)
}

func kvListCommand() *cobra.Command {
	var c kvCall
	var after string
	var limit int
	cmd := &cobra.Command{
		Use:   "list TENANT [PREFIX]",
		Short: "Print the keys that begin with a prefix, a line each, in byte order",
		Args:  usage(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{"after": {after}, "limit": {strconv.Itoa(limit)}}
			if len(args) == 2 {
				q.Set("prefix", args[1])
			}
			var keys []statemove.Key
			if err := c.ask(cmd, http.MethodGet, "/kv", args[0], q, http.NoBody, &keys); err != nil || c.json {
				return err
			}
			var text strings.Builder
			for i := range keys {
				text.WriteString(keyLine(keys[i].Text()) + "\n")
			}
			_, err := io.WriteString(cmd.OutOrStdout(), text.String())
			return err
		},
	}
	cmd.Flags().StringVar(&after, "after", "", "begin behind this key")
	cmd.Flags().IntVarP(&limit, "limit", "n", 100, "how many keys at most, up to 1000")
	return c.register(cmd)
}

// keyLine returns the key as one line, quoted as in Go if it has characters that do not print.
func keyLine(key string) string {
	if quoted := strconv.Quote(key); quoted != `"`+key+`"` {
		return quoted
	}
	return key
}
