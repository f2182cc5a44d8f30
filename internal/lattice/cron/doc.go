// Package cron runs the [[cron]] lines of tenants' manifests, once for the fleet.
//
// The edges of a region elect a leader. That of the hub's region fires the lines of
// tenants that live everywhere, that of another region those of tenants whose first
// region it is. A run is asked of the nearest edge that serves the tenant.
//
// Before it fires, the leader writes down which time is due, by compare-and-set: two
// edges that both take themselves for the leader fire once. A run is not repeated: one
// that was missed because no leader was there, or whose leader died before it ended,
// is told in the tenant's log. Times are UTC, by the leader's clock. A clock that goes back by
// up to ten minutes makes nothing fire twice. After one that goes back further, lines fire by
// the new time.
//
// The bucket terrane_cron holds the key "leader", which the leader renews every
// second, and one key for each line. An edge becomes leader when it has seen no
// renewal for lease, by its own monotonic clock; a leader that could not renew for
// half of that fires nothing.
//
// Lines that are due while maxRuns are under way wait for their turn, for a minute.
//
// Goroutines: those of runs, at most maxRuns; Run waits for them.
package cron
