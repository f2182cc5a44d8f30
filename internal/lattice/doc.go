// Package lattice is the fabric between edges, on NATS; this package and those below
// it are the only importers of NATS. It runs a NATS server inside the edge (or uses
// the operator's), keeps one connection to it, and hands that to the packages below.
//
// # Topologies
//
//   - Alone: no listener at all, the connection stays in the process. State is on disk.
//   - Cluster: edges of one region, full mesh, state replicated among them.
//   - Leaf: an edge or a cluster of another region dials a hub. Each region has a
//     JetStream domain of its own name: state is written in its region. Core messages
//     go everywhere at once; NATS itself keeps JetStream's subjects, key-value writes
//     among them, from crossing between domains.
//   - External: no server in the edge, a connection to the operator's NATS.
//
// # Subjects
//
// Everything of terrane is below "terrane."; the first token after it is the part
// that owns the subject, the next is the edge that speaks.
//
//	terrane.presence.EDGE       what an edge says of itself
//	terrane.notice.EDGE         a store has news, as a hint
//	terrane.ask.PART            a question to all edges; answers go to the asker's inbox
//	terrane.fleet.EDGE.OTHER.>  what the other edge serves, and objects of it; see package fleet
//	terrane.ticket.EDGE         session-ticket keys, sealed
//	terrane.msg.TENANT.>        messages among a tenant's guests
//	terrane.place.REGION.>      requests forwarded to a region
//
// Buckets and streams are called terrane_*.
//
// # Who may what
//
// A connection of the edge NAME may publish below terrane.*.NAME only where the
// subject names the speaker; see Permissions. Leaf nodes speak for all edges of their
// region and may use all of terrane's subjects, and nothing of the server's system
// account. Servers of a cluster trust each other wholly: NATS knows no limits between
// routes. Whoever listens beyond loopback asks for TLS certificates of the lattice's
// own authority, or nkeys (not between the servers of a cluster, which have none).
//
// # Versions
//
// Edges of this version and of the next and the one before are in one lattice while a
// fleet is upgraded, one edge after the other. So what a message, a header, a record or
// a bucket means never changes; more may be said, and who does not know it ignores it:
// fields and headers, parts and verbs of subjects, states, kinds of frames. What a
// version must not ignore takes another subject, or bucket, and is used only when
// every edge's presence has a version that knows it. TestNextVersion says it all as a
// next version might.
//
// # Failure
//
// A connection that is lost is made again for ever; nothing is buffered meanwhile, so
// that no stale message is sent late. A server that cannot start is tried again: the
// edge serves without. Writes acknowledged by JetStream are on the disk (SyncAlways).
// A server that could not write to its disk starts again when there is space. A server
// that hangs, on its way up or down, holds up nobody for longer than stopTimeout.
//
// Goroutines: those of nats-server and nats.go. Run waits for all of them.
package lattice
