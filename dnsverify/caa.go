package dnsverify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/terrane/terrane/tenant"
)

// caa finds the CAA records that bind h: its own, or the nearest above (RFC 8659, 3).
func (c *Client) caa(ctx context.Context, h tenant.Host) answer {
	name := string(h)
	for {
		a := c.lookup(ctx, name+".", dns.TypeCAA)
		_, parent, ok := strings.Cut(name, ".")
		if !a.none() || !ok {
			return a
		}
		name = parent
	}
}

const caaCritical = 1 << 7

// judgeCAA reports what keeps each of the CAs from issuing a certificate that is no wildcard.
func judgeCAA(a *answer, cas []string) (defect, bool) {
	if len(cas) == 0 {
		return defect{}, false
	}
	restricted, allowed := false, false
	for _, rr := range a.caas {
		switch tag := strings.ToLower(rr.Tag); {
		case tag == "issue":
			restricted = true
			allowed = allowed || caaAllows(rr.Value, cas)
		case rr.Flag&caaCritical != 0 && !slices.Contains([]string{"issuewild", "iodef", "contactemail", "contactphone"}, tag):
			return defect{standing: tenant.Denied, found: fmt.Sprintf("the CAA record %q at %s is marked critical, and CAs do not know it", rr.Tag, a.name),
				mend: "remove it, or its flag 128"}, true
		}
	}
	if !restricted || allowed {
		return defect{}, false
	}
	return defect{standing: tenant.Denied, found: fmt.Sprintf("the CAA records at %s let none of this platform's CAs issue certificates", a.name),
		mend: fmt.Sprintf("add CAA 0 issue %q there, or remove those with \"issue\"", cas[0])}, true
}

// caaAllows reports whether an issue property lets one of the CAs validate as edges do (RFC
// 8659, 4.2; RFC 8657, 4). An accounturi is taken for ours.
func caaAllows(value string, cas []string) bool {
	parts := strings.Split(value, ";")
	issuer := strings.TrimSuffix(strings.TrimSpace(parts[0]), ".")
	if !slices.ContainsFunc(cas, func(ca string) bool { return strings.EqualFold(ca, issuer) }) {
		return false
	}
	for _, p := range parts[1:] {
		name, list, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "validationmethods") {
			return slices.ContainsFunc(strings.Split(list, ","), func(m string) bool { return m == "http-01" || m == "tls-alpn-01" })
		}
	}
	return true
}
