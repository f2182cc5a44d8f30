// Package wazeroengine runs modules by wazero, which is written in Go: no cgo, a
// guest in flight holds a goroutine and no thread.
//
// A module is prepared (package prepare) and compiled once. All modules share one
// wazero runtime, in which the functions of the ABI are instantiated once; the instance
// that a request runs in reaches them as the context that the guest was called with.
//
// # Instances
//
// After a request whose guest has returned, its instance is made equal to a new one and
// kept: the memory by package linear, the globals by the prepared module itself when
// it is next entered; tables cannot have changed, or the module gets a new instance for
// each request (engine.Info.Fresh). An instance whose guest has trapped is thrown
// away. Idle instances of all modules share one budget of memory, and the one idle for
// longest goes first.
//
// # The cache
//
// With a CacheDir a module is compiled once. Beside its code its shell is kept (prepare.Shell), and
// what Compile has found out, so that loading it neither prepares it nor validates its functions.
// Each module is loaded that way, after its compilation too. wazero finds the code by the
// shell. If the code was gone, wazero has compiled the shell; therefore the first instance
// must return the module's mark. What fails on the way is discarded, the module compiled
// again, and if that fails too, it runs without the cache. A refused module is not in the cache,
// and is refused in the same words each time.
//
// # Time
//
// Compiled code cannot be preempted. The metering of prepared modules calls back every
// 100 us or so; there the guest's time is counted, its deadline looked at, Go's
// scheduler and collector let in, and its place among the long-running guests given to
// the next (gate). CPU time is what passes between two calls, without waiting for
// the gate, and no more than 5 ms each: what a guest waits for in host functions hardly
// counts.
//
// # Goroutines and locks
//
// None are started. A Run holds its module's running for reading; the mutexes of pool,
// gate and image guard a few instructions each, that of the cache lets one of equal modules
// compile. None is taken while another is held, and none while a guest runs.
package wazeroengine
