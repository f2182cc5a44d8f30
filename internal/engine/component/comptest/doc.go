// Package comptest writes components in the binary format, for tests.
//
// It checks nothing: tests make components that are wrong with it, too. Indices are counted by
// the caller's order of calls, as each function that defines something returns its index.
package comptest
