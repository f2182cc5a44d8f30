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

// newCode compiles wasm or, if that is nil, takes over what was compiled.
func newCode(wasm []byte, compiled *code, imports []*hostcalls.Func, indices []uint32) (*code, error) {
	c := &code{users: 1}
	var e C.ending
	if compiled == nil {
		C.code_new(&c.c, (*C.uint8_t)(unsafe.SliceData(wasm)), C.size_t(len(wasm)), nil, C.size_t(len(imports)), &e)
	} else {
		C.code_new(&c.c, nil, 0, &compiled.c, C.size_t(len(imports)), &e)
	}
	if e.failed {
		C.code_delete(&c.c)
		return nil, errors.New(C.GoString(&e.reason[0]))
	}
	for i, f := range imports {
		params, result := kinds(f.Params), C.wasm_valkind_t(C.NO_RESULT)
		if len(f.Results) > 0 {
			result = kinds(f.Results)[0]
		}
		C.code_import(&c.c, C.uint32_t(indices[i]), unsafe.SliceData(params), C.size_t(len(params)), result)
	}
	return c, nil
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
