// Package config reads terrane.toml, the configuration of an edge: strictly,
// with safe defaults, secrets resolved, and every fault reported at once with
// file, line and key.
//
// Only cmd imports it: packages take Options of their own, so that a key can be
// renamed without touching what it configures. Faults that only a package can
// see come back through Config.Fault.
package config
