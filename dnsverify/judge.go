package dnsverify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/terrane/terrane/tenant"
)

// policy is what a host's records must say.
type policy struct {
	addresses []netip.Addr
	labels    []string // without dots at their ends
	keys      []string // without "="
	requireAD bool
}

// questions are the names and types that policy asks of a host, in the order that judge takes the answers.
func (p *policy) questions(h tenant.Host) []dns.Question {
	q := []dns.Question{
		{Name: string(h) + ".", Qtype: dns.TypeA, Qclass: dns.ClassINET},
		{Name: string(h) + ".", Qtype: dns.TypeAAAA, Qclass: dns.ClassINET},
	}
	for _, l := range p.labels {
		q = append(q, dns.Question{Name: l + "." + string(h) + ".", Qtype: dns.TypeTXT, Qclass: dns.ClassINET})
	}
	return q
}

// defect is one thing that keeps a host from being verified.
type defect struct {
	answer   int             // index of the answer it was found in
	standing tenant.Standing // Denied, or Unknown when there is no answer
	found    string          // what was found at which name
	mend     string          // what to do, and empty when only DNS can
}

// judge gives the verdict on host by the answers to the policy's questions. What
// is wrong for sure denies, whatever else is unknown.
func (p *policy) judge(h tenant.Host, answers []answer) (tenant.Verdict, []defect) {
	faults := p.judgeAddresses(answers[:2])
	id, more := p.judgeNaming(h, answers[2:])
	for _, f := range more {
		f.answer += 2
		faults = append(faults, f)
	}
	for i := range answers {
		if a := &answers[i]; p.requireAD && !a.authentic && a.err == nil && a.broken == "" {
			faults = append(faults, defect{i, tenant.Denied, fmt.Sprintf("the answer for %s of %s is not signed by DNSSEC", dns.Type(a.qtype), a.name),
				"sign the zone and publish its DS record at the registrar, which this platform requires"})
			break
		}
	}
	if len(faults) == 0 {
		return tenant.Verdict{Standing: tenant.Verified, Tenant: id, Reason: verifiedReason(h, id, answers)}, nil
	}
	standing := tenant.Unknown
	for _, f := range faults {
		if f.standing == tenant.Denied {
			standing = tenant.Denied
		}
	}
	return tenant.Verdict{Standing: standing, Reason: reason(standing, faults)}, faults
}

// judgeAddresses takes the answers for A and AAAA. A foreign address beside ours
// is a fault, because visitors and CAs may choose it.
func (p *policy) judgeAddresses(answers []answer) (faults []defect) {
	ours := 0
	for i := range answers {
		a := &answers[i]
		kind := dns.TypeToString[a.qtype]
		if f, bad := a.unusable(i); bad {
			faults = append(faults, f)
			continue
		}
		for _, ip := range a.addrs {
			if slices.Contains(p.addresses, ip) {
				ours++
				continue
			}
			mend := fmt.Sprintf("remove it, and have %s only", p.wantedAddresses())
			faults = append(faults, defect{i, tenant.Denied, fmt.Sprintf("%s has the %s record %s, which is not an address of this platform", a.via(), kind, ip), mend})
			break
		}
	}
	if ours == 0 && len(faults) == 0 {
		faults = append(faults, defect{0, tenant.Denied, answers[0].via() + " has no A or AAAA record", "add " + p.wantedAddresses()})
	}
	return faults
}

// naming is a TXT record that names a tenant.
type naming struct {
	answer int
	value  string // behind the key
}

