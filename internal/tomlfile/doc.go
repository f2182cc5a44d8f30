// Package tomlfile reads TOML files that people write by hand and must be told
// about well: the edge's configuration and the tenant's manifest. It is strict,
// and it reports every fault at once, each with file, line and key.
//
// Syntax is read by go-toml, which stops at its first error and at the first
// value of a wrong type; so this package assigns the values itself.
// The package is pure: no I/O, no goroutines.
package tomlfile
