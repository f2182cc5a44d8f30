// Package config reads terrane.toml, the configuration of an edge: strictly, with secrets
// resolved, and every fault reported at once with file, line and key.
//
// Only cmd and internal/edge import it: packages take Options of their own, so that a key
// can be renamed without touching what it configures. Each package owns the defaults and the
// checks of its options. This package has the defaults that no other package owns, and
// checks what concerns several parts or none. The faults of other packages come back
// through Config.Faults.
package config
