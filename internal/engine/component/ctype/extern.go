package ctype

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/terrane/terrane/internal/engine/wasmbin"
)

var (
	errDeep  = errors.New("the type is nested too deeply or has too many parts")
	errLarge = errors.New("a value of the type would take more than 256 MiB")
)

// Type is what an index of the type index space stands for: a *Value, *Resource, *Func,
// *Instance or *Component.
type Type interface{ weight() int }

// Resource is a name of a resource type. Two are equal if their ID is the same.
type Resource struct{ ID *ResourceID }

// ResourceID is the identity of a resource type.
type ResourceID struct {
	Name  string // as it was first imported or exported, for people
	Local bool   // defined by the component in which it is seen, not imported
}

// String is the resource's name.
func (r *ResourceID) String() string {
	if r.Name == "" {
		return "resource"
	}
	return r.Name
}

// Func is the type of a function.
type Func struct {
	Params []Field
	Result *Value // nil if there is none
	Async  bool
	size   int
}

// NewFunc completes a function type.
func NewFunc(f Func) (*Func, error) {
	f.size = 1
	f.values(func(v *Value) { f.size += v.nodes })
	if f.size > maxNodes {
		return nil, errDeep
	}
	return &f, nil
}

func (f *Func) values(do func(*Value)) {
	for i := range f.Params {
		do(f.Params[i].Type)
	}
	if f.Result != nil {
		do(f.Result)
	}
}

// String is the type in the text of WIT.
func (f *Func) String() string {
	var b strings.Builder
	if f.Async {
		b.WriteString("async ")
	}
	b.WriteString("func(")
	for i, p := range f.Params {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.Name + ": ")
		p.Type.write(&b, 0)
	}
	b.WriteByte(')')
	if f.Result != nil {
		b.WriteString(" -> ")
		f.Result.write(&b, 0)
	}
	return b.String()
}

// What the canonical ABI passes as core values at most.
const (
	MaxParams  = 16
	MaxResults = 1
)

// Lift is the type of the core function that implements f.
func (f *Func) Lift() wasmbin.FuncType {
	t := wasmbin.FuncType{Params: f.params()}
	if f.Result != nil {
		if f.Result.flat > MaxResults {
			t.Results = []wasmbin.ValType{wasmbin.I32}
		} else {
			t.Results = f.Result.flatten(nil)
		}
	}
	return t
}

// Lower is the type of the core function that calls f.
func (f *Func) Lower() wasmbin.FuncType {
	t := wasmbin.FuncType{Params: f.params()}
	if f.Result != nil {
		if f.Result.flat > MaxResults {
			t.Params = append(t.Params, wasmbin.I32)
		} else {
			t.Results = f.Result.flatten(nil)
		}
	}
	return t
}

func (f *Func) params() []wasmbin.ValType {
	flat := 0
	for i := range f.Params {
		flat += f.Params[i].Type.flat
	}
	if flat > MaxParams {
		return []wasmbin.ValType{wasmbin.I32}
	}
	var out []wasmbin.ValType
	for i := range f.Params {
		out = f.Params[i].Type.flatten(out)
	}
	return out
}

// Needs says which options a canonical function of the type needs.
type Needs struct {
	Memory  bool // something is read from or written to memory
	Realloc bool // something of an unknown size is written to memory
	Strings bool // so that the encoding matters
}

// LiftNeeds is what lifting a core function as f needs: arguments are written, results read.
func (f *Func) LiftNeeds() (n Needs) {
	for i := range f.Params {
		n.add(f.Params[i].Type, true)
	}
	if t := f.params(); f.flatParams() > len(t) {
		n.Memory, n.Realloc = true, true
	}
	if f.Result != nil {
		n.add(f.Result, false)
		n.Memory = n.Memory || f.Result.flat > MaxResults
	}
	return n
}

// LowerNeeds is what lowering f to a core function needs: arguments are read, results written.
func (f *Func) LowerNeeds() (n Needs) {
	for i := range f.Params {
		n.add(f.Params[i].Type, false)
	}
	n.Memory = n.Memory || f.flatParams() > len(f.params())
	if f.Result != nil {
		n.add(f.Result, true)
		n.Memory = n.Memory || f.Result.flat > MaxResults
	}
	return n
}

func (f *Func) flatParams() (n int) {
	for i := range f.Params {
		n += f.Params[i].Type.flat
	}
	return n
}

func (n *Needs) add(v *Value, written bool) {
	n.Memory = n.Memory || v.lists
	n.Realloc = n.Realloc || written && v.lists
	n.Strings = n.Strings || v.strings
}

// Sort is the kind of an import or export.
type Sort uint8

// The sorts.
const (
	SortModule Sort = iota
	SortFunc
	SortValue
	SortType
	SortComponent
	SortInstance
)

// String is the sort's name.
func (s Sort) String() string {
	return [...]string{"core module", "function", "value", "type", "component", "instance"}[s]
}

