package hostcalls

import "context"

// ValueType is a WebAssembly number type, by its byte in the binary format.
type ValueType byte

// The number types that functions of the ABI use.
const (
	I32 ValueType = 0x7f
	I64 ValueType = 0x7e
)

// Func is one function that guests import. It knows no engine: an engine looks
// it up by Module and Name, checks the guest's declared type against Params and
// Results, and calls it.
type Func struct {
	Module, Name    string
	Params, Results []ValueType

	// Call runs the function for the request x, in the sandbox g. stack holds the
	// arguments, and takes the results from index 0; the upper 32 bits of an I32
	// argument are undefined. A non-nil error traps the guest: the engine ends the
	// call, discards the instance and returns an error that wraps this one.
	// ctx ends when the request's time is up; a function that waits must heed it.
	Call func(ctx context.Context, x *Exchange, g Guest, stack []uint64) error
}

// Guest is one running instance, as an engine lends it to a Func for the time of
// one call. It is used by one goroutine, and not after the call has returned.
type Guest interface {
	// Memory is the instance's memory 0, exported or not; empty if there is none.
	// The view is void after Grow, CallTable and CallExport: fetch it again.
	Memory() []byte
	// Grow adds pages of 64 KiB to memory 0 and returns its size before, in pages;
	// false when the limit refuses.
	Grow(pages uint32) (previous uint32, ok bool)
	// CallTable calls the function at index in table 0, of type (i32) -> (i32) or,
	// if result is false, (i32) -> (). It fails with ErrNoFunction when there is no
	// such function; any other error is the guest's trap and must be returned.
	CallTable(ctx context.Context, index, arg uint32, result bool) (uint32, error)
	// CallExport is CallTable for an exported function.
	CallExport(ctx context.Context, name string, arg uint32, result bool) (uint32, error)
}