// judgeNaming takes the answers for TXT, and returns the tenant that they name. A label
// that the resolver gives no answer for does not matter if another one names a folder.
func (p *policy) judgeNaming(h tenant.Host, answers []answer) (id tenant.ID, faults []defect) {
	var found []naming
	for i := range answers {
		if f, bad := answers[i].unusable(i); bad {
			faults = append(faults, f)
			continue
		}
		for _, txt := range answers[i].texts {
			n, ok := p.parseNaming(txt)
			same := func(m naming) bool { return strings.TrimSuffix(m.value, "/") == strings.TrimSuffix(n, "/") }
			if ok && !slices.ContainsFunc(found, same) {
				found = append(found, naming{i, n})
			}
		}
	}
	switch {
	case len(found) == 0 && len(faults) == 0:
		faults = append(faults, defect{0, tenant.Denied, "there is no TXT record with " + p.wantedKeys() + " at " + p.wantedNames(h),
			fmt.Sprintf("add one, such as \"%s=/PATH/OF/YOUR/FOLDER\"", p.keys[0])})
	case len(found) == 1:
		n := found[0]
		parsed, err := tenant.ParseID(n.value)
		if err == nil {
			return parsed, slices.DeleteFunc(faults, func(f defect) bool { return f.standing == tenant.Unknown })
		}
		faults = append(faults, defect{n.answer, tenant.Denied, fmt.Sprintf("the TXT record at %s names no folder: %.200s", answers[n.answer].name, err),
			fmt.Sprintf("write it as \"%s=/PATH/OF/YOUR/FOLDER\"", p.keys[0])})
	case len(found) > 1:
		a, b := found[0], found[1]
		faults = append(faults, defect{b.answer, tenant.Denied, fmt.Sprintf("TXT records name %d folders, %.100q at %s and %.100q at %s",
			len(found), a.value, answers[a.answer].name, b.value, answers[b.answer].name), "keep one"})
	}
	return "", faults
}

// parseNaming returns what stands behind a key in a TXT record, and whether it
// has one of our keys at all. White space around record and value does not count.
func (p *policy) parseNaming(txt string) (value string, ok bool) {
	key, value, ok := strings.Cut(strings.TrimSpace(txt), "=")
	if !ok || !slices.Contains(p.keys, key) {
		return "", false
	}
	return strings.TrimSpace(value), true
}

// unusable is the fault of an answer that says nothing of records.
func (a *answer) unusable(i int) (defect, bool) {
	kind := dns.TypeToString[a.qtype]
	switch {
	case a.err != nil:
		return defect{i, tenant.Unknown, fmt.Sprintf("DNS does not answer for %s of %s: %s", kind, a.name, oneLine(a.err)), ""}, true
	case a.broken != "":
		return defect{i, tenant.Denied, fmt.Sprintf("%s %s", a.name, a.broken), "correct it"}, true
	}
	return defect{}, false
}

// via is the answer's name, and its alias's if it has one.
func (a *answer) via() string {
	if len(a.aliases) > 0 {
		return fmt.Sprintf("%s (a CNAME to %s)", a.name, a.end())
	}
	return a.name
}

func (p *policy) wantedAddresses() string {
	want := make([]string, len(p.addresses))
	for i, ip := range p.addresses {
		if want[i] = "A " + ip.String(); ip.Is6() {
			want[i] = "AAAA " + ip.String()
		}
	}
	return strings.Join(want, " or ")
}

func (p *policy) wantedNames(h tenant.Host) string {
	where := make([]string, len(p.labels))
	for i, l := range p.labels {
		where[i] = l + "." + string(h)
	}
	return strings.Join(where, " or ")
}

func (p *policy) wantedKeys() string {
	want := make([]string, len(p.keys))
	for i, k := range p.keys {
		want[i] = `"` + k + `="`
	}
	return strings.Join(want, " or ")
}

func verifiedReason(h tenant.Host, id tenant.ID, answers []answer) string {
	ips := slices.Concat(answers[0].addrs, answers[1].addrs)
	return fmt.Sprintf("%s is at %s, and its TXT record names %s", h, ips[0], id)
}

// reason is what the faults of that standing say. Questions without an answer mostly share
// the cause, so that one of them speaks for all.
func reason(standing tenant.Standing, faults []defect) string {
	var parts []string
	for _, f := range faults {
		if f.standing != standing {
			continue
		}
		part := f.found
		if f.mend != "" {
			part += ": " + f.mend
		}
		if !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	if more := len(parts) - 1; standing == tenant.Unknown && more > 0 {
		return fmt.Sprintf("%s (and not for %d more)", parts[0], more)
	}
	return strings.Join(parts, "; ")
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", ", ") }
