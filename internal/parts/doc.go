// Package parts runs the long-running pieces of a process: it starts them in order and
// stops them in reverse order, so that each one ends before what it uses.
//
// Goroutines: one for each part, which Run waits for.
package parts
