// Package mirror is the content-addressed copy of all releases on disk: each
// file once, by its SHA-256, and one checksummed record per release.
//
//	lock                         held by the process that uses the mirror
//	objects/ab/abcd...           the content of files, mode 0444, never written twice
//	releases/TENANT/N.release    records that went live, the highest N last
//	releases/TENANT/N.new        a record whose release is being published
//	tmp/                         what is being written; emptied at Open
//
// What has its final name is whole and durable: content is written to tmp, synced,
// renamed, and its directory is synced, objects before the record that names
// them. So SIGKILL and power loss leave whole releases and rubbish, and Open
// removes the rubbish. A release goes live by one rename.
//
// An object is removed when no record and no open Stage names it; Keep records of
// each tenant stay, the live one always. Whoever opens an object keeps its
// content for as long as the file is open.
//
// All methods are safe for concurrent use, but for changes to one tenant, which
// must follow each other; the package runs no goroutines that
// outlive a call.
package mirror
