package compbin

import (
	"fmt"

	"github.com/terrane/terrane/internal/engine/component/ctype"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// scopeKind is what a scope is the inside of.
type scopeKind uint8

const (
	inComponent scopeKind = iota
	inComponentType
	inInstanceType
)

// scope is the index spaces of a component, component type or instance type.
type scope struct {
	d     *decoder
	outer *scope
	kind  scopeKind
	depth int
	defs  []Def

	coreFuncs     []wasmbin.FuncType
	coreTables    []wasmbin.Table
	coreMemories  []wasmbin.Limits
	coreGlobals   []wasmbin.Global
	coreTypes     []coreType
	coreModules   []*ctype.Module
	coreInstances []coreInstance

	types      []ctype.Type
	funcs      []*ctype.Func
	instances  []*ctype.Instance
	components []*ctype.Component

	imports, exports side
	open, fresh      []*ctype.ResourceID
	locals           map[*ctype.ResourceID]bool // defined here
}

// side is what a scope imports, or what it exports.
type side struct {
	externs   []ctype.Extern
	keys      map[string]bool
	resources map[string]*ctype.ResourceID // by their names
	named     map[ctype.Type]bool          // types that functions of this side can use
}

func newSide() side {
	return side{keys: map[string]bool{}, resources: map[string]*ctype.ResourceID{}, named: map[ctype.Type]bool{}}
}

// coreInstance is the exports of a core instance.
type coreInstance struct {
	exports []ctype.CoreExport
	index   map[string]int
}

func newCoreInstance(exports []ctype.CoreExport) coreInstance {
	c := coreInstance{exports, make(map[string]int, len(exports))}
	for i := range exports {
		c.index[exports[i].Name] = i
	}
	return c
}

// coreType is a type of the core type index space.
type coreType struct {
	fn     *wasmbin.FuncType
	module *ctype.Module
}

func (d *decoder) scope(outer *scope, kind scopeKind) (*scope, error) {
	s := &scope{d: d, outer: outer, kind: kind, imports: newSide(), exports: newSide(), locals: map[*ctype.ResourceID]bool{}}
	if outer != nil {
		s.depth = outer.depth + 1
	}
	if s.depth > d.limits.Depth {
		return nil, fmt.Errorf("components and types are nested more than %d deep", d.limits.Depth)
	}
	return s, nil
}

func (s *scope) add(d Def) {
	if s.kind == inComponent {
		s.defs = append(s.defs, d)
	}
}

// at looks up an index.
func at[T any](space []T, index uint32, what string) (T, error) {
	if uint64(index) >= uint64(len(space)) {
		var none T
		return none, fmt.Errorf("%s %d of %d", what, index, len(space))
	}
	return space[index], nil
}

// typeAt looks up a type of one kind.
func typeAt[T ctype.Type](s *scope, index uint32, what string) (T, error) {
	var none T
	t, err := at(s.types, index, "type")
	if err != nil {
		return none, err
	}
	v, ok := t.(T)
	if !ok {
		return none, fmt.Errorf("type %d is not %s", index, what)
	}
	return v, nil
}

// extern looks up a definition by its sort.
func (s *scope) extern(sort ctype.Sort, index uint32) (ctype.Type, error) {
	switch sort {
	case ctype.SortModule:
		m, err := at(s.coreModules, index, "core module")
		return m, err
	case ctype.SortFunc:
		f, err := at(s.funcs, index, "function")
		return f, err
	case ctype.SortType:
		return at(s.types, index, "type")
	case ctype.SortComponent:
		c, err := at(s.components, index, "component")
		return c, err
	case ctype.SortInstance:
		i, err := at(s.instances, index, "instance")
		return i, err
	}
	return nil, errValues
}

// define adds a definition to its index space.
func (s *scope) define(sort ctype.Sort, t ctype.Type) {
	switch sort {
	case ctype.SortModule:
		s.coreModules = append(s.coreModules, t.(*ctype.Module))
	case ctype.SortFunc:
		s.funcs = append(s.funcs, t.(*ctype.Func))
	case ctype.SortType:
		s.types = append(s.types, t)
	case ctype.SortComponent:
		s.components = append(s.components, t.(*ctype.Component))
	default:
		s.instances = append(s.instances, t.(*ctype.Instance))
	}
}

func (s *scope) componentType() (*ctype.Component, error) {
	return ctype.NewComponent(ctype.Component{Imports: s.imports.externs, Exports: s.exports.externs, Open: s.open, Fresh: s.fresh})
}

func (s *scope) instanceType() (*ctype.Instance, error) {
	return ctype.NewInstance(ctype.Instance{Exports: s.exports.externs, Fresh: s.fresh})
}

// binding is a ctype.Binding that shares the effort of the file.
func (s *scope) binding(open ...[]*ctype.ResourceID) *ctype.Binding {
	return ctype.NewBinding(&s.d.effort, open...)
}

// sortOf reads a sort. Core definitions but modules are left to coreKind.
func sortOf(r *wasmbin.Reader) (sort ctype.Sort, core bool, kind wasmbin.Kind) {
	switch b := r.Byte(); b {
	case 0x00:
		switch k := r.Byte(); k {
		case 0x00, 0x01, 0x02, 0x03:
			return 0, true, wasmbin.Kind(k)
		case 0x11:
			return ctype.SortModule, false, 0
		default:
			r.Fail("the core sort 0x%02x is not supported here", k)
		}
	case 0x01:
		return ctype.SortFunc, false, 0
	case 0x02:
		r.Fail("%w", errValues)
	case 0x03:
		return ctype.SortType, false, 0
	case 0x04:
		return ctype.SortComponent, false, 0
	case 0x05:
		return ctype.SortInstance, false, 0
	default:
		r.Fail("0x%02x is no sort", b)
	}
	return 0, false, 0
}

// plainSort reads a sort that is not a core definition but for modules.
func plainSort(r *wasmbin.Reader) ctype.Sort {
	sort, core, kind := sortOf(r)
	if core && r.Err() == nil {
		r.Fail("a core %s cannot be used here", kind)
	}
	return sort
}
