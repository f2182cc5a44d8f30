package prepare

import (
	"fmt"

	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// code writes the code section.
func (p *preparation) code(entry *uint32) ([]byte, error) {
	out := appendU32(nil, uint32(len(p.m.Bodies)+1))
	for i, b := range p.m.Bodies {
		f, err := p.function(uint32(i), b)
		if err != nil {
			return nil, fmt.Errorf("function %d: %w", p.tick+uint32(i), err)
		}
		out = appendBytes(out, f)
	}
	return appendBytes(out, p.enter(entry)), nil
}

// enter writes the body of the function exported as Enter.
func (p *preparation) enter(entry *uint32) []byte {
	out := []byte{0} // no locals
	imported := p.m.Imported(wasmbin.KindGlobal)
	for i, g := range p.m.Globals {
		if !g.Mutable {
			continue
		}
		init, err := p.constant(g.Init)
		if err != nil {
			continue // globalSection reports it
		}
		out = append(out, init[:len(init)-1]...)
		out = appendU32(append(out, opGlobalSet), uint32(imported+i))
	}
	out = appendU32(append(p.initialState(out), opGlobalSet), p.globals)
	out = appendU32(append(out, opI32Const, 0, opGlobalSet), p.globals+1)
	for _, fn := range []*uint32{p.m.Start, entry} {
		if fn != nil {
			out = appendU32(append(out, opCall), p.fn(*fn))
		}
	}
	return append(out, opEnd)
}

// bulkShift makes a cost of a number of bytes or elements: 16 for 1, so that no 32-bit
// number exhausts what State can hold.
const bulkShift = 4

// The cost of a function's frame in bytes, on top of its code's size and its locals.
const (
	frameBytes = 64
	localBytes = 8
)

// function writes a body.
func (p *preparation) function(i uint32, b wasmbin.Body) ([]byte, error) {
	t := p.m.Types[p.m.Funcs[i]]
	locals := uint32(len(t.Params))
	for _, l := range b.Locals {
		locals += l.Count // at most 50,000 in all
	}
	s := &scan{Reader: wasmbin.NewReader(b.Expr, b.Offset), p: p, index: p.tick + i, locals: locals}
	s.function()
	if s.Err() != nil {
		return nil, s.Err()
	}
	e := emitter{p: p, scan: s, source: b.Expr, wide: locals, narrow: locals + 1}
	if s.calls {
		e.frame = frameBytes + localBytes*int64(locals) + int64(len(b.Expr))
	}

	own := []byte{1, byte(wasmbin.I64), 1, byte(wasmbin.I32)}
	if e.free() {
		own = nil
	}
	e.out = appendU32(nil, uint32(len(b.Locals)+len(own)/2))
	for _, l := range b.Locals {
		e.out = append(appendU32(e.out, l.Count), byte(l.Type))
	}
	e.out = append(e.out, own...)
	e.body(t)
	return e.out, nil
}

// emitter writes the new code of one function.
type emitter struct {
	p            *preparation
	scan         *scan
	source       []byte
	wide, narrow uint32 // two local variables of our own: i64, i32
	frame        int64  // what the function takes of the stack, 0: it calls nothing
	out          []byte
}

func (e *emitter) op(op byte)              { e.out = append(e.out, op) }
func (e *emitter) index(op byte, i uint32) { e.out = appendU32(append(e.out, op), i) }
func (e *emitter) constant(v int64)        { e.out = appendS64(append(e.out, opI64Const), v) }
func (e *emitter) through(until, from int) { e.out = append(e.out, e.source[from:until]...) }
func (e *emitter) stateGlobal() uint32     { return e.p.globals }
func (e *emitter) refusedGlobal() uint32   { return e.p.globals + 1 }

// free reports whether the function's callers pay for it.
func (e *emitter) free() bool { return e.frame == 0 && !e.scan.pays && e.scan.cost <= costCall }

func (e *emitter) body(t wasmbin.FuncType) {
	switch {
	case e.frame > 0:
		e.index(opGlobalGet, e.stateGlobal())
		e.constant(int64(e.scan.cost)<<32 + e.frame)
		e.op(opI64Sub)
		e.index(opLocalTee, e.wide)
		e.index(opGlobalSet, e.stateGlobal())
		e.index(opLocalGet, e.wide)
		e.constant(-1<<63 | Exhausted)
		e.op(opI64And)
		e.op(opI64Eqz)
		e.out = append(e.out, opIf, emptyType, opElse)
		e.index(opCall, e.p.tick)
		e.op(opEnd)
		e.op(opBlock)
		e.blockType(t)
	case !e.free():
		e.index(opGlobalGet, e.stateGlobal())
		e.constant(int64(e.scan.cost) << 32)
		e.settle()
	}
	last := 0
	for _, d := range e.scan.edits {
		e.through(d.at, last)
		e.edit(d)
		last = d.until
	}
	e.through(len(e.source), last)
	if e.frame > 0 { // the function's end has closed the block
		e.index(opGlobalGet, e.stateGlobal())
		e.constant(e.frame)
		e.op(opI64Add)
		e.index(opGlobalSet, e.stateGlobal())
		e.op(opEnd)
	}
}

// blockType is the type of a block that leaves the function's results.
func (e *emitter) blockType(t wasmbin.FuncType) {
	switch len(t.Results) {
	case 0:
		e.op(emptyType)
	case 1:
		e.op(byte(t.Results[0]))
	default:
		i := e.p.typeIndex(wasmbin.FuncType{Results: t.Results})
		e.out = appendS64(e.out, int64(i))
	}
}

// settle subtracts what is on the stack from the state below it, and calls Tick when
// the fuel has run out.
func (e *emitter) settle() {
	e.op(opI64Sub)
	e.index(opLocalTee, e.wide)
	e.index(opGlobalSet, e.stateGlobal())
	e.index(opLocalGet, e.wide)
	e.constant(0)
	e.op(opI64LtS)
	e.out = append(e.out, opIf, emptyType)
	e.index(opCall, e.p.tick)
	e.op(opEnd)
}

func (e *emitter) edit(d edit) {
	switch d.kind {
	case editLoop:
		e.through(d.until, d.at)
		e.index(opGlobalGet, e.stateGlobal())
		e.constant(int64(d.value) << 32)
		e.settle()
	case editCall:
		e.index(opCall, e.p.fn(d.value))
	case editRef:
		e.index(opRefFunc, e.p.fn(d.value))
	case editReturn:
		if e.frame > 0 {
			e.index(opBr, d.value)
		} else {
			e.op(opReturn)
		}
	case editBulk:
		e.index(opLocalTee, e.narrow)
		e.index(opGlobalGet, e.stateGlobal())
		e.index(opLocalGet, e.narrow)
		e.op(opI64Extend)
		e.constant(bulkShift)
		e.op(opI64ShrU)
		e.constant(32)
		e.op(opI64Shl)
		e.settle()
		e.through(d.until, d.at)
	case editGrow:
		e.through(d.until, d.at)
		e.index(opLocalTee, e.narrow)
		e.out = append(e.out, opI32Const, 0x7f, opI32Eq, opIf, emptyType, opI32Const, 1)
		e.index(opGlobalSet, e.refusedGlobal())
		e.op(opEnd)
		e.index(opLocalGet, e.narrow)
	}
}
