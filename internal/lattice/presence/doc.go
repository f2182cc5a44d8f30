// Package presence tells every edge of the lattice of every other: who is there, what
// it serves, and who has gone.
//
// Each edge says what it is every two seconds, and at once when that changes or when a
// connection to other edges has come up, on the subject terrane.presence.NAME. It is a
// core message: lost ones are made good by the next, so that what was deployed during a
// partition is known everywhere as soon as that has ended. An edge that is not heard for six seconds is silent; a silent one is
// forgotten after an hour, and one that left in order after a minute. Only the clock of the
// listener counts, so edges may disagree on the time.
//
// What peers say is not trusted: the name must be that of the subject, sizes and
// counts are bounded, and what cannot be printed is replaced. Fields that this version
// does not know are ignored, so that a newer edge can be among older ones.
//
// Run holds one goroutine, which ends with it.
package presence
