// Package codecache keeps on disk what engines make of modules, so that a restart
// compiles none. It knows directories, keys and digests, and nothing of any engine.
//
// # What is kept
//
// An Entry for each Key: a header that its engine reads, and, for an engine whose runtime opens
// files of compiled code itself, the name of that file. A Key is a digest of all that
// an entry depends on: the module, and what Open and Key are told of compiler, processor
// and options. Nothing is overwritten because it is out of date: it has another key.
//
// # What is trusted
//
// Each entry bears a digest of itself, its key and its file of code, which Load compares. They
// guard against damage and not against malice: who can write to the directory
// runs code in this process. After Load has looked at a file of code it can still go, before the
// runtime opens it: an engine must notice.
//
// # Several processes
//
// May share a directory. Entries appear whole, by renaming, and the file of code before the
// entry that names it. When all exceed 8 GiB, those go that were loaded least recently: not after
// a time, since an edge that has run for long has not loaded what it needs for as long. What no
// entry names goes after an hour, for another process may be about to name it. Nothing is
// synced: after a crash of the machine the digests show what is not whole.
//
// A Cache is safe for concurrent use. The package runs no goroutines.
package codecache
