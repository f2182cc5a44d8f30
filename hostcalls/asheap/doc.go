// Package asheap reads and makes the heap objects of AssemblyScript 0.5 and 0.6 in a guest's
// memory. A string is its length in UTF-16 units, then these; an array is a pointer to an
// ArrayBuffer and its length in elements; an ArrayBuffer is its length in bytes, padding,
// and the data at 8. The null pointer is an empty string or array.
//
// Objects are made with the guest's malloc, so that each function that makes one may run the
// guest; nobody frees them. The rules of package guestmem hold: what lies outside the guest's
// memory is an error.
package asheap
