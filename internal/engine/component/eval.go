package component

import (
	"errors"
	"fmt"

	"github.com/terrane/terrane/internal/engine/component/compbin"
	"github.com/terrane/terrane/internal/engine/component/ctype"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// unit is an instance of a core module.
type unit struct {
	*wasmbin.Module
	// What is imported, in the order of each index space.
	funcs    []*function
	tables   []entity
	memories []entity
	globals  []entity
	own      []*function // the functions defined here, made when they are asked for
	forwards []forward   // of each function defined here; nil if none is a trampoline
	starts   []uint32    // functions that are called before the entry, in this order
	merged
}

// function is a core function: a unit's, or the host's.
type function struct {
	unit  *unit  // nil: the host's
	index uint32 // among the functions that the unit defines
	host  *host
}

// host is a function of the host in the core types.
type host struct {
	module, name string
	typ          wasmbin.FuncType
	realloc      *function // nil: nothing is allocated
}

// entity is a table, memory or global that a unit defines.
type entity struct {
	unit  *unit
	index uint32 // among those that the unit defines
}

// bundle is the exports of a core instance.
type bundle map[string]item

// item is a core definition.
type item struct {
	fn *function // of a function
	at entity    // of others
}

// instance is an instance of a component, or of an interface of the host.
type instance struct {
	face    string // the host's interface; empty: not the host's
	exports map[string]value
}

// value is a definition.
type value struct {
	fn        *callable
	resource  *resource
	module    *compbin.CoreModule
	component *closure
	instance  *instance
}

// callable is a function of a component: the host's, or a lifted one.
type callable struct {
	face, name string // of the host
	typ        *ctype.Func

	core       *function // of a lifted one
	postReturn *function
	lift       *compbin.Lift
	async      bool
}

// resource is a resource type as it exists at run time.
type resource struct {
	face, name string // of the host
	dtor       *function
}

// closure is a component with what is outside it.
type closure struct {
	*compbin.Component
	env *frame
}

// frame is the index spaces of an instance of a component.
type frame struct {
	outer         *frame
	coreFuncs     []*function
	coreTables    []entity
	coreMemories  []entity
	coreGlobals   []entity
	coreModules   []*compbin.CoreModule
	coreInstances []bundle
	types         []*resource // nil for types that are no resources
	funcs         []*callable
	instances     []*instance
	components    []*closure
	exports       map[string]value
}

// evaluator evaluates the definitions of a component.
type evaluator struct {
	limits    Limits
	units     []*unit
	size      int // bytes of the units' modules
	steps     int // definitions evaluated
	resources map[*ctype.ResourceID]*resource
	hosts     map[string]*function // by module, name, type and realloc
}

// run evaluates a component. args are nil for the outermost one.
func (e *evaluator) run(c *compbin.Component, outer *frame, args map[string]value) (*frame, error) {
	f := &frame{outer: outer, exports: map[string]value{}}
	for _, d := range c.Defs {
		if e.steps += 1 + parts(d); e.steps > e.limits.Steps {
			return nil, fmt.Errorf("the component's instances have more than %d definitions", e.limits.Steps)
		}
		if err := e.define(f, d, args); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// parts is how many names are in a definition.
func parts(d compbin.Def) int {
	switch d := d.(type) {
	case compbin.CoreInstantiate:
		return len(d.Args)
	case compbin.CoreBundle:
		return len(d.Exports)
	case compbin.Instantiate:
		return len(d.Args)
	case compbin.Bundle:
		return len(d.Exports)
	}
	return 0
}

func (e *evaluator) define(f *frame, d compbin.Def, args map[string]value) error {
	switch d := d.(type) {
	case compbin.CoreModule:
		f.coreModules = append(f.coreModules, &d)
	case compbin.CoreInstantiate:
		return e.coreInstantiate(f, d)
	case compbin.CoreBundle:
		f.coreInstances = append(f.coreInstances, f.bundle(d))
	case compbin.CoreAlias:
		f.defineCore(d.Kind, f.coreInstances[d.Instance][d.Name])
	case compbin.Nested:
		f.components = append(f.components, &closure{d.Component, f})
	case compbin.Instantiate:
		return e.instantiate(f, d)
	case compbin.Bundle:
		in := &instance{exports: map[string]value{}}
		for _, it := range d.Exports {
			in.exports[it.Name] = f.value(it.Sort, it.Index)
		}
		f.instances = append(f.instances, in)
	case compbin.Alias:
		f.define(d.Sort, f.instances[d.Instance].exports[d.Name])
	case compbin.Outer:
		from := f
		for range d.Count {
			from = from.outer
		}
		f.define(d.Sort, from.value(d.Sort, d.Index))
	case compbin.TypeDef:
		var r *resource
		if d.Resource != nil {
			r = &resource{}
			if d.Dtor != nil {
				r.dtor = f.coreFuncs[*d.Dtor]
			}
		}
		f.types = append(f.types, r)
	case compbin.Import:
		v, err := e.imported(d, args)
		f.define(d.Sort, v)
		return err
	case compbin.Export:
		v := f.value(d.Sort, d.Index)
		f.define(d.Sort, v)
		f.exports[d.Name] = v
	case compbin.Lift:
		c := &callable{typ: d.Type, core: f.coreFuncs[d.Core], lift: &d, async: d.Async}
		if d.PostReturn != nil {
			c.postReturn = f.coreFuncs[*d.PostReturn]
		}
		f.funcs = append(f.funcs, c)
	case compbin.Lower:
		fn, err := e.lower(f, d)
		f.coreFuncs = append(f.coreFuncs, fn)
		return err
	case compbin.ResourceOp:
		fn, err := e.resourceOp(f.types[d.Type])
		f.coreFuncs = append(f.coreFuncs, fn)
		return err
	default:
		return fmt.Errorf("a definition of kind %T is not supported", d)
	}
	return nil
}

// value is the definition with the index.
func (f *frame) value(sort ctype.Sort, index uint32) (v value) {
	switch sort {
	case ctype.SortModule:
		v.module = f.coreModules[index]
	case ctype.SortFunc:
		v.fn = f.funcs[index]
	case ctype.SortType:
		v.resource = f.types[index]
	case ctype.SortComponent:
		v.component = f.components[index]
	default:
		v.instance = f.instances[index]
	}
	return v
}

func (f *frame) define(sort ctype.Sort, v value) {
	switch sort {
	case ctype.SortModule:
		f.coreModules = append(f.coreModules, v.module)
	case ctype.SortFunc:
		f.funcs = append(f.funcs, v.fn)
	case ctype.SortType:
		f.types = append(f.types, v.resource)
	case ctype.SortComponent:
		f.components = append(f.components, v.component)
	default:
		f.instances = append(f.instances, v.instance)
	}
}

func (f *frame) bundle(d compbin.CoreBundle) bundle {
	b := make(bundle, len(d.Exports))
	for _, e := range d.Exports {
		switch e.Kind {
		case wasmbin.KindFunc:
			b[e.Name] = item{fn: f.coreFuncs[e.Index]}
		case wasmbin.KindTable:
			b[e.Name] = item{at: f.coreTables[e.Index]}
		case wasmbin.KindMemory:
			b[e.Name] = item{at: f.coreMemories[e.Index]}
		default:
			b[e.Name] = item{at: f.coreGlobals[e.Index]}
		}
	}
	return b
}

func (f *frame) defineCore(k wasmbin.Kind, it item) {
	switch k {
	case wasmbin.KindFunc:
		f.coreFuncs = append(f.coreFuncs, it.fn)
	case wasmbin.KindTable:
		f.coreTables = append(f.coreTables, it.at)
	case wasmbin.KindMemory:
		f.coreMemories = append(f.coreMemories, it.at)
	default:
		f.coreGlobals = append(f.coreGlobals, it.at)
	}
}

func (e *evaluator) coreInstantiate(f *frame, d compbin.CoreInstantiate) error {
	m := f.coreModules[d.Module]
	e.size += m.Size
	e.steps += len(m.Imports) + len(m.Exports)
	if len(e.units) == e.limits.Units || e.size > e.limits.Code {
		return fmt.Errorf("the component instantiates more than %d core modules or %d bytes of them", e.limits.Units, e.limits.Code)
	}
	args := make(map[string]bundle, len(d.Args))
	for _, a := range d.Args {
		args[a.Name] = f.coreInstances[a.Instance]
	}
	u := &unit{Module: m.Module}
	for i := range m.Imports {
		im := &m.Imports[i]
		it := args[im.Module][im.Name]
		switch im.Kind {
		case wasmbin.KindFunc:
			u.funcs = append(u.funcs, it.fn)
		case wasmbin.KindTable:
			u.tables = append(u.tables, it.at)
		case wasmbin.KindMemory:
			u.memories = append(u.memories, it.at)
		default:
			u.globals = append(u.globals, it.at)
		}
	}
	u.own = make([]*function, len(u.Funcs))
	if m.Start != nil {
		u.starts = []uint32{*m.Start}
	}
	e.units = append(e.units, u)
	exports := make(bundle, len(m.Exports))
	for _, x := range m.Exports {
		exports[x.Name] = u.item(x.Kind, x.Index)
	}
	f.coreInstances = append(f.coreInstances, exports)
	return nil
}

// item is what an index of the unit stands for.
func (u *unit) item(k wasmbin.Kind, index uint32) item {
	switch k {
	case wasmbin.KindFunc:
		return item{fn: u.function(index)}
	case wasmbin.KindTable:
		return item{at: u.entity(u.tables, index)}
	case wasmbin.KindMemory:
		return item{at: u.entity(u.memories, index)}
	default:
		return item{at: u.entity(u.globals, index)}
	}
}

func (u *unit) entity(imported []entity, index uint32) entity {
	if int(index) < len(imported) {
		return imported[index]
	}
	return entity{u, index - uint32(len(imported))}
}

func (u *unit) function(index uint32) *function {
	if int(index) < len(u.funcs) {
		return u.funcs[index]
	}
	own := index - uint32(len(u.funcs))
	if u.own[own] == nil {
		u.own[own] = &function{unit: u, index: own}
	}
	return u.own[own]
}

func (e *evaluator) instantiate(f *frame, d compbin.Instantiate) error {
	args := make(map[string]value, len(d.Args))
	for _, a := range d.Args {
		args[a.Name] = f.value(a.Sort, a.Index)
	}
	c := f.components[d.Component]
	if c == nil {
		return errImported
	}
	in, err := e.run(c.Component, c.env, args)
	if err != nil {
		return err
	}
	f.instances = append(f.instances, &instance{exports: in.exports})
	return nil
}

var errImported = errors.New("the component imports a component or a core module, which nothing here offers")

// imported is an import's value: an argument, or the host's.
func (e *evaluator) imported(d compbin.Import, args map[string]value) (value, error) {
	if args != nil {
		return args[d.Name], nil
	}
	switch d.Sort {
	case ctype.SortFunc:
		return value{fn: &callable{face: rootModule, name: d.Name, typ: d.Type.(*ctype.Func)}}, nil
	case ctype.SortType:
		return value{resource: e.resource(rootModule, d.Name, d.Type)}, nil
	case ctype.SortInstance:
		in := &instance{face: d.Face, exports: map[string]value{}}
		for _, x := range d.Type.(*ctype.Instance).Exports {
			switch x.Sort {
			case ctype.SortFunc:
				in.exports[x.Name] = value{fn: &callable{face: d.Face, name: x.Name, typ: x.Type.(*ctype.Func)}}
			case ctype.SortType:
				in.exports[x.Name] = value{resource: e.resource(d.Face, x.Name, x.Type)}
			default:
				return value{}, fmt.Errorf("the import %q has the %s %q in it, which nothing here offers", d.Name, x.Sort, x.Name)
			}
		}
		return value{instance: in}, nil
	}
	return value{}, fmt.Errorf("the component imports the %s %q, which nothing here offers", d.Sort, d.Name)
}

// rootModule is the import module of functions that the component imports without an interface.
const rootModule = "$root"

// resource is the run-time type of a resource of the host: that which had the identity first.
func (e *evaluator) resource(face, name string, t ctype.Type) *resource {
	r, ok := t.(*ctype.Resource)
	if !ok {
		return nil
	}
	if e.resources[r.ID] == nil {
		e.resources[r.ID] = &resource{face: face, name: name}
	}
	return e.resources[r.ID]
}

func (e *evaluator) lower(f *frame, d compbin.Lower) (*function, error) {
	c := f.funcs[d.Func]
	switch {
	case c.core != nil:
		return nil, errors.New("the component is composed of several components that call each other, which is not supported yet")
	case d.Async, c.typ.Async:
		return nil, fmt.Errorf("the component calls %s.%s asynchronously, which is not supported yet", c.face, c.name)
	}
	needs := d.Type.LowerNeeds()
	h := host{module: c.face, name: c.name, typ: d.Type.Lower()}
	if needs.Strings && d.Encoding != compbin.UTF8 {
		h.name += "|" + d.Encoding.String()
	}
	if needs.Realloc {
		h.realloc = f.coreFuncs[*d.Realloc]
	}
	return e.hostFunc(h), nil
}

// hostFunc is the one function for equal hosts.
func (e *evaluator) hostFunc(h host) *function {
	key := fmt.Sprintf("%q %q %s %p", h.module, h.name, h.typ, h.realloc)
	if e.hosts[key] == nil {
		e.hosts[key] = &function{host: &h}
	}
	return e.hosts[key]
}

func (e *evaluator) resourceOp(r *resource) (*function, error) {
	if r == nil || r.face == "" {
		return nil, errors.New("the component defines resources of its own, which is not supported yet")
	}
	return e.hostFunc(host{module: r.face, name: "[resource-drop]" + r.name, typ: wasmbin.FuncType{Params: []wasmbin.ValType{wasmbin.I32}}}), nil
}
