//go:build engine_wasmer

package wasmerengine

/*
#cgo CFLAGS: -std=gnu11 -Wall -Werror
#cgo LDFLAGS: -lpthread
#include "shim.h"
*/
import "C"

import (
	"errors"
	"unsafe"

	"github.com/terrane/terrane/hostcalls"
)

const maxParams = C.MAX_PARAMS

// code is a module compiled by an engine of its own.
type code struct {
	c     C.code
	made  int // instances
	users int // instances, and the module while it is its newest
}

// newCode compiles a module or, if it is compiled, takes over what lend has given for it. It
// must not be given anything else: libwasmer believes it.
func (m *module) newCode(module []byte, compiled bool) (*code, error) {
	c := &code{users: 1}
	var e C.ending
	C.code_new(&c.c, (*C.uint8_t)(unsafe.SliceData(module)), C.size_t(len(module)), C.bool(compiled), C.size_t(len(m.imports)), &e)
	if e.failed {
		C.code_delete(&c.c)
		return nil, errors.New(C.GoString(&e.reason[0]))
	}
	for i, f := range m.imports {
		params, result := kinds(f.Params), C.wasm_valkind_t(C.NO_RESULT)
		if len(f.Results) > 0 {
			result = kinds(f.Results)[0]
		}
		C.code_import(&c.c, C.uint32_t(m.indices[i]), unsafe.SliceData(params), C.size_t(len(params)), result)
	}
	return c, nil
}

// lend gives what was compiled to f. If libwasmer does not give it, f is not called.
func (c *code) lend(f func(compiled []byte)) {
	bytes := C.code_bytes(&c.c)
	if bytes.data == nil {
		return
	}
	defer C.wasm_byte_vec_delete(&bytes)
	f(unsafe.Slice((*byte)(unsafe.Pointer(bytes.data)), bytes.size))
}

func kinds(in []hostcalls.ValueType) []C.wasm_valkind_t {
	out := make([]C.wasm_valkind_t, len(in))
	for i, t := range in {
		if out[i] = C.WASM_I32; t == hostcalls.I64 {
			out[i] = C.WASM_I64
		}
	}
	return out
}

// threadStack is the size of new threads' stacks, in bytes.
func threadStack() int { return int(C.thread_stack()) }

// heap is what libwasmer has allocated but for linear memories and code, in bytes.
func heap() uint64 { return uint64(C.heap()) }

func (c *code) free() { C.code_delete(&c.c) }
