package component

import (
	"errors"
	"fmt"
	"math"

	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// merged is where a unit's definitions are in the merged module: new indices by old ones.
type merged struct {
	typeTo, funcTo, tableTo, globalTo, elemTo, dataTo []uint32
	firstFunc, firstTable, firstGlobal                uint32 // of those defined here
	emits                                             bool   // its functions are in the merged module
}

// gone is the index of what is not in the merged module.
const gone = math.MaxUint32

// merger makes one module of the units.
type merger struct {
	units       []*unit
	trampolines trampolines

	types    []wasmbin.FuncType
	known    map[string]uint32
	hosts    []*function          // imports, in order
	hostTo   map[*function]uint32 // new index of a host function, or of what calls it
	imports  []host
	importTo map[string]uint32
	added    []added           // functions after those of the units
	defined  uint32            // functions of the units
	declared map[uint32]bool   // functions of which code makes references
	lacking  map[string]uint32 // functions that only trap, by their type

	code, data, elements    []byte
	bodies, segments, elems uint32
}

// added is a function that is not a unit's.
type added struct {
	name string
	typ  uint32
	body []byte
}

// typeIndex finds or adds a type.
func (m *merger) typeIndex(t wasmbin.FuncType) uint32 {
	key := t.String()
	i, ok := m.known[key]
	if !ok {
		i = uint32(len(m.types))
		m.types = append(m.types, t)
		m.known[key] = i
	}
	return i
}

// merge returns the module. entry makes the body of run; see wrap.go.
func merge(units []*unit, entry *entry) ([]byte, error) {
	m := &merger{
		units: units, known: map[string]uint32{}, hostTo: map[*function]uint32{}, importTo: map[string]uint32{},
		declared: map[uint32]bool{}, lacking: map[string]uint32{},
	}
	if err := m.trampolines.find(units); err != nil {
		return nil, err
	}
	m.number(entry)
	memory, err := m.memory()
	if err != nil {
		return nil, err
	}
	for i, u := range units {
		if err := m.unit(u); err != nil {
			return nil, fmt.Errorf("core instance %d: %w", i, err)
		}
	}
	run := m.entry(entry)
	return m.write(memory, run)
}

// number gives every definition that stays its new index.
func (m *merger) number(e *entry) {
	for _, u := range m.units {
		u.emits = u.forwards == nil && len(u.Funcs) > 0
		u.typeTo = make([]uint32, len(u.Types))
		for i, t := range u.Types {
			if u.forwards == nil {
				u.typeTo[i] = m.typeIndex(t)
			}
		}
	}
	m.collect(e)
	next := uint32(len(m.imports))
	tables, globals := uint32(0), uint32(0)
	for _, u := range m.units {
		u.firstFunc, u.firstTable, u.firstGlobal = next, tables, globals
		if u.emits {
			next += uint32(len(u.Funcs))
		}
		if !m.trampolines.fixed[entity{u, 0}] {
			tables += uint32(len(u.Tables))
		}
		globals += uint32(len(u.Globals))
	}
	m.defined = next
	m.wrap()
	for _, u := range m.units {
		for i := range u.tables {
			u.tableTo = append(u.tableTo, m.tableIndex(u.tables[i]))
		}
		for i := range u.Tables {
			u.tableTo = append(u.tableTo, m.tableIndex(entity{u, uint32(i)}))
		}
		for _, g := range u.globals {
			u.globalTo = append(u.globalTo, g.unit.firstGlobal+g.index)
		}
		for i := range u.Globals {
			u.globalTo = append(u.globalTo, u.firstGlobal+uint32(i))
		}
		if u.forwards != nil {
			continue
		}
		imported := 0
		for i := range u.Imports {
			if im := &u.Imports[i]; im.Kind == wasmbin.KindFunc {
				u.funcTo = append(u.funcTo, m.funcIndex(u.funcs[imported], u.Types[im.Type]))
				imported++
			}
		}
		for i := range u.Funcs {
			u.funcTo = append(u.funcTo, u.firstFunc+uint32(i))
		}
	}
}

// collect finds the host functions that are used, in the order of the units.
func (m *merger) collect(e *entry) {
	use := func(fn *function) {
		if fn = m.trampolines.target(fn); fn == nil || fn.host == nil {
			return
		}
		if _, known := m.hostTo[fn]; known {
			return
		}
		m.hostTo[fn] = m.importIndex(*fn.host)
		m.hosts = append(m.hosts, fn)
	}
	for _, u := range m.units {
		for _, fn := range u.funcs {
			use(fn)
		}
	}
	use(e.core)
	use(e.postReturn)
	for at := 0; at < len(m.hosts); { // the list grows
		use(m.hosts[at].host.realloc)
		at++
	}
	for _, h := range e.imports() {
		m.importIndex(h)
	}
	for _, fn := range m.hosts {
		if fn.host.realloc != nil {
			m.importIndex(blockImport())
			break
		}
	}
}

// importIndex finds or adds an import.
func (m *merger) importIndex(h host) uint32 {
	key := fmt.Sprintf("%q %q %s", h.module, h.name, h.typ)
	i, ok := m.importTo[key]
	if !ok {
		i = uint32(len(m.imports))
		m.imports = append(m.imports, h)
		m.importTo[key] = i
		m.typeIndex(h.typ)
	}
	return i
}

func (m *merger) tableIndex(at entity) uint32 {
	if m.trampolines.fixed[at] {
		return gone
	}
	return at.unit.firstTable + at.index
}

// funcIndex is the new index of a function. t is its type.
func (m *merger) funcIndex(fn *function, t wasmbin.FuncType) uint32 {
	fn = m.trampolines.target(fn)
	switch {
	case fn == nil:
		return m.nowhere(t)
	case fn.host != nil:
		return m.hostTo[fn]
	}
	return fn.unit.firstFunc + fn.index
}

// nowhere is a function that traps, as a trampoline does to whose slot nothing was put.
func (m *merger) nowhere(t wasmbin.FuncType) uint32 {
	i, ok := m.lacking[t.String()]
	if !ok {
		i = m.add("nothing in the slot", t, []byte{0, wasmbin.OpUnreachable, wasmbin.OpEnd})
		m.lacking[t.String()] = i
	}
	return i
}

// add adds a function behind those of the units.
func (m *merger) add(name string, t wasmbin.FuncType, body []byte) uint32 {
	m.added = append(m.added, added{name, m.typeIndex(t), body})
	return m.defined + uint32(len(m.added)) - 1
}

// memory is the unit whose memory the module has, nil if there is none.
func (m *merger) memory() (*wasmbin.Limits, error) {
	var found *wasmbin.Limits
	for _, u := range m.units {
		for i := range u.Memories {
			if found != nil {
				return nil, errors.New("the component has several memories, which is not supported yet: " +
					"it is composed of several components, or made by a toolchain that this edge does not know")
			}
			found = &u.Memories[i]
		}
	}
	return found, nil
}

// unit adds a unit's code and segments.
func (m *merger) unit(u *unit) error {
	if err := m.addData(u); err != nil {
		return err
	}
	if err := u.elements(func(s *segment) error { return m.element(u, s) }); err != nil {
		return err
	}
	if u.emits {
		return m.functions(u)
	}
	return nil
}

func (m *merger) functions(u *unit) error {
	sec, _ := u.Section(wasmbin.SecCode)
	if m.code == nil {
		m.code = make([]byte, 0, len(sec.Payload)+len(sec.Payload)/8)
	}
	w := rewriter{u: u}
	w.declare = func(fn uint32) { m.declared[fn] = true }
	for i, b := range u.Bodies {
		w.out = wasmbin.AppendU32(w.out[:0], uint32(len(b.Locals)))
		for _, l := range b.Locals {
			w.out = append(wasmbin.AppendU32(w.out, l.Count), byte(l.Type))
		}
		if err := w.body(b); err != nil {
			return fmt.Errorf("function %d: %w", i+len(u.funcs), err)
		}
		m.code = wasmbin.AppendBytes(m.code, w.out)
		m.bodies++
	}
	return nil
}

// addData adds the unit's data segments.
func (m *merger) addData(u *unit) error {
	sec, ok := u.Section(wasmbin.SecData)
	if !ok {
		return nil
	}
	if m.data == nil {
		m.data = make([]byte, 0, len(sec.Payload)+1024)
	}
	r := wasmbin.NewReader(sec.Payload, sec.Offset)
	for range r.Count() {
		flags := r.U32()
		if flags > segExplicit {
			r.Fail("a data segment has the flags %d", flags)
		}
		if flags == segExplicit && r.U32() != 0 {
			r.Fail("a data segment of a second memory")
		}
		u.dataTo = append(u.dataTo, m.segments)
		m.segments++
		if flags == segPassive {
			m.data = append(m.data, segPassive)
		} else {
			m.data = append(m.data, 0)
			expr := wasmbin.ConstExpr(r)
			if r.Err() != nil {
				return r.Err()
			}
			var err error
			if m.data, err = m.constant(m.data, u, expr); err != nil {
				return fmt.Errorf("data segment %d: %w", len(u.dataTo)-1, err)
			}
		}
		b := r.Bytes(r.U32())
		if r.Err() != nil {
			return r.Err()
		}
		m.data = wasmbin.AppendBytes(m.data, b)
	}
	if r.Len() > 0 {
		r.Fail("the data section has %d bytes too many", r.Len())
	}
	return r.Err()
}

// element adds an element segment, unless it fills a table that is gone.
func (m *merger) element(u *unit, s *segment) error {
	table := uint32(0)
	if !s.passive() {
		if table = u.tableTo[s.table]; table == gone {
			u.elemTo = append(u.elemTo, gone)
			return nil
		}
	}
	if u.forwards != nil {
		return errors.New("trampolines with a segment of a table that is not theirs")
	}
	u.elemTo = append(u.elemTo, m.elems)
	m.elems++
	flags := s.flags
	if !s.passive() && table != 0 {
		flags |= segExplicit
	}
	out := wasmbin.AppendU32(m.elements, flags)
	var err error
	if !s.passive() {
		if flags&segExplicit != 0 {
			out = wasmbin.AppendU32(out, table)
		}
		if out, err = m.constant(out, u, s.offset); err != nil {
			return fmt.Errorf("element segment %d: %w", len(u.elemTo)-1, err)
		}
	}
	if flags&(segPassive|segExplicit) != 0 {
		out = append(out, s.kind)
	}
	out = wasmbin.AppendU32(out, uint32(len(s.funcs)+len(s.exprsN)))
	for _, fn := range s.funcs {
		out = wasmbin.AppendU32(out, u.funcTo[fn])
	}
	for _, expr := range s.exprsN {
		if out, err = m.constant(out, u, expr); err != nil {
			return fmt.Errorf("element segment %d: %w", len(u.elemTo)-1, err)
		}
	}
	m.elements = out
	return nil
}

var errConstant = errors.New("a constant expression of more than one instruction")

// constant appends a constant expression with new indices. An imported global becomes its value.
func (m *merger) constant(out []byte, u *unit, expr []byte) ([]byte, error) {
	for range maxForwards {
		r := wasmbin.NewReader(expr, 0)
		wasmbin.ConstInstr(r)
		if r.Err() != nil {
			return nil, r.Err()
		}
		if r.Len() != 1 {
			return nil, errConstant
		}
		r = wasmbin.NewReader(expr, 0)
		switch r.Byte() {
		case wasmbin.OpRefFunc:
			fn := r.U32()
			if err := below(fn, len(u.funcTo), "function"); err != nil {
				return nil, err
			}
			return append(wasmbin.AppendU32(append(out, wasmbin.OpRefFunc), u.funcTo[fn]), wasmbin.OpEnd), nil
		case wasmbin.OpGlobalGet:
			i := r.U32()
			if err := below(i, len(u.globals), "imported global"); err != nil {
				return nil, err
			}
			at := u.globals[i]
			g := &at.unit.Globals[at.index]
			if g.Mutable {
				return nil, fmt.Errorf("a constant expression reads global %d, which can be changed", i)
			}
			u, expr = at.unit, g.Init
		default:
			return append(out, expr...), nil
		}
	}
	return nil, errors.New("a constant expression refers to itself")
}
