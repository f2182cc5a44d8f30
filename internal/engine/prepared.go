package engine

import (
	"fmt"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine/component"
	"github.com/terrane/terrane/internal/engine/prepare"
)

const defaultMemory = 128 << 20

// initializer is what WASI reactors, such as Go's c-shared modules, export to be called
// before anything else of theirs. Commands have none.
const initializer = "_initialize"

// Prepare is the first half of every engine's Compile: it checks that a host which offers funcs can
// run the module within the limits, and rewrites it (package prepare). A component comes as its
// Core. Of the options the
// engine sets those that are about itself.
func Prepare(wasm []byte, funcs []hostcalls.Func, limits Limits, o prepare.Options) (*Info, *prepare.Result, error) {
	limits, o = complete(limits, o)
	info, err := Describe(wasm)
	if err != nil {
		return nil, nil, err
	}
	if err := Check(info, funcs, limits); err != nil {
		return nil, nil, err
	}
	o.Entry, o.Init, o.Rename = info.Entry, initializer, hostcalls.Canonical
	result, err := prepare.Prepare(wasm, o)
	if err != nil {
		return nil, nil, Refuse(err)
	}
	return info, result, nil
}

func complete(limits Limits, o prepare.Options) (Limits, prepare.Options) {
	if limits.Memory == 0 {
		limits.Memory = defaultMemory
	}
	o.MemoryPages, o.TableSize = uint32(min(limits.Memory, 4<<30)/PageSize), MaxTable
	return limits, o
}

// rules is raised when Describe or Check judge a module otherwise than before.
const rules = 3

// Fingerprint names all that the outcome of Prepare depends on but the module, limits.Memory
// and o.Mark, for those who keep it.
func Fingerprint(funcs []hostcalls.Func, o prepare.Options) []byte {
	limits, o := complete(Limits{}, o)
	out := fmt.Appendf(nil, "%d %s %s %d %+v %s %+v", rules, component.Version, prepare.Version, limits.Memory, o, initializer, hostcalls.Dialects())
	for i := range funcs {
		out = fmt.Appendf(out, " %q.%q %s", funcs[i].Module, funcs[i].Name, signature(&funcs[i]))
	}
	return out
}
