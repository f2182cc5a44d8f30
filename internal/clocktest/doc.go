// Package clocktest sets the wall clock of one process: a test can see what an unmodified
// program does when the system's clock jumps. It wants Linux on amd64, where the process
// reads its clocks through the vDSO, and the right to write to the process's memory.
package clocktest
