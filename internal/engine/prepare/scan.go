package prepare

import (
	"fmt"

	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// What instructions cost.
const (
	costCall = 32 // pays for a callee without loop and call, too
	costGrow = 1 << 10
	maxCost  = 1 << 24 // no function that is compiled within reason exceeds it
)

// editKind is how an instruction is rewritten.
type editKind uint8

const (
	editLoop   editKind = iota // see loop
	editBranch                 // labels from value on lead out of a loop
	editCall                   // function value, renumbered
	editRef                    // function value, renumbered
	editReturn                 // branch to the outermost block, value levels up
	editBulk                   // pay for the operand on top of the stack before it
	editGrow                   // pay, and note whether it failed
)

// edit is one rewriting of the bytes from at to until.
type edit struct {
	at, until int
	kind      editKind
	value     uint32
	loop      *loop // of editLoop
}

// loop is what is known of a loop.
type loop struct {
	depth  int    // the number of blocks that it is in
	edits  int    // up to its beginning; once it has ended, those in it
	blocks int64  // up to its beginning
	end    int    // where its last instruction stands
	cost   uint32 // of one pass, without inner loops

	tight   bool // has neither loop nor call in it, nor anything else that may tick
	back    bool // a branch leads back to its beginning
	covered bool // no pass without a call to a function that looks at the fuel
}

// A tight loop of few instructions is written several times in a row, so that its passes
// are paid for by the dozen.
const (
	dozenCost = 64
	maxCopies = 8
	maxCopied = 256 // bytes of code
)

// copies is how often the body is written.
func (l *loop) copies(size int) uint32 {
	if size > maxCopied {
		return 1
	}
	return max(1, min(dozenCost/l.cost, maxCopies))
}

// scan reads the code of one function.
type scan struct {
	*wasmbin.Reader
	p      *preparation
	index  uint32 // of the function, for reasons
	locals uint32 // parameters included

	cost   uint32 // of what stands in no loop
	calls  bool
	pays   bool // has an edit that pays
	looped bool
	edits  []edit
	open   []*loop // blocks: nil if it is no loop
	loops  []*loop // those of open that are loops

	blocks int64 // what an engine makes basic blocks of, those for metering included
}

// innermost is the loop that is being read, or nil.
func (s *scan) innermost() *loop {
	if len(s.loops) == 0 {
		return nil
	}
	return s.loops[len(s.loops)-1]
}

func (s *scan) pay(n uint32) {
	to := &s.cost
	if l := s.innermost(); l != nil {
		to = &l.cost
	}
	*to = min(*to+n, maxCost)
}

func (s *scan) edit(at int, kind editKind, value uint32) {
	s.edits = append(s.edits, edit{at: at, until: s.Pos(), kind: kind, value: value})
	if kind == editBulk || kind == editGrow {
		s.pays = true
		s.loosen()
	}
}

// loosen notes that the innermost loop is not tight.
func (s *scan) loosen() {
	if l := s.innermost(); l != nil {
		l.tight = false
	}
}

// function reads the instructions up to the end of the function.
func (s *scan) function() {
	for s.Err() == nil {
		at := s.Pos()
		op := s.Byte()
		s.pay(1)
		if op == wasmbin.OpEnd && len(s.open) == 0 {
			if s.Len() > 0 {
				s.Fail("code behind the end of the function")
			}
			return
		}
		s.instr(at, op)
	}
}

func (s *scan) instr(at int, op byte) {
	switch {
	case op <= wasmbin.OpCallIndirect:
		s.control(at, op)
	case wasmbin.OpLocalGet <= op && op <= wasmbin.OpTableSet:
		s.variable(op)
	case wasmbin.OpFirstMemory <= op && op <= wasmbin.OpLastMemory:
		s.memarg()
	case op == 0x1a || op == 0x1b || wasmbin.OpFirstNumeric <= op && op <= wasmbin.OpLastNumeric || op == wasmbin.OpRefIsNull:
	case op == wasmbin.OpSelectTyped:
		s.Bytes(uint32(s.Count()))
	case op == wasmbin.OpMemorySize:
		s.Byte()
	case op == wasmbin.OpMemoryGrow:
		s.Byte()
		s.edit(at, editGrow, 0)
		s.pay(costGrow)
	case op == wasmbin.OpI32Const:
		s.Skip(5)
	case op == wasmbin.OpI64Const:
		s.Skip(10)
	case op == wasmbin.OpF32Const:
		s.Bytes(4)
	case op == wasmbin.OpF64Const:
		s.Bytes(8)
	case op == wasmbin.OpRefNull:
		s.Byte()
	case op == wasmbin.OpRefFunc:
		s.edit(at, editRef, s.indexBelow(s.p.funcs, "function"))
	case op == wasmbin.OpMisc:
		s.misc(at)
	case op == wasmbin.OpVector:
		s.vector()
	default:
		s.Fail("instruction 0x%02x is not part of WebAssembly 2.0", op)
	}
}

// indexBelow reads an index; one that would refer to something added is a fault.
func (s *scan) indexBelow(count uint32, what string) uint32 {
	i := s.U32()
	if i >= count {
		s.Fail("%s %d of %d", what, i, count)
		return 0
	}
	return i
}

func (s *scan) control(at int, op byte) {
	switch op {
	case wasmbin.OpBlock, wasmbin.OpIf:
		s.blockType()
		s.open = append(s.open, nil)
		s.blocks++
	case wasmbin.OpLoop:
		s.begin(at)
	case wasmbin.OpEnd:
		last := len(s.open) - 1
		l := s.open[last]
		s.open = s.open[:last]
		if l != nil {
			s.end(at, l)
		}
	case wasmbin.OpBr, wasmbin.OpBrIf:
		s.branch(at, 1)
	case wasmbin.OpBrTable:
		s.branch(at, s.Count()+1)
	case wasmbin.OpReturn:
		s.edit(at, editReturn, uint32(len(s.open)))
	case wasmbin.OpCall:
		fn := s.indexBelow(s.p.funcs, "function")
		s.edit(at, editCall, fn)
		s.call()
		if l := s.innermost(); l != nil && !l.back && l.depth == len(s.open)-1 && s.p.checksFuel(fn, s.index) {
			l.covered = true
		}
	case wasmbin.OpCallIndirect:
		s.indexBelow(uint32(len(s.p.m.Types)), "type")
		s.U32()
		s.call()
	case 0x00, 0x01, wasmbin.OpElse:
	default:
		s.Fail("instruction 0x%02x is not part of WebAssembly 2.0", op)
	}
}

func (s *scan) call() {
	s.calls = true
	s.pay(costCall)
	s.loosen()
}

func (s *scan) begin(at int) {
	params := s.blockType()
	s.loosen()
	l := &loop{depth: len(s.open), edits: len(s.edits) + 1, blocks: s.blocks, cost: 1, tight: !params}
	s.open = append(s.open, l)
	s.loops = append(s.loops, l)
	s.edit(at, editLoop, 0)
	s.edits[len(s.edits)-1].loop = l
	s.blocks += 3
}

func (s *scan) end(at int, l *loop) {
	s.loops = s.loops[:len(s.loops)-1]
	l.end, l.edits = at, len(s.edits)-l.edits
	// What a pass costs beside the call is then at most as much again as the call.
	l.covered = l.covered && l.cost <= 2*costCall
	if !l.covered {
		s.pays, s.looped = true, true
	}
	if l.tight {
		copies := int64(l.copies(at - s.edits[len(s.edits)-1-l.edits].until))
		s.blocks += (copies-1)*(s.blocks-l.blocks) + copies
	}
}

// branch reads labels, and notes it if one leads out of a loop that may be tight.
func (s *scan) branch(at, labels int) {
	l := s.innermost()
	leaves := false
	for range labels {
		label := int(s.indexBelow(uint32(len(s.open))+1, "label"))
		s.blocks++
		if to := len(s.open) - 1 - label; to >= 0 && s.open[to] != nil {
			s.open[to].back = true
		}
		leaves = leaves || l != nil && label >= len(s.open)-l.depth
	}
	if leaves && l.tight {
		s.edit(at, editBranch, uint32(len(s.open)-l.depth))
	}
}

// blockType reports whether the block has parameters.
func (s *scan) blockType() bool {
	t := s.U32()
	if t == wasmbin.EmptyBlock || t < 0x80 && wasmbin.ValType(t).Valid() {
		return false
	}
	// A type's index is a signed number: of one byte it is at most 0x3f, and longer
	// ones read alike, signed or not, as far as any module has types.
	if t >= uint32(len(s.p.m.Types)) {
		s.Fail("type %d of %d", t, len(s.p.m.Types))
		return false
	}
	return len(s.p.m.Types[t].Params) > 0
}

func (s *scan) variable(op byte) {
	switch op {
	case wasmbin.OpLocalGet, wasmbin.OpLocalSet, wasmbin.OpLocalTee:
		s.indexBelow(s.locals, "local variable")
	case wasmbin.OpGlobalGet, wasmbin.OpGlobalSet:
		s.indexBelow(s.p.globals, "global")
	case wasmbin.OpTableSet:
		s.keep("table.set changes a table")
		s.U32()
	default:
		s.U32()
	}
}

func (s *scan) memarg() {
	s.U32()
	s.U32()
}

func (s *scan) misc(at int) {
	op := s.U32()
	switch {
	case op < wasmbin.MiscMemoryInit:
		return
	case op == wasmbin.MiscMemoryFill, op == wasmbin.MiscDataDrop, op == wasmbin.MiscElemDrop, op == wasmbin.MiscTableGrow, op == wasmbin.MiscTableSize, op == wasmbin.MiscTableFill:
		s.U32()
	case op <= wasmbin.MiscTableCopy:
		s.U32()
		s.U32()
	default:
		s.Fail("instruction fc %d is not part of WebAssembly 2.0", op)
	}
	switch op {
	case wasmbin.MiscMemoryInit, wasmbin.MiscMemoryCopy, wasmbin.MiscMemoryFill:
	case wasmbin.MiscDataDrop, wasmbin.MiscElemDrop:
		s.keep([...]string{"data.drop drops a segment", "elem.drop drops a segment"}[op/wasmbin.MiscElemDrop])
		return
	case wasmbin.MiscTableSize:
		return
	default:
		s.keep([...]string{"table.init", "", "table.copy", "table.grow", "", "table.fill"}[(op-wasmbin.MiscTableInit)%6] + " changes a table")
	}
	s.edit(at, editBulk, 0)
}

func (s *scan) keep(why string) { s.p.keep(why, fmt.Sprintf(" (function %d)", s.index)) }

func (s *scan) vector() {
	switch op := s.U32(); {
	case op <= 11 || op == 92 || op == 93:
		s.memarg()
	case op == 12 || op == 13:
		s.Bytes(16)
	case 21 <= op && op <= 34:
		s.Byte()
	case 84 <= op && op <= 91:
		s.memarg()
		s.Byte()
	case op > 255:
		s.Fail("instruction fd %d is not part of WebAssembly 2.0", op)
	}
}
