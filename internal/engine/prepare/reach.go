package prepare

import "github.com/terrane/terrane/internal/engine/wasmbin"

// The exports that Options.Reach adds. CallValue and CallVoid take an index into table 0
// and an argument, both i32, and call the function there of type (i32) -> (i32) or
// (i32) -> (). Without a table 0 of functions they are missing, as Memory is without
// a memory.
const (
	Memory    = "terrane:memory"
	CallValue = "terrane:call"
	CallVoid  = "terrane:callvoid"
)

// reach is what Options.Reach adds, in terms of the new module.
type reach struct {
	callers  []caller
	exported func(wasmbin.Export) bool
}

type caller struct {
	name         string
	callee, self uint32 // types
}

func (p *preparation) reach() reach {
	r := reach{exported: func(wasmbin.Export) bool { return true }}
	if !p.o.Reach {
		return r
	}
	i32 := []wasmbin.ValType{wasmbin.I32}
	kinds := []wasmbin.FuncType{{Params: i32, Results: i32}, {Params: i32}}
	r.exported = func(e wasmbin.Export) bool {
		t, ok := p.m.TypeOf(e.Index)
		return ok && e.Kind == wasmbin.KindFunc && (t.String() == kinds[0].String() || t.String() == kinds[1].String())
	}
	if len(p.m.Tables) == 0 || p.m.Tables[0].Type != wasmbin.FuncRef {
		return r
	}
	for i, name := range []string{CallValue, CallVoid} {
		self := wasmbin.FuncType{Params: []wasmbin.ValType{wasmbin.I32, wasmbin.I32}, Results: kinds[i].Results}
		r.callers = append(r.callers, caller{name, p.typeIndex(kinds[i]), p.typeIndex(self)})
	}
	return r
}

// body calls the function of table 0 whose index is the first parameter.
func (c *caller) body() []byte {
	out := appendU32([]byte{0, opLocalGet, 1, opLocalGet, 0, opCallIndirect}, c.callee)
	return append(out, 0, opEnd)
}
