package component

import (
	"github.com/terrane/terrane/internal/engine/wasmbin"
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
		w.out = wasmbin.AppendU32(w.out, now)
		w.at = w.r.Pos()
	}
}

func (w *rewriter) instruction() {
	r := w.r
	switch op := r.Byte(); {
	case op == wasmbin.OpLocalGet || op == wasmbin.OpLocalSet || op == wasmbin.OpLocalTee || op == wasmbin.OpBr || op == wasmbin.OpBrIf:
		r.U32()
	case wasmbin.OpFirstMemory <= op && op <= wasmbin.OpLastMemory:
		w.memarg()
	case op == wasmbin.OpI32Const:
		r.Skip(5)
	case op == wasmbin.OpI64Const:
		r.Skip(10)
	case wasmbin.OpI64Const < op && op <= wasmbin.OpLastNumeric:
		switch op {
		case wasmbin.OpF32Const:
			r.Bytes(4)
		case wasmbin.OpF64Const:
			r.Bytes(8)
		}
	case op == wasmbin.OpCall:
		w.index(w.u.funcTo, "function")
	case op == wasmbin.OpRefFunc:
		if fn := w.r.PeekU32(); int64(fn) < int64(len(w.u.funcTo)) {
			w.declare(w.u.funcTo[fn])
		}
		w.index(w.u.funcTo, "function")
	case op == wasmbin.OpCallIndirect:
		w.index(w.u.typeTo, "type")
		w.index(w.u.tableTo, "table")
	case op == wasmbin.OpGlobalGet || op == wasmbin.OpGlobalSet:
		w.index(w.u.globalTo, "global")
	case op == wasmbin.OpTableGet || op == wasmbin.OpTableSet:
		w.index(w.u.tableTo, "table")
	case wasmbin.OpBlock <= op && op <= wasmbin.OpIf:
		w.blockType()
	case op == wasmbin.OpBrTable:
		for range r.Count() + 1 {
			r.U32()
		}
	case op == wasmbin.OpMemorySize || op == wasmbin.OpMemoryGrow || op == wasmbin.OpRefNull:
		r.Byte()
	case op == wasmbin.OpSelectTyped:
		r.Bytes(r.U32())
	case op == wasmbin.OpMisc:
		w.misc()
	case op == wasmbin.OpVector:
		w.vector()
	case op <= 0x05, op == wasmbin.OpEnd, op == wasmbin.OpReturn, op == 0x1a, op == 0x1b, op == wasmbin.OpRefIsNull:
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
	if b := w.r.Peek(); b == wasmbin.EmptyBlock || b < 0x80 && wasmbin.ValType(b).Valid() {
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
	w.out = wasmbin.AppendS64(w.out, int64(w.u.typeTo[old]))
	w.at = w.r.Pos()
}

func (w *rewriter) misc() {
	switch op := w.r.U32(); op {
	case 0, 1, 2, 3, 4, 5, 6, 7:
	case wasmbin.MiscMemoryInit:
		w.index(w.u.dataTo, "data segment")
		w.r.Byte()
	case wasmbin.MiscDataDrop:
		w.index(w.u.dataTo, "data segment")
	case wasmbin.MiscMemoryCopy:
		w.r.Bytes(2)
	case wasmbin.MiscMemoryFill:
		w.r.Byte()
	case wasmbin.MiscTableInit:
		w.index(w.u.elemTo, "element segment")
		w.index(w.u.tableTo, "table")
	case wasmbin.MiscElemDrop:
		w.index(w.u.elemTo, "element segment")
	case wasmbin.MiscTableCopy:
		w.index(w.u.tableTo, "table")
		w.index(w.u.tableTo, "table")
	case wasmbin.MiscTableGrow, wasmbin.MiscTableSize, wasmbin.MiscTableFill:
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
