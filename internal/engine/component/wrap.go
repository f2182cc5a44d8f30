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
			w.op(opLocalGet, uint32(i))
		}
		w.op(opCall, m.hostTo[fn]) // its results stay on the stack
		w.raw(opBlock, emptyType, opLoop, emptyType)
		w.op(opLocalGet, p)
		w.op(opCall, m.importIndex(blockImport()))
		w.op(opLocalTee, b)
		w.raw(opI64Eqz)
		w.op(opBrIf, 1)
		w.raw(opI32Const, 0, opI32Const, 0)
		w.op(opLocalGet, b)
		w.raw(opI64Const, 32, opI64ShrU, opI32WrapI64)
		w.op(opLocalGet, b)
		w.raw(opI32WrapI64)
		w.op(opCall, m.funcIndex(h.realloc, reallocType()))
		w.op(opLocalSet, p)
		w.op(opBr, 0)
		w.raw(opEnd, opEnd, opEnd)
		m.hostTo[fn] = m.add(h.name, h.typ, w.out)
	}
}

// body is the body of a function that is being written.
type body struct{ out []byte }

// locals declares local variables, each in a group of its own.
func (b *body) locals(types ...wasmbin.ValType) {
	b.out = appendU32(b.out, uint32(len(types)))
	for _, t := range types {
		b.out = append(b.out, 1, byte(t))
	}
}

func (b *body) op(op byte, index uint32) { b.out = appendU32(append(b.out, op), index) }
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
		w.op(opCall, m.importIndex(requestImport()))
		w.op(opCall, m.importIndex(outparamImport()))
	case EntryRun:
		w.op(opCall, m.importIndex(programImport()))
	}
	w.op(opCall, m.funcIndex(e.core, e.typ))
	if e.kind == EntryRun {
		w.op(opLocalTee, 0)
		w.op(opCall, m.importIndex(ranImport()))
	}
	if e.postReturn != nil {
		for i := range e.typ.Results {
			w.op(opLocalGet, uint32(i))
		}
		w.op(opCall, m.funcIndex(e.postReturn, procedure(e.typ.Results)))
	}
	w.raw(opEnd)
	return m.add(entryName, procedure(nil), w.out)
}

// entryName is the export that a request calls.
const entryName = "run"
