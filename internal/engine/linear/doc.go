// Package linear is the memory of sandboxes: an address range that can grow in
// place, and that can be made equal to an Image again after a guest has written to it.
//
// On Linux a Memory maps its Image copy-on-write, so that all instances of a module
// share the pages they have not written. Reset asks the kernel for the pages that
// this mapping has of its own (PAGEMAP_SCAN, Linux 6.7) and copies the image over
// these alone; they stay, so that the next guest does not fault them in again. Older
// kernels, and guests that wrote much, drop all own pages (MADV_DONTNEED). Elsewhere
// all that was in use is copied.
//
// A Memory is used by one goroutine at a time, an Image by any number. The package
// runs no goroutines.
package linear
