// Package sync brings what tenants deploy onto the edge: from stores (folders, git
// repositories) through a verified, content-addressed mirror on disk to a
// Publisher, one immutable tenant.Snapshot per release.
//
// # Stores and tenants
//
// A store has a prefix and an origin. Each folder that lies Depth levels below the
// origin's root is a tenant, whose ID is the prefix and the folder's path:
// "alice" in a store with the prefix "/git/" is "/git/alice". Two prefixes never
// overlap. Names that start with a dot are nobody's and are not read.
//
// Nested folders are found at that depth and no other, so that a store needs no
// marker files and a look stays one listing per level. Folders that a root does not
// list (Keybase lists favorites) are found by name once Want has named them.
//
// A git-tenant store has no folders: a tenant's ID is the URL of its own
// repository, which is mirrored from the first Want until a day after the last.
//
// # What a release is
//
// One state of a tenant's whole folder: a commit, or a folder that has kept still.
// It is copied into the mirror, checked (sizes, counts, names, manifest), made
// durable, and handed to the Publisher, which compiles every module and swaps it
// live. Any refusal leaves the last release live, stands in Status in words for
// the tenant, and is not tried again until the folder changes. A failure that is
// not the tenant's (a full disk) is tried again, ever more slowly.
//
// A branch "preview/NAME" of a git store is a further origin of the folders that it
// changes: each is published as tenant.ID.Preview. Nothing that is wrong with such a
// branch holds up the store.
//
// # What an origin can do
//
// Nothing to what is live, except by a deploy: an origin that is unreachable,
// empty, or lies about its content is an entry in Status. A tenant is removed
// only when its store was read, held other tenants, and had no such folder. At
// start the mirror is published before any origin is asked.
//
// With signers, a commit that none of them signed, or that does not come after the
// one taken last, is not followed: forged, replayed and rolled-back history stops
// at the store. Webhooks are hints only, and carry nothing that is believed.
//
// # Going back
//
// The mirror keeps the last releases of each tenant, one for each content. Rollback
// publishes one again and pins it over the content that the folder has. The pin ends
// when the folder has other content and that goes live: not by new times, modes or
// commits, not by a restart, and not by a release that is refused.
//
// # The fleet
//
// What a tenant is served at is a fact of the fleet. Peers tell by Offer what other edges
// serve; the store decides after its next look. It takes a release up if an operator chose
// it and the folder still has what it was chosen over, or if what the folder has is refused
// here and the release is newer than its own. The content comes from the mirror, from the
// origin's history, or from a peer, checked by its hashes and all bounds; of a store with
// signers only from the first two. Where nothing is live, what the folder has is refused,
// and no peer serves anything, a git store goes back along its first parents, at most 50
// releases and 1,000 commits between two of them, until one is good.
//
// A store is not mirrored, for at most a minute, before it has decided on what its peers
// serve, and found or given up such a release.
//
// # Goroutines
//
// Run holds one goroutine per store, which alone talks to the origin, and one per
// release that is being published, of which only some run at a time; releases of
// one tenant follow each other. A folder has one more, which reads content again where
// sizes and times do not tell of each change. Run returns after all of them. All other methods
// may be called at any time from any goroutine; Rollback waits for Run.
//
// A lock of a store is never held while a Publisher, an origin or a disk is waited
// for. Order: group before store before mirror.
//
// The package never serves, never resolves names, and knows no Wasm.
package sync
