package component

import (
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// The instructions that are looked at or written.
const (
	opUnreachable  = 0x00
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opSelectTyped  = 0x1c
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableGet     = 0x25
	opTableSet     = 0x26
	opFirstMemory  = 0x28
	opLastMemory   = 0x3e
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI64Eqz       = 0x50
	opI64ShrU      = 0x88
	opI32WrapI64   = 0xa7
	opLastNumeric  = 0xc4
	opRefNull      = 0xd0
	opRefIsNull    = 0xd1
	opRefFunc      = 0xd2
	opMisc         = 0xfc
	opVector       = 0xfd
	emptyType      = 0x40
)

// rewriter copies code with new indices.
type rewriter struct {
	u   *unit
	r   *wasmbin.Reader
	out []byte
	at  int // in the source: what is before is copied
	src []byte
	// declare is called for each function of which code makes a reference.
	declare func(fn uint32)
}

// body copies the instructions of a function.
func (w *rewriter) body(b wasmbin.Body) error {
	w.src, w.at = b.Expr, 0
	w.r = wasmbin.NewReader(b.Expr, b.Offset)
	for w.r.Len() > 0 {
		w.instruction()
	}
	w.flush(len(b.Expr))
	return w.r.Err()
}

// flush copies the source up to a position.
func (w *rewriter) flush(until int) {
	w.out = append(w.out, w.src[w.at:until]...)
	w.at = until
}

// index replaces the index that follows.
func (w *rewriter) index(to []uint32, what string) {
	start := w.r.Pos()
	old := w.r.U32()
	if int64(old) >= int64(len(to)) {
		w.r.Fail("%s %d of %d", what, old, len(to))
		return
	}
	now := to[old]
	if now == gone {
		w.r.Fail("%s %d is used in a way that is not supported", what, old)
		return
	}
	if now != old {
		w.flush(start)
		w.out = appendU32(w.out, now)
		w.at = w.r.Pos()
	}
}

func (w *rewriter) instruction() {
	r := w.r
	switch op := r.Byte(); {
	case op == opLocalGet || op == opLocalSet || op == opLocalTee || op == opBr || op == opBrIf:
		r.U32()
	case opFirstMemory <= op && op <= opLastMemory:
		w.memarg()
	case op == opI32Const:
		r.Skip(5)
	case op == opI64Const:
		r.Skip(10)
	case opI64Const < op && op <= opLastNumeric:
		switch op {
		case opF32Const:
			r.Bytes(4)
		case opF64Const:
			r.Bytes(8)
		}
	case op == opCall:
		w.index(w.u.funcTo, "function")
	case op == opRefFunc:
		if fn := w.r.PeekU32(); int64(fn) < int64(len(w.u.funcTo)) {
			w.declare(w.u.funcTo[fn])
		}
		w.index(w.u.funcTo, "function")
	case op == opCallIndirect:
		w.index(w.u.typeTo, "type")
		w.index(w.u.tableTo, "table")
	case op == opGlobalGet || op == opGlobalSet:
		w.index(w.u.globalTo, "global")
	case op == opTableGet || op == opTableSet:
		w.index(w.u.tableTo, "table")
	case opBlock <= op && op <= opIf:
		w.blockType()
	case op == opBrTable:
		for range r.Count() + 1 {
			r.U32()
		}
	case op == opMemorySize || op == opMemoryGrow || op == opRefNull:
		r.Byte()
	case op == opSelectTyped:
		r.Bytes(r.U32())
	case op == opMisc:
		w.misc()
	case op == opVector:
		w.vector()
	case op <= 0x05, op == opEnd, op == opReturn, op == 0x1a, op == 0x1b, op == opRefIsNull:
	default:
		r.Fail("instruction 0x%02x is not part of WebAssembly 2.0", op)
	}
}

func (w *rewriter) memarg() {
	if align := w.r.U32(); align >= 32 {
		w.r.Fail("a memory access with the flags %d is not part of WebAssembly 2.0", align)
	}
	w.r.U32()
}

// blockType replaces the index of a type.
func (w *rewriter) blockType() {
	if b := w.r.Peek(); b == emptyType || b < 0x80 && wasmbin.ValType(b).Valid() {
		w.r.Byte()
		return
	}
	start := w.r.Pos()
	old := w.r.TypeIndex()
	if int64(old) >= int64(len(w.u.typeTo)) {
		w.r.Fail("type %d of %d", old, len(w.u.typeTo))
		return
	}
	w.flush(start)
	w.out = appendS64(w.out, int64(w.u.typeTo[old]))
	w.at = w.r.Pos()
}

// The instructions behind opMisc.
const (
	miscMemoryInit = 8 + iota
	miscDataDrop
	miscMemoryCopy
	miscMemoryFill
	miscTableInit
	miscElemDrop
	miscTableCopy
	miscTableGrow
	miscTableSize
	miscTableFill
)

func (w *rewriter) misc() {
	switch op := w.r.U32(); op {
	case 0, 1, 2, 3, 4, 5, 6, 7:
	case miscMemoryInit:
		w.index(w.u.dataTo, "data segment")
		w.r.Byte()
	case miscDataDrop:
		w.index(w.u.dataTo, "data segment")
	case miscMemoryCopy:
		w.r.Bytes(2)
	case miscMemoryFill:
		w.r.Byte()
	case miscTableInit:
		w.index(w.u.elemTo, "element segment")
		w.index(w.u.tableTo, "table")
	case miscElemDrop:
		w.index(w.u.elemTo, "element segment")
	case miscTableCopy:
		w.index(w.u.tableTo, "table")
		w.index(w.u.tableTo, "table")
	case miscTableGrow, miscTableSize, miscTableFill:
		w.index(w.u.tableTo, "table")
	default:
		w.r.Fail("instruction fc %d is not part of WebAssembly 2.0", op)
	}
}

func (w *rewriter) vector() {
	switch op := w.r.U32(); {
	case op <= 11 || op == 92 || op == 93:
		w.memarg()
	case op == 12 || op == 13:
		w.r.Bytes(16)
	case 21 <= op && op <= 34:
		w.r.Byte()
	case 84 <= op && op <= 91:
		w.memarg()
		w.r.Byte()
	case op > 255:
		w.r.Fail("instruction fd %d is not part of WebAssembly 2.0", op)
	}
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendS64(b []byte, v int64) []byte {
	for v < -0x40 || v >= 0x40 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v)&0x7f)
}

func appendBytes[T ~string | ~[]byte](b []byte, v T) []byte {
	return append(appendU32(b, uint32(len(v))), v...)
}
