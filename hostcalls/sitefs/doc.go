// Package sitefs shows the static files of a release as an io/fs file system, for the guests
// of that release: the files that visitors could fetch, and no others. It reads content by its
// hash from where the caller has it, and writes nothing.
package sitefs
