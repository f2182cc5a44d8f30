package prepare

import (
	"fmt"

	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// code writes the code section. calls are what Enter calls, nil for nothing.
func (p *preparation) code(more extras, calls ...*uint32) ([]byte, error) {
	before, _ := p.m.Section(wasmbin.SecCode)
	out := wasmbin.AppendU32(make([]byte, 0, len(before.Payload)*3/2), uint32(len(p.m.Bodies)+1+len(more.functions)))
	for i, b := range p.m.Bodies {
		f, err := p.function(uint32(i), b)
		if err != nil {
			return nil, fmt.Errorf("function %d: %w", p.tick+uint32(i), err)
		}
		out = wasmbin.AppendBytes(out, f)
	}
	out = wasmbin.AppendBytes(out, p.enter(calls))
	for i := range more.functions {
		out = wasmbin.AppendBytes(out, more.functions[i].body)
	}
	return out, nil
}

// enter writes the body of the function exported as Enter.
func (p *preparation) enter(calls []*uint32) []byte {
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
		out = wasmbin.AppendU32(append(out, wasmbin.OpGlobalSet), uint32(imported+i))
	}
	for i, v := range p.initial() {
		out = wasmbin.AppendS64(append(out, wasmbin.OpI32Const), v)
		out = wasmbin.AppendU32(append(out, wasmbin.OpGlobalSet), p.globals+uint32(i))
	}
	for _, fn := range calls {
		if fn != nil {
			out = wasmbin.AppendU32(append(out, wasmbin.OpCall), p.fn(*fn))
		}
	}
	return append(out, wasmbin.OpEnd)
}

// bulkShift makes a cost of a number of bytes or elements: 16 for 1, so that no 32-bit
// number exceeds what the fuel can fall by.
const bulkShift = 4

// The cost of a function's frame in bytes, on top of its code's size and its locals.
const (
	frameBytes = 64
	localBytes = 8
)

// function writes a body, which is valid until the next one is written.
func (p *preparation) function(i uint32, b wasmbin.Body) ([]byte, error) {
	t := p.m.Types[p.m.Funcs[i]]
	locals := uint32(len(t.Params))
	for _, l := range b.Locals {
		locals += l.Count // at most 50,000 in all
	}
	s := &p.scan
	*s = scan{Reader: wasmbin.NewReader(b.Expr, b.Offset), p: p, index: p.tick + i, locals: locals,
		edits: s.edits[:0], open: s.open[:0], loops: s.loops[:0]}
	s.function()
	if s.Err() != nil {
		return nil, s.Err()
	}
	if err := p.weigh(s.blocks, int64(locals)); err != nil {
		return nil, err
	}
	e := emitter{p: p, scan: s, source: b.Expr, left: locals, spare: locals + 1, count: locals + 2}
	if s.calls {
		e.frame = frameBytes + localBytes*int64(locals) + int64(len(b.Expr))
	}
	p.checks = append(p.checks, e.checks())
	own := []byte{3, byte(wasmbin.I32)}
	if e.free() {
		own = nil
	}
	e.out = wasmbin.AppendU32(p.scratch[:0], uint32(len(b.Locals)+len(own)/2))
	for _, l := range b.Locals {
		e.out = append(wasmbin.AppendU32(e.out, l.Count), byte(l.Type))
	}
	e.out = append(e.out, own...)
	e.body(t)
	p.scratch = e.out
	return e.out, nil
}

// A compiler's time grows with the square of a function's blocks, and its memory with
// blocks times local variables. Real programs stay below a twentieth of these bounds.
const (
	maxEffort = 1_000_000_000 // some 30 s of a processor
	maxJoins  = 2_000_000     // of one function, some 100 MB
)

func (p *preparation) weigh(blocks, locals int64) error {
	if blocks*locals > maxJoins {
		return fmt.Errorf("%d blocks and branches with %d local variables are too many for one function: "+
			"split it, or build with optimisation", blocks, locals)
	}
	p.effort += blocks*blocks + 20*blocks*locals
	if p.effort > maxEffort {
		return fmt.Errorf("with its %d blocks and branches the module would take too long to compile: "+
			"split its largest functions, or build with optimisation", blocks)
	}
	return nil
}

// emitter writes the new code of one function. Loops count what they owe in a local
// variable, since a global would have to go through memory in every pass, and settle
// when it exceeds maxDebt and at the function's end.
type emitter struct {
	p      *preparation
	scan   *scan
	source []byte
	left   uint32 // local variable of our own, i32: the stack left
	spare  uint32 // another: what is used at once
	count  uint32 // another: what loops owe
	frame  int64  // what the function takes of the stack; 0: it calls nothing
	deeper uint32 // by how much more labels lead out of the loop that is being written
	out    []byte
}

