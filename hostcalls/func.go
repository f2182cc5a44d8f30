package hostcalls

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ValueType is a WebAssembly number type, by its byte in the binary format.
type ValueType byte

// The number types that functions of the ABI use.
const (
	I32 ValueType = 0x7f
	I64 ValueType = 0x7e
)

// String is the type's name in the text format.
func (v ValueType) String() string {
	if v == I64 {
		return "i64"
	}
	return "i32"
}

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

// ErrNoFunction is a Guest's answer when it has no function of that index, name or type.
var ErrNoFunction = errors.New("no such function in the guest")

// Exit is the error by which a guest ends itself (WASI proc_exit). With code 0
// the guest has returned, as if its entry had.
type Exit struct{ Code uint32 }

// Error tells the code.
func (e *Exit) Error() string { return fmt.Sprintf("exit status %d", e.Code) }

// Dialect is one way in which guests speak to the host.
type Dialect struct {
	Module string // the import module of its functions
	Entry  string // the export that the host calls, () -> ()
	Title  string // for people
}

// Dialects lists the dialects. A module may import functions of several; if it
// exports several entries, the first in this list is called.
func Dialects() []Dialect {
	return []Dialect{
		{Module: moduleEnv, Entry: "run", Title: "hostcalls (Rust, C, WAT)"},
		{Module: moduleAS, Entry: "run", Title: "hostcalls (AssemblyScript 0.5 and 0.6)"},
		{Module: moduleWASI, Entry: entryCGI, Title: "WASI preview 1 (CGI)"},
	}
}

// Functions lists every function of every dialect.
func Functions() []Func {
	return slices.Concat(envFunctions(), asFunctions(), wasiFunctions())
}

// impl is what a function does. It reads its arguments before it calls anything
// that may run the guest, and writes its results last.
type impl func(ctx context.Context, x *Exchange, g Guest, a args) error

// define makes a Func of the type sig: "ii:I" takes two i32 and returns an i64.
func define(module, name, sig string, do impl) Func {
	f := Func{Module: module, Name: name}
	to := &f.Params
	for _, c := range sig {
		switch c {
		case ':':
			to = &f.Results
		case 'I':
			*to = append(*to, I64)
		default:
			*to = append(*to, I32)
		}
	}
	f.Call = func(ctx context.Context, x *Exchange, g Guest, stack []uint64) error {
		if err := do(ctx, x, g, stack); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	return f
}
