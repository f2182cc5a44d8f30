// Package filesystem is wasi:filesystem: the static files of the tenant's release, to be read, in
// one folder "/". A tenant without files has no folder. Whatever would change a file answers read-only.
package filesystem