// maxDebt is what the loops of a function may owe.
const maxDebt = 1 << 12

func (e *emitter) op(op byte)              { e.out = append(e.out, op) }
func (e *emitter) index(op byte, i uint32) { e.out = wasmbin.AppendU32(append(e.out, op), i) }
func (e *emitter) constant(v int64)        { e.out = wasmbin.AppendS64(append(e.out, wasmbin.OpI32Const), v) }
func (e *emitter) through(until, from int) { e.out = append(e.out, e.source[from:until]...) }

// free reports whether the function's callers pay for it.
func (e *emitter) free() bool { return e.frame == 0 && !e.scan.pays && e.scan.cost <= costCall }

// checks reports whether the function looks at the fuel whenever it is called.
func (e *emitter) checks() bool { return e.frame > 0 || !e.scan.looped && !e.free() }

// wrapped reports whether something is to be done when the function returns.
func (e *emitter) wrapped() bool { return e.frame > 0 || e.scan.looped }

func (e *emitter) body(t wasmbin.FuncType) {
	switch {
	case e.frame > 0:
		e.push()
	case e.scan.looped:
		e.constant(int64(e.scan.cost))
		e.index(wasmbin.OpLocalSet, e.count)
	case !e.free():
		e.index(wasmbin.OpGlobalGet, e.p.fuel())
		e.constant(int64(e.scan.cost))
		e.settle()
	}
	if e.wrapped() {
		e.op(wasmbin.OpBlock)
		e.blockType(t)
	}
	e.copy(e.scan.edits, 0, len(e.source))
	if e.wrapped() { // the function's end has closed the block
		e.pop()
		e.op(wasmbin.OpEnd)
	}
}

// copy writes the source from at to until, with the edits.
func (e *emitter) copy(edits []edit, at, until int) {
	for len(edits) > 0 {
		d := edits[0]
		e.through(d.at, at)
		edits, at = edits[1:], d.until
		if d.kind == editLoop && d.loop.tight {
			e.tight(d, edits[:d.loop.edits])
			edits, at = edits[d.loop.edits:], d.loop.end+1
		} else {
			e.edit(d)
		}
	}
	e.through(until, at)
}

// push pays for the function and its frame.
func (e *emitter) push() {
	e.index(wasmbin.OpGlobalGet, e.p.stack())
	e.constant(e.frame)
	e.op(wasmbin.OpI32Sub)
	e.index(wasmbin.OpLocalTee, e.left)
	e.index(wasmbin.OpGlobalSet, e.p.stack())
	e.index(wasmbin.OpGlobalGet, e.p.fuel())
	e.constant(int64(e.scan.cost))
	e.op(wasmbin.OpI32Sub)
	e.index(wasmbin.OpLocalTee, e.spare)
	e.index(wasmbin.OpGlobalSet, e.p.fuel())
	e.index(wasmbin.OpLocalGet, e.spare)
	e.index(wasmbin.OpLocalGet, e.left)
	e.op(wasmbin.OpI32Or)
	e.tickIfNegative()
}

// pop gives the frame back and pays what loops owe. The next payment looks at the fuel.
func (e *emitter) pop() {
	if e.frame > 0 {
		e.index(wasmbin.OpLocalGet, e.left)
		e.constant(e.frame)
		e.op(wasmbin.OpI32Add)
		e.index(wasmbin.OpGlobalSet, e.p.stack())
	}
	if e.scan.looped {
		e.index(wasmbin.OpGlobalGet, e.p.fuel())
		e.index(wasmbin.OpLocalGet, e.count)
		e.op(wasmbin.OpI32Sub)
		e.index(wasmbin.OpGlobalSet, e.p.fuel())
	}
}

// pass counts passes of a loop, and begins what is to be done if too much is owed.
func (e *emitter) pass(cost uint32) {
	e.index(wasmbin.OpLocalGet, e.count)
	if cost > 0 {
		e.constant(int64(cost))
		e.op(wasmbin.OpI32Add)
		e.index(wasmbin.OpLocalTee, e.count)
	}
	e.constant(maxDebt)
	e.out = append(e.out, wasmbin.OpI32LeU, wasmbin.OpIf, wasmbin.EmptyBlock, wasmbin.OpElse) // the usual way falls through
}

