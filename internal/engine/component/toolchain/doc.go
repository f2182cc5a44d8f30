// Package toolchain builds components for tests with the tools that people use, from the npm
// registry.
//
// What is built is kept in the user's cache directory under a name that says what it was made of, so
// that it is built once on a machine. Where the tools cannot be had, the test is skipped.
package toolchain
