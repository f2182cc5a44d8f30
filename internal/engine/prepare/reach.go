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

// extras is what Options.Reach, Options.Mark and Options.Guard add, in terms of the new module.
type extras struct {
	functions []extra
	exports   int // of them, the first
	exported  func(wasmbin.Export) bool
}

// extra is a function that is added.
type extra struct {
	name string
	typ  uint32
	body []byte
}

func (p *preparation) extras() extras {
	r := p.exports()
	if r.exports = len(r.functions); p.o.Guard {
		p.guards = p.fn(p.funcs) + 1 + uint32(r.exports)
		for i := range p.tick {
			t, _ := p.m.TypeOf(i)
			r.functions = append(r.functions, p.guard(i, t))
		}
		r.functions = append(r.functions, p.guard(p.tick, wasmbin.FuncType{}))
	}
	return r
}

// guard calls an imported function, a new index, and traps if Stack is negative then.
func (p *preparation) guard(fn uint32, t wasmbin.FuncType) extra {
	body := []byte{0}
	for i := range t.Params {
		body = wasmbin.AppendU32(append(body, wasmbin.OpLocalGet), uint32(i))
	}
	body = wasmbin.AppendU32(append(body, wasmbin.OpCall), fn)
	body = wasmbin.AppendU32(append(body, wasmbin.OpGlobalGet), p.stack())
	return extra{"", p.typeIndex(t), append(body, wasmbin.OpI32Const, 0, wasmbin.OpI32GeS, wasmbin.OpIf, wasmbin.EmptyBlock, wasmbin.OpElse, wasmbin.OpUnreachable, wasmbin.OpEnd, wasmbin.OpEnd)}
}

// exports are the functions that are added and exported.
func (p *preparation) exports() extras {
	r := extras{exported: func(wasmbin.Export) bool { return true }}
	if p.o.Mark != 0 {
		body := wasmbin.AppendS64([]byte{0, wasmbin.OpI64Const}, int64(p.o.Mark))
		r.functions = []extra{{Mark, p.typeIndex(wasmbin.FuncType{Results: []wasmbin.ValType{wasmbin.I64}}), append(body, wasmbin.OpEnd)}}
	}
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
		// It calls the function of table 0 whose index is the first parameter.
		body := wasmbin.AppendU32([]byte{0, wasmbin.OpLocalGet, 1, wasmbin.OpLocalGet, 0, wasmbin.OpCallIndirect}, p.typeIndex(kinds[i]))
		r.functions = append(r.functions, extra{name, p.typeIndex(self), append(body, 0, wasmbin.OpEnd)})
	}
	return r
}
