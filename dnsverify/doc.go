// Package dnsverify answers whether DNS makes a host ours and which tenant it
// names: each A and AAAA record must be one of the platform's addresses, and
// exactly one TXT record under the host must name a folder.
//
// A Verifier gives one of three verdicts. Verified and denied come from answers;
// unknown comes from the lack of one (SERVFAIL, REFUSED, silence, an answer to
// another question). A host once verified stays so for up to three days while DNS
// does not answer, over restarts too; one that never was is refused until DNS
// does answer.
//
// Verify of a verified host reads memory only: Run looks its records up again
// before they expire, and a removed record takes effect with that lookup. A host
// nobody asked for in a day is not refreshed any more, and its next request
// waits once. Hosts that are not verified wait for their first lookup: one lookup
// per host at a time, a bounded number over all, and what they find is kept as long as
// the zone's SOA says, within bounds.
//
// A Client is the resolver underneath. It also serves guests and the outbound
// HTTP client.
//
// The package knows no HTTP, no certificates and no consent of the folder's
// owner. Goroutines: Run's (one that finds what is due, a fixed number that look it
// up, one that saves), and those of a lookup, which end before it returns.
// Lock order: the flights' lock, then one bucket's; tables and queue stand alone.
package dnsverify
