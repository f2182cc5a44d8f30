// Package statemove moves tenants' state from one store to another, as JSON lines: one for
// each entry, and a last one that has their number. Without the last line an export is not
// whole and is refused.
//
// An import waits until the store is ready, and confirms what it wrote: it reads every entry
// back, linearizably where the store can, and compares the store's generation at the end
// with that of the beginning. It can be repeated. It holds a few entries in memory.
package statemove
