// Package ctype is the types of the component model: values, functions, resources,
// instances and components, how values are flattened for the canonical ABI, and when
// one type can be used for another.
//
// Types are immutable once made and refer to each other by pointer. Two pointers to equal
// value types are two definitions: which of them has a name is decided by identity, whether
// they match is decided by structure. A resource type is equal to itself only.
//
// The package reads no files and runs no goroutines.
package ctype