// tight writes a tight loop as
//
//	block                    ;; if there is more than one copy of the body
//	  loop                   ;; settles if too much is owed
//	    loop                 ;; counts; if too much is owed, br to the loop around it
//	      block body br 3 end
//	      body
//	    end
//	  end
//	end
//
// What is live where Tick may be called would be kept in memory; so that is not
// in the inner loop. A body goes on to the next copy where it went back before.
func (e *emitter) tight(d edit, edits []edit) {
	header, copies := e.source[d.at+1:d.until], d.loop.copies(d.loop.end-d.until)
	begin := func(op byte) { e.out = append(append(e.out, op), header...) }
	if copies > 1 {
		begin(wasmbin.OpBlock)
	}
	begin(wasmbin.OpLoop)
	e.pass(0)
	e.payDebt()
	begin(wasmbin.OpLoop)
	e.pass(copies * d.loop.cost)
	e.index(wasmbin.OpBr, 2)
	e.op(wasmbin.OpEnd)
	e.deeper = 3
	for range copies - 1 {
		e.out = append(e.out, wasmbin.OpBlock, wasmbin.EmptyBlock)
		e.copy(edits, d.until, d.loop.end)
		e.index(wasmbin.OpBr, 3)
		e.op(wasmbin.OpEnd)
	}
	e.deeper = min(copies, 2)
	e.copy(edits, d.until, d.loop.end)
	e.deeper = 0
	e.out = append(e.out, wasmbin.OpEnd, wasmbin.OpEnd)
	if copies > 1 {
		e.op(wasmbin.OpEnd)
	}
}

// payDebt settles what loops owe, and ends what pass began.
func (e *emitter) payDebt() {
	e.index(wasmbin.OpGlobalGet, e.p.fuel())
	e.index(wasmbin.OpLocalGet, e.count)
	e.constant(0)
	e.index(wasmbin.OpLocalSet, e.count)
	e.settle()
	e.op(wasmbin.OpEnd)
}

// blockType is the type of a block that leaves the function's results.
func (e *emitter) blockType(t wasmbin.FuncType) {
	switch len(t.Results) {
	case 0:
		e.op(wasmbin.EmptyBlock)
	case 1:
		e.op(byte(t.Results[0]))
	default:
		i := e.p.typeIndex(wasmbin.FuncType{Results: t.Results})
		e.out = wasmbin.AppendS64(e.out, int64(i))
	}
}

// settle subtracts what is on the stack from the fuel below it, and calls Tick when it
// has run out.
func (e *emitter) settle() {
	e.op(wasmbin.OpI32Sub)
	e.index(wasmbin.OpLocalTee, e.spare)
	e.index(wasmbin.OpGlobalSet, e.p.fuel())
	e.index(wasmbin.OpLocalGet, e.spare)
	e.tickIfNegative()
}

func (e *emitter) tickIfNegative() {
	e.constant(0)
	e.out = append(e.out, wasmbin.OpI32GeS, wasmbin.OpIf, wasmbin.EmptyBlock, wasmbin.OpElse)
	e.index(wasmbin.OpCall, e.p.guards+e.p.tick)
	e.op(wasmbin.OpEnd)
}

func (e *emitter) edit(d edit) {
	switch d.kind {
	case editLoop:
		e.through(d.until, d.at)
		if !d.loop.covered {
			e.pass(d.loop.cost)
			e.payDebt()
		}
	case editBranch:
		e.branch(d)
	case editCall:
		e.index(wasmbin.OpCall, e.p.fn(d.value))
	case editRef:
		e.index(wasmbin.OpRefFunc, e.p.fn(d.value))
	case editReturn:
		if e.wrapped() {
			e.index(wasmbin.OpBr, d.value+e.deeper)
		} else {
			e.op(wasmbin.OpReturn)
		}
	case editBulk:
		e.index(wasmbin.OpLocalTee, e.spare)
		e.index(wasmbin.OpGlobalGet, e.p.fuel())
		e.index(wasmbin.OpLocalGet, e.spare)
		e.constant(bulkShift)
		e.op(wasmbin.OpI32ShrU)
		e.settle()
		e.through(d.until, d.at)
	case editGrow:
		e.through(d.until, d.at)
		e.index(wasmbin.OpLocalTee, e.spare)
		e.constant(-1)
		e.out = append(e.out, wasmbin.OpI32Eq, wasmbin.OpIf, wasmbin.EmptyBlock, wasmbin.OpI32Const, 1)
		e.index(wasmbin.OpGlobalSet, e.p.refused())
		e.op(wasmbin.OpEnd)
		e.index(wasmbin.OpLocalGet, e.spare)
	}
}

// branch writes a branch of which labels from d.value on lead out of a loop.
func (e *emitter) branch(d edit) {
	r := wasmbin.NewReader(e.source[d.at:d.until], 0)
	op, labels := r.Byte(), uint32(1)
	e.op(op)
	if op == wasmbin.OpBrTable {
		labels += r.U32()
		e.out = wasmbin.AppendU32(e.out, labels-1)
	}
	for range labels {
		label := r.U32()
		if label >= d.value {
			label += e.deeper
		}
		e.out = wasmbin.AppendU32(e.out, label)
	}
}
