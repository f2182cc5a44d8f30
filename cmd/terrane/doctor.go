package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/idna"

	"github.com/terrane/terrane/internal/admin"
	"github.com/terrane/terrane/internal/lattice"
)

func doctorCommand() *cobra.Command {
	var f adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor [DOMAIN]",
		Short: "Say what is wrong with a domain, or with the lattice, and how to mend it",
		Long: `Ask a running edge about a domain: each DNS record at each resolver, what was found
and what is wanted, the folder and its consent, the revision, the certificate. The exit
status is 1 if visitors of the domain would not be served.

Without a domain, ask it about its connections to other edges: who is not reached, which
certificate is refused and by whom, what is missing for state to be kept, names and clocks.
The exit status is 1 if anything is wrong.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return doctorLattice(cmd, &f, asJSON)
			}
			host, err := idna.Lookup.ToASCII(strings.TrimSuffix(args[0], "."))
			if err != nil {
				return usageError{cmd.CommandPath(), err}
			}
			body, err := f.get(cmd.Context(), "/doctor", url.Values{"host": {host}})
			if err != nil {
				return err
			}
			var x admin.Examination
			if err := errors.Join(json.NewDecoder(body).Decode(&x), body.Close()); err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), x)
			} else {
				err = printExamination(cmd.OutOrStdout(), &x)
			}
			if err == nil && !x.Healthy {
				err = fmt.Errorf("%s is not served", host)
			}
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printExamination(w io.Writer, x *admin.Examination) error {
	row, end := newTable(w)
	for _, r := range x.DNS.Records {
		state := "good"
		if r.Problem != "" {
			state = r.Problem
		}
		row("%s\t%s\t%s\tat %s\t%s", r.Type, r.Name, orNone(strings.Join(r.Found, ", ")), r.Resolver, state)
		if r.Mend != "" {
			row("\t\t\t\t%s", r.Mend)
		}
	}
	row("dns\t%s\t%s", x.DNS.Verdict.Standing, x.DNS.Verdict.Reason)
	if !x.DNS.Agree {
		row("\tthe resolvers do not agree: wait until the records have spread")
	}
	if x.Unnamed != "" {
		row("caa\tnot compared: %s", x.Unnamed)
	}
	if x.Problem != "" {
		row("folder\t%s", x.Problem)
	}
	if x.Revision != "" {
		row("revision\t%s", x.Revision)
	}
	if x.Refused != "" {
		row("refused\t%s", x.Refused)
	}
	if x.Certificate != nil {
		printCertificate(row, x.Certificate)
	}
	return end()
}

func printCertificate(row func(format string, args ...any), c *admin.Certificate) {
	if c.Problem != "" {
		row("certificate\t%s", c.Problem)
		if c.Mend != "" {
			row("\t%s", c.Mend)
		}
		return
	}
	row("certificate\tby %s until %s", c.Issuer, c.Expires.Format(time.DateTime))
	if c.ACME == nil {
		return
	}
	if !c.ACME.Renews.IsZero() {
		row("\tits renewal is due at %s", c.ACME.Renews.Format(time.DateTime))
	}
	if c.ACME.Problem != "" {
		row("\tits renewal failed: %s", c.ACME.Problem)
	}
}

// doctorLattice prints what an edge finds.
func doctorLattice(cmd *cobra.Command, f *adminFlags, asJSON bool) error {
	body, err := f.get(cmd.Context(), "/doctor", nil)
	if err != nil {
		return err
	}
	var found []lattice.Finding
	if err := errors.Join(json.NewDecoder(body).Decode(&found), body.Close()); err != nil {
		return err
	}
	if asJSON {
		err = printJSON(cmd.OutOrStdout(), found)
	} else {
		row, end := newTable(cmd.OutOrStdout())
		for _, x := range found {
			row("%s\t%s\n\t%s", x.Where, x.Problem, x.Mend)
		}
		if len(found) == 0 {
			row("lattice\tnothing is wrong")
		}
		err = end()
	}
	if err == nil && len(found) > 0 {
		err = errors.New("the lattice is not as it should be")
	}
	return err
}
