// Package ask puts a question to all edges of the lattice and collects their answers,
// as JSON. The question of a part goes out on terrane.ask.PART; each edge that knows the
// part answers into the asker's inbox, with its name; the asker's own edge does too.
//
// Questions are bounded in size and number: an edge that is busy with as many as it
// takes does not answer, as one that is cut off does not. Answers are bounded in size;
// how many are awaited is the asker's to say, and how long.
//
// Run holds one goroutine for each question being answered, and waits for them.
package ask
