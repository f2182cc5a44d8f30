// Package messages carries messages between a tenant's modules, wherever they run.
//
// A request goes to the nearest edge that serves the tenant, which is this one if it
// can, then one of its region, and fails over: an edge that answers says every second that it still works, and
// one that falls silent is replaced by the next. A request may so run twice.
//
// A message that is published is kept in the region of its publisher, on the disks of
// a majority, before Publish returns, and then handed to one edge of that region
// after another until one handles it: at least once, in no order, five times at most
// and for a day at most. What an edge has no room for waits, and is no failure: a
// tenant has atOnce messages in hand at an edge, so that a flood holds up nobody else.
// Messages that no [[subscribe]] of the tenant takes are refused; one that an older
// release does not take is tried again, as the next edge may have the newer.
//
// Subjects, below those of package lattice, TENANT being a hash of its ID:
//
//	terrane.msg.TENANT.ask.DOMAIN       requests, to one queue group of a region's edges
//	terrane.msg.TENANT.ask              ... of all
//	terrane.msg.TENANT.who              all that serve the tenant say so at once: the first to
//	terrane.msg.TENANT.at.EDGE          is asked again what another had and is silent about
//	terrane.msg.TENANT.pub.DOMAIN.>     messages, kept by the stream terrane_msg of the domain (terrane_msg_DOMAIN on an operator's NATS)
//
// Goroutines: one per task under way, at most maxTasks, and those of nats.go; Run
// waits for all of them.
package messages