// Extern is an import or export.
type Extern struct {
	Name string
	Sort Sort
	// Type is a *Func, *Component, *Instance, *Module or, for SortType, any Type.
	Type Type
}

// Module is the type of a core module.
type Module struct {
	Imports []wasmbin.Import // functions have their type in Funcs
	Exports []CoreExport
	Funcs   []wasmbin.FuncType // types that Imports refer to
}

// CoreExport is what a core module or instance exports.
type CoreExport struct {
	Name   string
	Kind   wasmbin.Kind
	Func   wasmbin.FuncType
	Table  wasmbin.Table
	Memory wasmbin.Limits
	Global wasmbin.Global
}

// Instance is the type of an instance.
type Instance struct {
	Exports []Extern
	// Fresh are the resources that each instance of the type has of its own.
	Fresh []*ResourceID
	index map[string]int
	size  int
}

// Component is the type of a component.
type Component struct {
	Imports []Extern
	Exports []Extern
	// Open are the resources that the imports bring.
	Open []*ResourceID
	// Fresh are the resources that each instance of the component defines.
	Fresh []*ResourceID
	size  int
}

// NewInstance completes an instance type.
func NewInstance(i Instance) (*Instance, error) {
	i.size = 1
	i.index = make(map[string]int, len(i.Exports))
	for at, e := range i.Exports {
		i.size += e.Type.weight()
		i.index[e.Name] = at
	}
	if i.size += len(i.Fresh); i.size > maxNodes {
		return nil, errDeep
	}
	return &i, nil
}

// Export returns the export with the name.
func (i *Instance) Export(name string) (Extern, bool) {
	at, ok := i.index[name]
	if !ok {
		return Extern{}, false
	}
	return i.Exports[at], true
}

// NewComponent completes a component type.
func NewComponent(c Component) (*Component, error) {
	c.size = 1
	for _, e := range c.Imports {
		c.size += e.Type.weight()
	}
	for _, e := range c.Exports {
		c.size += e.Type.weight()
	}
	c.size += len(c.Open) + len(c.Fresh)
	if c.size > maxNodes {
		return nil, errDeep
	}
	return &c, nil
}

func (v *Value) weight() int     { return v.nodes }
func (*Resource) weight() int    { return 1 }
func (f *Func) weight() int      { return f.size }
func (i *Instance) weight() int  { return i.size }
func (c *Component) weight() int { return c.size }
func (m *Module) weight() int    { return 1 + len(m.Imports) + len(m.Exports) }

// ReadExport reads an export of a core module's type.
func (m *Module) ReadExport(r *wasmbin.Reader) (CoreExport, error) {
	im := wasmbin.ReadExtern(r)
	e := CoreExport{Name: im.Name, Kind: im.Kind, Table: im.Table, Memory: im.Memory, Global: im.Global}
	if im.Kind == wasmbin.KindFunc && r.Err() == nil {
		if uint64(im.Type) >= uint64(len(m.Funcs)) {
			return e, fmt.Errorf("core type %d of %d", im.Type, len(m.Funcs))
		}
		e.Func = m.Funcs[im.Type]
	}
	return e, nil
}

// UsesResources reports whether t refers to resources that it does not bring itself.
func UsesResources(t Type) bool { return uses(t, map[*ResourceID]bool{}) }

// uses reports whether t refers to a resource that is not in bound, to which it adds those that t brings.
func uses(t Type, bound map[*ResourceID]bool) bool {
	bind := func(ids []*ResourceID) {
		for _, id := range ids {
			bound[id] = true
		}
	}
	found := false
	each := func(v *Value) { found = found || uses(v, bound) }
	switch t := t.(type) {
	case *Resource:
		return !bound[t.ID]
	case *Value:
		switch {
		case t.Resource != nil:
			return uses(t.Resource, bound)
		case t.handles || t.async:
			t.parts(each)
		}
	case *Func:
		t.values(each)
	case *Instance:
		bind(t.Fresh)
		return usesAny(t.Exports, bound)
	case *Component:
		bind(t.Open)
		bind(t.Fresh)
		return usesAny(t.Imports, bound) || usesAny(t.Exports, bound)
	}
	return found
}

func usesAny(all []Extern, bound map[*ResourceID]bool) bool {
	return slices.ContainsFunc(all, func(e Extern) bool { return uses(e.Type, bound) })
}

// Weight is the number of types in t, with repetitions: what it costs to go through it.
func Weight(t Type) int { return t.weight() }

// LowerAsync is Lower for a call that does not wait.
func (f *Func) LowerAsync() (wasmbin.FuncType, Needs) {
	const maxAsyncParams = 4
	n := f.LowerNeeds()
	t := wasmbin.FuncType{Results: []wasmbin.ValType{wasmbin.I32}}
	if f.flatParams() > maxAsyncParams {
		t.Params, n.Memory = []wasmbin.ValType{wasmbin.I32}, true
	} else {
		t.Params = f.params()
	}
	if f.Result != nil {
		t.Params, n.Memory = append(t.Params, wasmbin.I32), true
	}
	return t, n
}
