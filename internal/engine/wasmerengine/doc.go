// Package wasmerengine runs modules by Wasmer, in a build with the tag engine_wasmer and cgo:
// without them it is empty but for its name. Of wasmer-go it uses the library and
// nothing else: wasmer-go's own calls leak memory at each call of a host function, and free
// twice what an error becomes. The calls in shim.c do neither.
//
// The library is Wasmer 2.0.0-rc2 of 2021. It is for modules of people whom the operator
// trusts: a bug of its compiler, an allocation that fails or a panic in it ends the process.
//
// # Modules
//
// A module is prepared (package prepare) with exports for all that a host needs, and
// without others: a type with v128 in an export would abort the process, and each export
// costs an allocation per instance. Every module has an engine and a store of its own,
// since an engine frees the code of its modules, and what it notes of their instances, at its
// own end only. After Options.Renew instances a module's engine is replaced.
//
// Compiled code is kept in Options.CacheDir (package codecache) under the digest of the
// prepared module, of the libwasmer that is loaded and of the processor. libwasmer believes
// what it is given as code, so it is given only what the cache has checked.
//
// # Instances
//
// They are recycled as those of package wazeroengine are: the memory is put back by
// package linear, which maps the module's image over it, the globals by the module when it is
// next entered. A memory that has grown cannot shrink; its instance is thrown away, as one
// that has trapped is.
//
// # Time and stack
//
// Prepared modules call back every 100 us or so. There the time that the guest's thread
// has been running is compared with its limit, its deadline looked at, and its place among
// the long-running guests given to the next (package gate). A guest in flight holds a
// thread; at most Options.Threads do, and others wait (gate.Room). Guests run on the thread's stack: a call
// begins only if what prepare allows them is left of it.
//
// # Ends
//
// A function of the host that fails returns like any other, with a negative stack in the guest,
// which then traps (prepare.Options.Guard): a trap that a function of the host raises has no
// backtrace.
//
// # Goroutines and locks
//
// None are started; libwasmer has threads of its own, which compile. A Run holds its module's
// running for reading; the mutexes of pool, gate, image and module guard a few
// instructions each, the module's also the replacing of its engine. None is taken while
// another is held, and none while a guest runs.
package wasmerengine

// Name is the engine's name in the configuration.
const Name = "wasmer"
