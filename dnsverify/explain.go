package dnsverify

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/terrane/terrane/tenant"
)

// Report is all that DNS says of a host and what is wanted of it, for its owner.
type Report struct {
	Host tenant.Host `json:"host"`
	// Verdict follows from the records as they are now, at the first resolver that
	// answers; Agree is false when another resolver leads to another one.
	Verdict tenant.Verdict `json:"verdict"`
	Agree   bool           `json:"resolvers_agree"`
	// Serving is what requests are answered by at present; nil: nobody has asked yet.
	Serving *Serving `json:"serving,omitempty"`
	Records []Record `json:"records"`
}

// Serving is a verdict in memory.
type Serving struct {
	tenant.Verdict
	Confirmed time.Time `json:"confirmed,omitzero"` // when DNS last said so; zero unless verified
	Expires   time.Time `json:"expires"`            // no later than then it is looked up again
	Stale     bool      `json:"stale,omitempty"`    // DNS fails at present, and it is kept from before
}

// Record is one question to one resolver, and what came of it.
type Record struct {
	Resolver netip.AddrPort `json:"resolver"`
	Name     string         `json:"name"`
	Type     string         `json:"type"` // "A", "AAAA", "TXT" or "CAA"
	// Standing is Verified when the answer is as wanted, absence included where
	// another record will do. That of CAA does not count for the verdict: it keeps CAs
	// from issuing, not edges from serving.
	Standing tenant.Standing `json:"standing"`
	Found    []string        `json:"found"`             // values, in the answer's order
	Aliases  []string        `json:"aliases,omitempty"` // names that CNAMEs led to
	TTL      int             `json:"ttl"`               // seconds, of absence too
	Signed   bool            `json:"signed,omitempty"`  // validated by the resolver (DNSSEC)
	Wanted   string          `json:"wanted,omitempty"`
	Problem  string          `json:"problem,omitempty"` // what is wrong
	Mend     string          `json:"mend,omitempty"`    // what the domain's owner does about it
}

// Explain asks each resolver for each record of h, past all caches of this
// process, and says what is wrong and how to mend it. It changes no verdict and
// takes up to twice Timeout; a ctx that ends makes the missing answers Unknown.
// cas are the names by which CAA records allow the CAs that give h its certificate;
// without any, those records are shown and not judged.
func (v *Verifier) Explain(ctx context.Context, h tenant.Host, cas []string) Report {
	ctx, cancel := context.WithTimeout(ctx, lookupQueries*v.client.timeout)
	defer cancel()
	answers := make([][]answer, len(v.client.resolvers)) // CAA last
	var wg sync.WaitGroup
	for i, r := range v.client.resolvers {
		wg.Go(func() {
			c := v.client.only(r)
			answers[i] = append(v.ask(ctx, c, h), c.caa(ctx, h))
		})
	}
	wg.Wait()
	rep := Report{Host: h, Agree: true}
	for i, r := range v.client.resolvers {
		verdict, faults := v.policy.judge(h, answers[i][:len(answers[i])-1])
		if i > 0 && (verdict.Standing != rep.Verdict.Standing || verdict.Tenant != rep.Verdict.Tenant) {
			rep.Agree = false
		}
		if i == 0 || rep.Verdict.Standing == tenant.Unknown {
			rep.Verdict = verdict
		}
		first := len(rep.Records)
		for j := range answers[i] {
			rep.Records = append(rep.Records, v.record(h, r.addr, &answers[i][j], cas))
		}
		caa := len(answers[i]) - 1
		if f, bad := judgeCAA(&answers[i][caa], cas); bad {
			f.answer = caa
			faults = append(faults, f)
		}
		for _, f := range faults {
			if rec := &rep.Records[first+f.answer]; rec.Problem == "" {
				rec.Standing, rec.Problem, rec.Mend = f.standing, f.found, f.mend
			}
		}
	}
	e := v.known.get(h)
	if e == nil {
		e = v.others.get(h)
	}
	if e != nil {
		rep.Serving = &Serving{e.verdict, e.confirmed, e.expires, e.stale}
	}
	return rep
}

func (v *Verifier) record(h tenant.Host, from netip.AddrPort, a *answer, cas []string) Record {
	r := Record{
		Resolver: from, Name: a.name, Type: dns.TypeToString[a.qtype], Standing: tenant.Verified,
		Found: []string{}, Aliases: a.aliases, TTL: int(a.ttl / time.Second), Signed: a.authentic,
	}
	for _, ip := range a.addrs {
		r.Found = append(r.Found, ip.String())
	}
	for _, txt := range a.texts {
		r.Found = append(r.Found, fmt.Sprintf("%.1000s", strings.ToValidUTF8(txt, "�")))
	}
	switch a.qtype {
	case dns.TypeA, dns.TypeAAAA:
		r.Wanted = "only " + v.policy.wantedAddresses()
	case dns.TypeTXT:
		r.Wanted = "one TXT with " + v.policy.wantedKeys() + " at " + v.policy.wantedNames(h)
	case dns.TypeCAA:
		if len(cas) > 0 {
			r.Wanted = fmt.Sprintf("none, or one that allows %q", cas[0])
		}
	}
	if f, bad := a.unusable(0); bad {
		r.TTL, r.Signed = 0, false
		r.Standing, r.Problem, r.Mend = f.standing, f.found, f.mend
	}
	return r
}
