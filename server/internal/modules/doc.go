// Package modules holds the compiled modules of all live releases. Releases that agree on a
// module's bytes and limits share it; the last one that gives it back closes it.
//
// Modules that no request needs are unloaded when all that are loaded take more memory than
// the budget, those unused for longest first, and loaded again by the next request. That is
// quick only if the engine keeps its code on disk.
//
// Locks: a module's running, which each request holds for reading, is held for writing while
// the module is loaded or unloaded. A Table's mu is not taken under it. The package starts no
// goroutine.
package modules
