// Package logtail reads a tenant's log at all edges of the lattice at once.
//
// The asker sends its question on terrane.ask.logs every five seconds, with an inbox;
// each edge that hears it streams the tenant's lines into that inbox until it has not
// heard the question for fifteen: an asker that dies ends all its streams, and an edge
// that comes or returns begins one.
//
// An edge sends so many lines a second of one stream, and holds so many streams; a
// guest that writes more, or an asker that reads slower, loses lines and is told how
// many. Lines of peers are bounded in size. Whoever may ask is the asking edge's to decide: the
// others trust it, as it is in the lattice.
//
// Run holds one goroutine for each stream, and waits for them.
package logtail
