// Package fault is how a constructor reports what is wrong with its options: every
// fault at once, each with the key that it is about.
//
// A package that has options names keys as they are spelled in its own table of
// terrane.toml ("neighbor[0].asn" in [bgp]). The caller that read the file knows
// which table that is, and in which line each key is.
//
// The package is pure: no I/O, no goroutines.
package fault
