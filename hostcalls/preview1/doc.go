// Package preview1 is WASI preview 1, as the functions of the import module
// wasi_snapshot_preview1. A program sees one argument, an environment, stdin, stdout, stderr
// and, if its host has Files, one read-only folder at "/". It has no sockets and writes no
// file: such functions answer with an error number.
//
// The package knows neither requests nor CGI: Host is what a program has of its host, and
// package hostcalls makes one for each request. Errors are error numbers of WASI, also for a
// pointer outside the guest's memory; what traps is proc_raise, proc_exit with another
// code than 0, and a wait that ctx ends.
//
// Descriptors and buffers are bounded; what a Host's functions take is for the host to bound.
// The package starts no goroutine.
package preview1
