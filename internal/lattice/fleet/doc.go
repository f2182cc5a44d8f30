// Package fleet compares what the edges of a lattice serve, and lets one have from
// another what it cannot find out alone.
//
// # What is compared
//
// Of each tenant: the content that is live, and the operator's choice that made it so
// (tenant.Served). An edge says one digest per store in its presence; only where two
// digests differ for a while do edges ask each other, first for the digests of 256 buckets,
// then for the tenants of those that differ. So 10,000 tenants cost a few bytes every two
// seconds, and a tenant that differs a few kilobytes.
//
// What a peer serves otherwise is offered to the Source, which decides. Differences that
// last are shown by Differences and counted by a metric.
//
// # Starting
//
// Known is closed when each edge in reach was compared with once, or when none has been
// heard for Options.Wait. The Source publishes nothing new before.
//
// # Subjects
//
//	terrane.fleet.ASKER.EDGE.sums     a question to one edge: the digests of a store's buckets
//	terrane.fleet.ASKER.EDGE.served   what is served in some buckets, 500 tenants at a time
//	terrane.fleet.ASKER.EDGE.object   256 KiB of an object of a content that is served
//
// Answers go to the asker's inbox. Only edges of the lattice can ask, each in its own name
// (lattice.Permissions). Objects are checked by their SHA-256 by the edge that asked for them.
//
// # Bounds
//
// An edge answers four questions at a time, at most 500 a second to one asker, and at most
// 32 MiB of objects a second; others wait in a short queue or get no answer. Eight
// comparisons run at a time, each of them two seconds at most between answers.
//
// Run holds one goroutine for the comparisons and one for each question being answered,
// and waits for all of them.
package fleet
