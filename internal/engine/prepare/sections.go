package prepare

import (
	"errors"
	"fmt"
	"math"

	"github.com/terrane/terrane/internal/engine/wasmbin"
)

func (p *preparation) typeSection() []byte {
	out := wasmbin.AppendU32(nil, uint32(len(p.types)))
	for _, t := range p.types {
		out = appendTypes(appendTypes(append(out, 0x60), t.Params), t.Results)
	}
	return out
}

func (p *preparation) importSection(procedure uint32) []byte {
	out := wasmbin.AppendU32(nil, uint32(len(p.m.Imports)+1))
	for _, im := range p.m.Imports {
		if p.o.Rename != nil {
			im.Module, im.Name = p.o.Rename(im.Module, im.Name)
		}
		out = append(wasmbin.AppendBytes(wasmbin.AppendBytes(out, im.Module), im.Name), byte(im.Kind))
		switch im.Kind {
		case wasmbin.KindTable:
			out = append(out, byte(im.Table.Type))
			out = appendLimits(out, im.Table.Limits)
		case wasmbin.KindMemory:
			out = appendLimits(out, im.Memory)
		case wasmbin.KindGlobal:
			out = append(out, byte(im.Global.Type), flag(im.Global.Mutable))
		default:
			out = wasmbin.AppendU32(out, im.Type)
		}
	}
	out = append(wasmbin.AppendBytes(wasmbin.AppendBytes(out, Module), Tick), byte(wasmbin.KindFunc))
	return wasmbin.AppendU32(out, procedure)
}

// clamp sets a maximum of at most ceiling, unless the minimum is higher.
func clamp(l wasmbin.Limits, ceiling uint32) wasmbin.Limits {
	if !l.HasMax || l.Max > ceiling {
		l.HasMax, l.Max = true, max(ceiling, l.Min)
	}
	return l
}

