package component

import (
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// abiModule is the import module of what the host offers to generated code.
const abiModule = "terrane:abi"

func procedure(params []wasmbin.ValType, results ...wasmbin.ValType) wasmbin.FuncType {
	return wasmbin.FuncType{Params: params, Results: results}
}

func blockImport() host {
	return host{module: abiModule, name: "block", typ: procedure([]wasmbin.ValType{wasmbin.I32}, wasmbin.I64)}
}

func reallocType() wasmbin.FuncType {
	return procedure([]wasmbin.ValType{wasmbin.I32, wasmbin.I32, wasmbin.I32, wasmbin.I32}, wasmbin.I32)
}

// wrap adds a function for each import that allocates:
//
//	call import
//	loop
//	  block(p); if it is not 0: p = realloc(0, 0, align, size); repeat
//	end
func (m *merger) wrap() {
	for _, fn := range m.hosts {
		h := fn.host
		if h.realloc == nil {
			continue
		}
		p, b := uint32(len(h.typ.Params)), uint32(len(h.typ.Params))+1
		w := body{}
		w.locals(wasmbin.I32, wasmbin.I64)
		for i := range h.typ.Params {
			w.op(wasmbin.OpLocalGet, uint32(i))
		}
		w.op(wasmbin.OpCall, m.hostTo[fn]) // its results stay on the stack
		w.raw(wasmbin.OpBlock, wasmbin.EmptyBlock, wasmbin.OpLoop, wasmbin.EmptyBlock)
		w.op(wasmbin.OpLocalGet, p)
		w.op(wasmbin.OpCall, m.importIndex(blockImport()))
		w.op(wasmbin.OpLocalTee, b)
		w.raw(wasmbin.OpI64Eqz)
		w.op(wasmbin.OpBrIf, 1)
		w.raw(wasmbin.OpI32Const, 0, wasmbin.OpI32Const, 0)
		w.op(wasmbin.OpLocalGet, b)
		w.raw(wasmbin.OpI64Const, 32, wasmbin.OpI64ShrU, wasmbin.OpI32WrapI64)
		w.op(wasmbin.OpLocalGet, b)
		w.raw(wasmbin.OpI32WrapI64)
		w.op(wasmbin.OpCall, m.funcIndex(h.realloc, reallocType()))
		w.op(wasmbin.OpLocalSet, p)
		w.op(wasmbin.OpBr, 0)
		w.raw(wasmbin.OpEnd, wasmbin.OpEnd, wasmbin.OpEnd)
		m.hostTo[fn] = m.add(h.name, h.typ, w.out)
	}
}

// body is the body of a function that is being written.
type body struct{ out []byte }

// locals declares local variables, each in a group of its own.
func (b *body) locals(types ...wasmbin.ValType) {
	b.out = wasmbin.AppendU32(b.out, uint32(len(types)))
	for _, t := range types {
		b.out = append(b.out, 1, byte(t))
	}
}

func (b *body) op(op byte, index uint32) { b.out = wasmbin.AppendU32(append(b.out, op), index) }
func (b *body) raw(ops ...byte)          { b.out = append(b.out, ops...) }

// entry is the function that a request calls.
type entry struct {
	kind       Entry
	core       *function
	typ        wasmbin.FuncType
	postReturn *function // nil if there is none
}

// The functions that the host offers to entries.
func requestImport() host {
	return host{module: abiModule, name: "request", typ: procedure(nil, wasmbin.I32)}
}

func outparamImport() host {
	return host{module: abiModule, name: "outparam", typ: procedure(nil, wasmbin.I32)}
}

func programImport() host {
	return host{module: abiModule, name: "program", typ: procedure(nil)}
}

func ranImport() host {
	return host{module: abiModule, name: "ran", typ: procedure([]wasmbin.ValType{wasmbin.I32})}
}

// imports are what the entry calls of the host.
func (e *entry) imports() []host {
	switch e.kind {
	case EntryHTTP:
		return []host{requestImport(), outparamImport()}
	case EntryRun:
		return []host{programImport(), ranImport()}
	}
	return nil
}

// entry adds the function that is exported as run, and returns its index.
func (m *merger) entry(e *entry) uint32 {
	w := body{}
	w.locals(e.typ.Results...)
	switch e.kind {
	case EntryHTTP:
		w.op(wasmbin.OpCall, m.importIndex(requestImport()))
		w.op(wasmbin.OpCall, m.importIndex(outparamImport()))
	case EntryRun:
		w.op(wasmbin.OpCall, m.importIndex(programImport()))
	}
	w.op(wasmbin.OpCall, m.funcIndex(e.core, e.typ))
	if e.kind == EntryRun {
		w.op(wasmbin.OpLocalTee, 0)
		w.op(wasmbin.OpCall, m.importIndex(ranImport()))
	}
	if e.postReturn != nil {
		for i := range e.typ.Results {
			w.op(wasmbin.OpLocalGet, uint32(i))
		}
		w.op(wasmbin.OpCall, m.funcIndex(e.postReturn, procedure(e.typ.Results)))
	}
	w.raw(wasmbin.OpEnd)
	return m.add(entryName, procedure(nil), w.out)
}

// entryName is the export that a request calls.
const entryName = "run"
