package component

import (
	"fmt"

	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// segment is an element segment.
type segment struct {
	flags  uint32
	table  uint32
	offset []byte // expression, its end included; nil if it is not active
	kind   byte   // of the elements, or their type
	funcs  []uint32
	exprs  bool // instead of funcs, expressions
	exprsN [][]byte
}

// The bits of a segment's flags.
const (
	segPassive  = 1 // or declarative
	segExplicit = 2 // has a table index, or is declarative
	segExprs    = 4
)

func (s *segment) passive() bool { return s.flags&segPassive != 0 }

// offsetValue is the offset if it is a number.
func (s *segment) offsetValue() (uint32, bool) {
	r := wasmbin.NewReader(s.offset, 0)
	if r.Byte() != wasmbin.OpI32Const {
		return 0, false
	}
	v := r.S32()
	return uint32(v), r.Err() == nil && r.Byte() == wasmbin.OpEnd && r.Len() == 0
}

// elements reads the unit's element segments.
func (u *unit) elements(do func(*segment) error) error {
	sec, ok := u.Section(wasmbin.SecElement)
	if !ok {
		return nil
	}
	r := wasmbin.NewReader(sec.Payload, sec.Offset)
	for range r.Count() {
		s := u.segment(r)
		if r.Err() != nil {
			return r.Err()
		}
		if err := do(s); err != nil {
			return err
		}
	}
	if r.Len() > 0 {
		r.Fail("the element section has %d bytes too many", r.Len())
	}
	return r.Err()
}

func (u *unit) segment(r *wasmbin.Reader) *segment {
	s := &segment{flags: r.U32(), kind: 0}
	if s.flags > 7 {
		r.Fail("an element segment has the flags %d", s.flags)
		return s
	}
	if s.flags&(segPassive|segExplicit) == segExplicit {
		s.table = r.U32()
	}
	if !s.passive() {
		s.offset = wasmbin.ConstExpr(r)
		if int64(s.table) >= int64(len(u.tables)+len(u.Tables)) {
			r.Fail("table %d of %d", s.table, len(u.tables)+len(u.Tables))
		}
	}
	s.exprs = s.flags&segExprs != 0
	if s.exprs {
		s.kind = byte(wasmbin.FuncRef)
	}
	if s.flags&(segPassive|segExplicit) != 0 {
		s.kind = r.Byte()
	}
	for range r.Count() {
		if s.exprs {
			s.exprsN = append(s.exprsN, wasmbin.ConstExpr(r))
		} else {
			fn := r.U32()
			if int64(fn) >= int64(len(u.funcs)+len(u.Funcs)) {
				r.Fail("an element is function %d of %d", fn, len(u.funcs)+len(u.Funcs))
			}
			s.funcs = append(s.funcs, fn)
		}
		if r.Err() != nil {
			break
		}
	}
	return s
}

// below fails if an index is not below count.
func below(index uint32, count int, what string) error {
	if int64(index) >= int64(count) {
		return fmt.Errorf("%s %d of %d", what, index, count)
	}
	return nil
}
