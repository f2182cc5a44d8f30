// Package notice wakes every edge when one of them hears of a deploy: by a webhook, or
// by a look at the store.
//
// A notice is a core message on terrane.notice.NAME, never one through a mirrored
// stream, which would be late after an outage. It is a hint: it has a store and a
// revision, and the edge that gets it looks at the store itself. Lost ones are made
// good by presence, which tells each edge's revisions, and by the next poll.
//
// What is sent is bounded (notices of one store in a burst become one; a revision that
// came from another edge is not passed on), and so is what is heard (so many a second
// of each peer).
//
// Run holds one goroutine, which ends with it. No lock is held while Wake is called.
package notice
