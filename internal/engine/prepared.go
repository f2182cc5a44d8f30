package engine

import (
	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine/prepare"
)

const defaultMemory = 128 << 20

// initializer is what WASI reactors, such as Go's c-shared modules, export to be called
// before anything else of theirs. Commands have none.
const initializer = "_initialize"

// Prepare is the first half of every engine's Compile: it checks that a host which offers funcs can
// run the module within the limits, and rewrites it (package prepare). Of the options the
// engine sets those that are about itself.
func Prepare(wasm []byte, funcs []hostcalls.Func, limits Limits, o prepare.Options) (*Info, *prepare.Result, error) {
	if limits.Memory == 0 {
		limits.Memory = defaultMemory
	}
	info, err := Describe(wasm)
	if err != nil {
		return nil, nil, err
	}
	if err := Check(info, funcs, limits); err != nil {
		return nil, nil, err
	}
	o.Entry, o.Init = info.Entry, initializer
	o.MemoryPages, o.TableSize = uint32(min(limits.Memory, 4<<30)/PageSize), MaxTable
	result, err := prepare.Prepare(wasm, o)
	if err != nil {
		return nil, nil, Refuse(err)
	}
	return info, result, nil
}
