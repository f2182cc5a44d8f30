// Package prepare rewrites a module once, at deploy time, so that an engine can
// bound and recycle its instances whatever their code does. What the module
// computes, its traps, its exports and its functions' names stay as they were.
//
// # What is added
//
//   - The import Module.Tick, () -> (). It comes after the module's own imported
//     functions, so that the index of each defined function rises by one.
//   - The global that is exported as Fuel, i32, mutable: how much may run until Tick is
//     called, which happens when it is negative.
//   - The global that is exported as Stack, i32, mutable: the stack left, in bytes. Tick is
//     also called when it is negative.
//   - The global that is exported as Refused, i32, mutable: 1 once a memory.grow
//     has failed.
//   - The function that is exported as Enter, () -> (). It sets every mutable global
//     to its initial value, the added ones among them, calls the function of the
//     start section, which is no longer run at instantiation, then that of
//     Options.Init, and then the entry.
//   - What Options.Reach and Options.Mark say.
//   - Maxima of memory and tables where there are none or higher ones.
//
// Custom sections other than the names are dropped: they speak of the old code.
//
// # Metering
//
// Every instruction is paid for before it runs. A function pays at its entry for
// those outside its loops, a loop at its header, each time, for those in it but
// not in inner loops; so between two payments no more runs than one pass over
// the code of one function. Loops pay on credit, up to 4,096 for each call in
// progress. A function without loop and call that costs no more
// than a call is paid for by its caller. Instructions that work on n bytes or
// elements pay for them before they begin. Fuel is no measure of time: it makes
// sure that Tick, which looks at a clock, is called every fraction of a
// millisecond, recursion, call trees and host calls included.
//
// Two things make that cheap. A short loop of which each pass calls a function that
// looks at the fuel pays nothing. A loop without loops and calls in it is put into
// another loop, to which it returns when Tick may have to be called, because a call
// within would keep its variables out of registers; and if it is short, its body is
// written up to eight times in a row, paid for at once. Code grows by 20 to 30 % in all.
//
// # Stack
//
// A function that calls pays for its frame at its entry and gets it back at its
// return; an engine's real frame is at most about eight times what is paid,
// because each byte of code makes at most one value to be spilled.
//
// # Shells
//
// Shell makes of a prepared module one that an engine can look code up by, which it has compiled
// of the prepared module: whatever else but the code an engine makes of the two is equal,
// and the shell is validated in no time.
//
// # What a caller must do
//
// The result is as valid as the input: an engine's validation must follow. Indices
// that would refer to something added are refused here, so that a module can
// touch none of it. When Tick finds Stack negative it must trap; after any
// trap the instance's state is void.
package prepare
