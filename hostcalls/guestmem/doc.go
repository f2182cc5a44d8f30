// Package guestmem owns the rules by which host functions share memory with a guest:
// what an engine lends them (Guest), how they read their arguments and write their
// results (Args), and where data goes that the guest will own (Allocator).
//
// Each range of the guest's memory is checked before it is read or written. One that lies
// outside is an error, which names the argument; the function then returns it, and the
// engine traps the guest. Whatever may run the guest (Alloc, and the functions that give
// data) makes every view of its memory void: arguments are read before it, results are
// written after it.
//
// The package knows no request and starts no goroutine. Nothing in it is shared between
// instances.
package guestmem
