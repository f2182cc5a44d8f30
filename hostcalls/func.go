package hostcalls

import (
	"context"
	"fmt"
	"slices"

	"github.com/terrane/terrane/hostcalls/guestmem"
	"github.com/terrane/terrane/hostcalls/preview1"
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

// Guest is one running instance, as an engine lends it to a Func.
type Guest = guestmem.Guest

// ErrNoFunction is a Guest's answer when it has no function of that index, name or type.
var ErrNoFunction = guestmem.ErrNoFunction

// Exit is the error by which a guest ends itself. With code 0 the guest has returned, as if
// its entry had.
type Exit = preview1.Exit

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
		{Module: preview1.Module, Entry: EntryCGI, Title: "WASI preview 1 (CGI)"},
	}
}

// Functions lists every function of every dialect.
func Functions() []Func {
	return slices.Concat(envFunctions(), asFunctions(), wasiFunctions())
}

// args are the arguments of one call, and then its results.
type args = guestmem.Args

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
