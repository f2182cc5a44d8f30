package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/idna"

	"github.com/terrane/terrane/dnsverify"
	"github.com/terrane/terrane/internal/certs/acme"
	"github.com/terrane/terrane/tenant"
)

// examination is what an edge finds about a domain.
type examination struct {
	Edge        string           `json:"edge"`
	DNS         dnsverify.Report `json:"dns"`
	Revision    tenant.Revision  `json:"revision,omitempty"` // live
	Refused     string           `json:"refused,omitempty"`  // why a newer one is not
	Problem     string           `json:"problem,omitempty"`  // why the edge would not show the folder
	Certificate *certificate     `json:"certificate,omitempty"`
	Unnamed     string           `json:"caa_not_compared,omitempty"` // why CAA records were not compared with all CAs
	Healthy     bool             `json:"healthy"`
}

// certificate is what the edge's own listener shows for the domain.
type certificate struct {
	Issuer  string    `json:"issuer,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	Problem string    `json:"problem,omitempty"`
	Mend    string    `json:"mend,omitempty"`
	// ACME is what the edges remember of orders for it; nil where there are none.
	ACME *acme.Status `json:"acme,omitempty"`
}

// examine asks DNS anew and looks at all that a request for the host would meet.
func (e *edge) examine(ctx context.Context, h tenant.Host) *examination {
	cas, unnamed := e.caaIdentities(ctx)
	x := &examination{Edge: e.cfg.Edge.Name, Unnamed: unnamed}
	if name, of, _, err := tenant.ParsePreviewHost(h, tenant.Host(e.cfg.Preview.Domain)); err == nil {
		x.DNS = e.verifier.Explain(ctx, of, cas)
		x.DNS.Verdict = previewOf(x.DNS.Verdict, name, of)
	} else {
		x.DNS = e.verifier.Explain(ctx, h, cas)
	}
	if id := x.DNS.Verdict.Tenant; id != "" {
		x.Revision, _ = e.sites.Revision(id)
		if rev, reason, refused := e.refused(id); refused {
			x.Refused = rev.Short() + ": " + reason
		}
	}
	if err := e.sites.Permit(ctx, h, netip.Addr{}); err != nil {
		x.Problem = err.Error()
	} else {
		x.Certificate = e.certificate(ctx, h)
	}
	x.Healthy = x.DNS.Verdict.Standing == tenant.Verified && x.Problem == "" && x.Certificate.Problem == ""
	return x
}

// caaIdentities are the names of the CAs in CAA records, and why some are missing.
func (e *edge) caaIdentities(ctx context.Context) (names []string, missing string) {
	if e.acme == nil {
		return nil, ""
	}
	names, err := e.acme.CAAIdentities(ctx)
	if err != nil {
		return nil, err.Error() // one that is not known may be the one that is allowed
	}
	return names, ""
}

// certificate looks at what the listener shows, which may order it, and at why it shows nothing.
func (e *edge) certificate(ctx context.Context, h tenant.Host) *certificate {
	c := e.shown(ctx, h)
	if e.acme == nil {
		return c
	}
	s := e.acme.Status(ctx, string(h))
	c.ACME = &s
	if c.Problem != "" && s.Problem != "" {
		c.Problem = s.Problem
		c.Mend = "mend what the authority found: it must reach this platform at port 80 or 443 of each address of the domain, and no CAA record may forbid it"
		if !s.NextTry.IsZero() {
			c.Mend += "; the next try is after " + s.NextTry.UTC().Format(time.DateTime) + " UTC"
		}
	}
	return c
}

// shown is the certificate of a handshake with the edge's own listener.
func (e *edge) shown(ctx context.Context, h tenant.Host) *certificate {
	_, https := e.server.Addrs()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	raw, err := e.server.DialSelf(ctx, reachable(https[0].String()))
	if err != nil {
		return &certificate{Problem: err.Error()}
	}
	conn := tls.Client(raw, &tls.Config{
		ServerName:         string(h),
		InsecureSkipVerify: true, //nolint:gosec // it is looked at, not trusted
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		return &certificate{Problem: errors.Join(err, raw.Close()).Error()}
	}
	state := conn.ConnectionState()
	c := &certificate{Issuer: state.PeerCertificates[0].Issuer.String(), Expires: state.PeerCertificates[0].NotAfter}
	err = errors.Join(state.PeerCertificates[0].VerifyHostname(string(h)), conn.Close())
	if time.Now().After(c.Expires) {
		err = errors.Join(err, errors.New("the certificate has expired"))
	}
	if err != nil {
		c.Problem = err.Error()
	}
	return c
}

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
			var x examination
			if err := errors.Join(json.NewDecoder(body).Decode(&x), body.Close()); err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				err = enc.Encode(x)
			} else {
				err = x.print(cmd.OutOrStdout())
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

func (x *examination) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(format string, args ...any) { _, _ = fmt.Fprintf(tw, format+"\n", args...) } // Flush returns what fails
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
		x.Certificate.print(row)
	}
	return tw.Flush()
}

func (c *certificate) print(row func(format string, args ...any)) {
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
