// Package abi is the host's side of the Canonical ABI of the component model: it lifts the
// arguments of a component's imports from core values and guest memory, and lowers results
// into them.
//
// A component is fused into one core module before it runs, and each import that it lowered
// becomes an import of that module, in the flattened type that the Canonical ABI gives it.
// An Interface is a table of such functions. Each row has the function's type in the syntax of
// WIT, from which the flattened signature, the layout of the result and the bounds of
// arguments follow, so that a function only says what it does.
//
// # Memory
//
// The host never calls the guest. A result that needs memory of the guest is registered as
// blocks, in the order in which the specification allocates them. The fused module asks for
// them by the import block, allocates each by the realloc of the import that was called, and
// passes the place with the next call. Until the last block is placed every other import traps.
//
// # Handles
//
// A State has the handles of one request. Handle 0 is never valid. A resource that was made of
// another one is its child: a parent cannot be dropped or passed away before its children.
//
// # Faults
//
// Whatever the specification calls a trap is an error of the function, which ends the
// instance: a handle of another type, a discriminant out of range, text that is not valid in
// its encoding, a range outside memory, a place that is not aligned.
package abi
