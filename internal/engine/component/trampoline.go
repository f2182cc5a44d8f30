package component

import (
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// forward is where a trampoline goes: a slot of a table.
type forward struct {
	table entity
	slot  uint32
}

// trampolines finds the functions that only pass their arguments on to a slot of a table:
//
//	local.get 0 … local.get n; i32.const slot; call_indirect
//
// They are replaced by what is in the slot, if no other code can change the table.
type trampolines struct {
	fixed map[entity]bool                 // tables that only trampolines use
	slots map[entity]map[uint32]*function // what segments put there
}

// find looks for trampolines, and notes in each unit where they go.
func (t *trampolines) find(units []*unit) error {
	t.fixed, t.slots = map[entity]bool{}, map[entity]map[uint32]*function{}
	for _, u := range units {
		if u.isTrampolines() {
			t.fixed[entity{u, 0}] = true
		}
	}
	for _, u := range units {
		if u.forwards != nil {
			continue
		}
		for _, at := range u.tables {
			if len(u.Funcs) > 0 {
				delete(t.fixed, at) // its code may change the table
			}
		}
	}
	for _, u := range units {
		if err := t.fill(u); err != nil {
			return err
		}
	}
	for _, u := range units {
		if u.forwards != nil && !t.fixed[entity{u, 0}] {
			u.forwards = nil
		}
	}
	return nil
}

// isTrampolines reports whether the unit has one table and trampolines over it, and nothing else.
func (u *unit) isTrampolines() bool {
	if len(u.Imports) > 0 || len(u.Tables) != 1 || len(u.Memories) > 0 || len(u.Globals) > 0 || u.Start != nil || len(u.Funcs) == 0 {
		return false
	}
	all := make([]forward, len(u.Funcs))
	for i, b := range u.Bodies {
		slot, ok := trampoline(b, &u.Types[u.Funcs[i]], u.Types)
		if !ok || slot >= u.Tables[0].Min {
			return false
		}
		all[i] = forward{entity{u, 0}, slot}
	}
	u.forwards = all
	return true
}

func trampoline(b wasmbin.Body, t *wasmbin.FuncType, types []wasmbin.FuncType) (slot uint32, ok bool) {
	if len(b.Locals) > 0 {
		return 0, false
	}
	r := wasmbin.NewReader(b.Expr, 0)
	for i := range t.Params {
		if r.Byte() != wasmbin.OpLocalGet || r.U32() != uint32(i) {
			return 0, false
		}
	}
	if r.Byte() != wasmbin.OpI32Const {
		return 0, false
	}
	v := r.S32()
	if v < 0 || r.Byte() != wasmbin.OpCallIndirect {
		return 0, false
	}
	typ, table := r.U32(), r.U32()
	if r.Byte() != wasmbin.OpEnd || r.Err() != nil || r.Len() > 0 || table != 0 || int64(typ) >= int64(len(types)) {
		return 0, false
	}
	return uint32(v), types[typ].String() == t.String()
}

// fill notes what the unit's element segments put into fixed tables. A segment that is not
// understood makes its table an ordinary one.
func (t *trampolines) fill(u *unit) error {
	return u.elements(func(s *segment) error {
		if s.passive() {
			return nil
		}
		at := u.entity(u.tables, s.table)
		if !t.fixed[at] {
			return nil
		}
		offset, ok := s.offsetValue()
		if !ok || uint64(offset)+uint64(len(s.funcs)) > uint64(at.unit.Tables[at.index].Min) || s.exprs {
			delete(t.fixed, at)
			return nil
		}
		if t.slots[at] == nil {
			t.slots[at] = map[uint32]*function{}
		}
		for i, fn := range s.funcs {
			t.slots[at][offset+uint32(i)] = u.function(fn)
		}
		return nil
	})
}

// target is what calling fn comes to; nil if it traps, as nothing is in the slot.
func (t *trampolines) target(fn *function) *function {
	for range maxForwards {
		if fn == nil || fn.host != nil || fn.unit.forwards == nil {
			return fn
		}
		to := fn.unit.forwards[fn.index]
		fn = t.slots[to.table][to.slot]
	}
	return nil // a circle: it would run out of stack
}

// maxForwards is more trampolines in a row than tools make.
const maxForwards = 100