func appendLimits(b []byte, l wasmbin.Limits) []byte {
	b = wasmbin.AppendU32(append(b, flag(l.HasMax)), l.Min)
	if l.HasMax {
		b = wasmbin.AppendU32(b, l.Max)
	}
	return b
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

func (p *preparation) functionSection(procedure uint32, more extras) []byte {
	out := wasmbin.AppendU32(nil, uint32(len(p.m.Funcs)+1+len(more.functions)))
	for _, t := range p.m.Funcs {
		out = wasmbin.AppendU32(out, t)
	}
	out = wasmbin.AppendU32(out, procedure)
	for _, f := range more.functions {
		out = wasmbin.AppendU32(out, f.typ)
	}
	return out
}

func (p *preparation) tableSection() []byte {
	if len(p.m.Tables) == 0 {
		return nil
	}
	out := wasmbin.AppendU32(nil, uint32(len(p.m.Tables)))
	for _, t := range p.m.Tables {
		out = appendLimits(append(out, byte(t.Type)), clamp(t.Limits, p.o.TableSize))
	}
	return out
}

// memorySection also returns the number of pages that there may be.
func (p *preparation) memorySection() (section []byte, pages uint32) {
	if len(p.m.Memories) == 0 {
		return nil, 0
	}
	l := clamp(p.m.Memories[0], p.o.MemoryPages)
	pages = l.Max
	if p.o.SparePage && pages < 1<<16 {
		l.Max++
	}
	return appendLimits([]byte{1}, l), pages
}

func (p *preparation) globalSection() ([]byte, error) {
	out := wasmbin.AppendU32(nil, uint32(len(p.m.Globals)+added))
	for i, g := range p.m.Globals {
		out = append(out, byte(g.Type), flag(g.Mutable))
		init, err := p.constant(g.Init)
		if err != nil {
			return nil, fmt.Errorf("global %d: %w", i, err)
		}
		out = append(out, init...)
	}
	for _, v := range p.initial() {
		out = wasmbin.AppendS64(append(out, byte(wasmbin.I32), 1, wasmbin.OpI32Const), v)
		out = append(out, wasmbin.OpEnd)
	}
	return out, nil
}

// added is the number of globals added: the fuel, the stack left, and whether a
// memory.grow was refused.
const added = 3

func (p *preparation) fuel() uint32    { return p.globals }
func (p *preparation) stack() uint32   { return p.globals + 1 }
func (p *preparation) refused() uint32 { return p.globals + 2 }

// initial is the initial values of the globals added.
func (p *preparation) initial() [added]int64 {
	return [added]int64{FullFuel, int64(min(p.o.Stack, math.MaxInt32)), 0}
}

func (p *preparation) exportSection(more extras) []byte {
	var own []wasmbin.Export
	for _, e := range p.m.Exports {
		if more.exported(e) {
			own = append(own, e)
		}
	}
	memories := 0
	if p.o.Reach {
		memories = len(p.m.Memories)
	}
	out := wasmbin.AppendU32(nil, uint32(len(own)+added+1+memories+more.exports))
	for _, e := range own {
		index := e.Index
		if e.Kind == wasmbin.KindFunc {
			index = p.fn(index)
		}
		out = appendExport(out, e.Name, e.Kind, index)
	}
	out = appendExport(out, Fuel, wasmbin.KindGlobal, p.fuel())
	out = appendExport(out, Stack, wasmbin.KindGlobal, p.stack())
	out = appendExport(out, Refused, wasmbin.KindGlobal, p.refused())
	out = appendExport(out, Enter, wasmbin.KindFunc, p.fn(p.funcs))
	if memories > 0 {
		out = appendExport(out, Memory, wasmbin.KindMemory, 0)
	}
	for i, f := range more.functions[:more.exports] {
		out = appendExport(out, f.name, wasmbin.KindFunc, p.fn(p.funcs)+1+uint32(i))
	}
	return out
}

func appendExport(b []byte, name string, kind wasmbin.Kind, index uint32) []byte {
	return wasmbin.AppendU32(append(wasmbin.AppendBytes(b, name), byte(kind)), index)
}

// constant copies a constant expression, its end included.
func (p *preparation) constant(expr []byte) ([]byte, error) {
	if len(expr) == 0 {
		return nil, errConstant
	}
	r := wasmbin.NewReader(expr, 0)
	wasmbin.ConstInstr(r)
	if r.Len() != 1 {
		return nil, errConstant
	}
	if op := expr[0]; op != wasmbin.OpRefFunc && op != wasmbin.OpGlobalGet {
		return expr, nil
	}
	index := wasmbin.NewReader(expr[1:], 0).U32()
	if expr[0] == wasmbin.OpGlobalGet {
		return expr, below(index, p.globals, "global")
	}
	return append(wasmbin.AppendU32([]byte{wasmbin.OpRefFunc}, p.fn(index)), wasmbin.OpEnd), below(index, p.funcs, "function")
}

var errConstant = errors.New("a constant expression of more than one instruction")

func below(index, count uint32, what string) error {
	if index >= count {
		return fmt.Errorf("%s %d of %d", what, index, count)
	}
	return nil
}

// offset reads the offset of a segment.
func (p *preparation) offset(r *wasmbin.Reader) error {
	expr := wasmbin.ConstExpr(r)
	if r.Err() != nil {
		return r.Err()
	}
	_, err := p.constant(expr)
	if err == nil && expr[0] == wasmbin.OpRefFunc {
		err = errors.New("a function as the offset of a segment")
	}
	return err
}

// checkData reads the data section, which is copied.
func (p *preparation) checkData() error {
	s, ok := p.m.Section(wasmbin.SecData)
	if !ok {
		return nil
	}
	r := wasmbin.NewReader(s.Payload, s.Offset)
	for range r.Count() {
		flags := r.U32()
		if flags == segExplicit {
			r.U32()
		}
		if flags != segPassive {
			if err := p.offset(r); err != nil {
				return err
			}
		}
		r.Bytes(r.U32())
		if r.Err() != nil {
			break
		}
	}
	return r.Err()
}

// elements copies the element section.
func (p *preparation) elements() ([]byte, error) {
	s, ok := p.m.Section(wasmbin.SecElement)
	if !ok {
		return nil, nil
	}
	r := wasmbin.NewReader(s.Payload, s.Offset)
	n := r.Count()
	out := wasmbin.AppendU32(nil, uint32(n))
	for range n {
		var err error
		if out, err = p.segment(r, out); err != nil {
			return nil, err
		}
	}
	if r.Len() > 0 {
		r.Fail("the element section has %d bytes too many", r.Len())
	}
	return out, r.Err()
}

// The bits of a segment's flags.
const (
	segPassive  = 1 // or declarative
	segExplicit = 2 // has a table index, or is declarative
	segExprs    = 4 // its elements are expressions
)

func (p *preparation) segment(r *wasmbin.Reader, out []byte) ([]byte, error) {
	flags := r.U32()
	if flags > 7 {
		r.Fail("an element segment has the flags %d", flags)
		return nil, r.Err()
	}
	out = wasmbin.AppendU32(out, flags)
	start := r.Pos()
	if flags&(segPassive|segExplicit) == segExplicit {
		r.U32()
	}
	if flags&segPassive == 0 {
		if err := p.offset(r); err != nil {
			return nil, err
		}
	}
	if flags&(segPassive|segExplicit) != 0 {
		r.Byte() // kind or type of the elements
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	out = append(out, r.Since(start)...)
	n := r.Count()
	out = wasmbin.AppendU32(out, uint32(n))
	for range n {
		if flags&segExprs != 0 {
			expr := wasmbin.ConstExpr(r)
			if r.Err() != nil {
				return nil, r.Err()
			}
			expr, err := p.constant(expr)
			if err != nil {
				return nil, err
			}
			out = append(out, expr...)
		} else {
			fn := r.U32()
			if fn >= p.funcs {
				r.Fail("an element is function %d of %d", fn, p.funcs)
			}
			out = wasmbin.AppendU32(out, p.fn(fn))
		}
		if r.Err() != nil {
			return nil, r.Err()
		}
	}
	return out, nil
}
