// Package githost makes an edge the origin of its own git stores, for those who
// have no forge: it keeps one bare repository per store, or one per tenant, of which
// pushers read and write their own alone. It takes pushes over HTTPS and ssh, decides who may change which tenant's folder, and tells the pusher what became
// of the release.
//
// All of git's own rules are left to the git command, which must be installed. Each
// push meets, in this order:
//
//   - authentication: an ssh key or a token that the store's file of pushers lists;
//   - git's checks: objects (fsck), connectivity, size, fast-forward;
//   - the edge's, in git's pre-receive hook and while the objects are in quarantine:
//     branch, folders, unpacked size, signature. Until then no reference has moved, and
//     a refused push leaves nothing behind;
//   - after the references moved, the store's release as after any other push. A
//     release that is refused leaves the branch where it was pushed to and the last
//     good release live; the pusher reads why.
//
// Hooks are scripts that ask this process over two pipes, which each push has for
// itself. Only this process moves references, in the hook proc-receive and after
// pre-receive has asked it: where git finds or runs no hook, it refuses the push.
//
// A process that was killed
// at any moment leaves a usable repository: what it left half-done is removed at the
// next start, once its git commands have ended too, which hold the same lock.
//
// Everything is bounded: time and memory of git commands and how many run, sizes,
// branches, failed logins per network, ssh connections and channels. Pushers and
// networks have shares of what runs and what waits. A push is read into a file before a
// command runs for it; a fetch over ssh is a dialogue, and holds its command.
//
// Goroutines: Run holds the listener, one per ssh connection and channel, one for
// maintenance, and waits for them; a push has one that answers its hooks.
package githost
