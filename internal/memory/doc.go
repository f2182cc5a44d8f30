// Package memory finds out how much memory this process may use, and divides it among the
// parts of an edge. It starts no goroutines and changes nothing.
package memory
