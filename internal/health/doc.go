// Package health decides whether this edge is fit to attract traffic, from small
// named checks, and says why not.
//
// Three things keep a hiccup from moving traffic, and an edge that is half broken from
// moving it back and forth:
//
//   - a check changes only after Rise successes or Fall failures in a row;
//   - the edge stays ready until a check has been down for Grace;
//   - after each loss of readiness it stays not ready for at least a hold, which
//     doubles from Hold to MaxHold with every loss, and starts again at Hold once
//     the edge has been ready for MaxHold. Routers that damp flapping routes
//     (RFC 2439) suppress them for far longer than that, so it is better not to flap.
//
// Until each check has answered once the edge is not ready. When Run ends, the last
// state stands: taking an edge out in order is the business of whoever stops it.
//
// Run has one goroutine for the state and one per check; a check that outlives
// its timeout counts as failed, and is not started again before it returned.
// OnChange is called from the goroutine of the state, in the order of the changes.
package health
