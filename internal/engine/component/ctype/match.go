package ctype

import (
	"errors"
	"fmt"
	"slices"

	"github.com/terrane/terrane/internal/engine/wasmbin"
)

var errEffort = errors.New("comparing and copying the types would take too long")

// Match finds out whether got can be used where want is asked for, and binds the open
// resources of want on the way.
func (b *Binding) Match(sort Sort, got, want Type) error {
	if *b.left -= want.weight(); *b.left < 0 {
		return errEffort
	}
	err := b.match(got, want)
	if sort == SortType {
		b.name(got, want)
	}
	return err
}

func (b *Binding) match(got, want Type) error {
	switch want := want.(type) {
	case *Value:
		if got, ok := got.(*Value); ok {
			return b.matchValue(got, want)
		}
	case *Resource:
		if got, ok := got.(*Resource); ok {
			return b.matchResource(got, want)
		}
	case *Func:
		if got, ok := got.(*Func); ok {
			return b.matchFunc(got, want)
		}
	case *Instance:
		if got, ok := got.(*Instance); ok {
			return b.matchInstance(got, want)
		}
	case *Component:
		if got, ok := got.(*Component); ok {
			return b.matchComponent(got, want)
		}
	case *Module:
		if got, ok := got.(*Module); ok {
			return b.matchModule(got, want)
		}
	}
	return fmt.Errorf("%s where %s is expected", kindOf(got), kindOf(want))
}

func kindOf(t Type) string {
	switch t.(type) {
	case *Value:
		return "a value type"
	case *Resource:
		return "a resource type"
	case *Func:
		return "a function"
	case *Instance:
		return "an instance"
	case *Component:
		return "a component"
	}
	return "a core module"
}

func (b *Binding) matchResource(got, want *Resource) error {
	if b.open(want.ID) {
		b.ids[want.ID] = got.ID
		return nil
	}
	if got.ID != b.find(want.ID) {
		return fmt.Errorf("the resource %s where %s is expected", got.ID, want.ID)
	}
	return nil
}

func (b *Binding) matchFunc(got, want *Func) error {
	if got.Async != want.Async || len(got.Params) != len(want.Params) || (got.Result == nil) != (want.Result == nil) {
		return fmt.Errorf("%s where %s is expected", got, want)
	}
	for i := range got.Params {
		if got.Params[i].Name != want.Params[i].Name {
			return fmt.Errorf("the parameter %q where %q is expected", got.Params[i].Name, want.Params[i].Name)
		}
		if err := b.matchValue(got.Params[i].Type, want.Params[i].Type); err != nil {
			return fmt.Errorf("parameter %q: %w", got.Params[i].Name, err)
		}
	}
	if got.Result == nil {
		return nil
	}
	if err := b.matchValue(got.Result, want.Result); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return nil
}

func (b *Binding) matchInstance(got, want *Instance) error {
	for _, e := range want.Exports {
		has, ok := got.Export(e.Name)
		if !ok {
			return fmt.Errorf("no export %q", e.Name)
		}
		if has.Sort != e.Sort {
			return fmt.Errorf("export %q: a %s where a %s is expected", e.Name, has.Sort, e.Sort)
		}
		if err := b.match(has.Type, e.Type); err != nil {
			return fmt.Errorf("export %q: %w", e.Name, err)
		}
		if e.Sort == SortType {
			b.name(has.Type, e.Type)
		}
	}
	return nil
}

// name makes got take want's place in what Apply returns, so that it keeps its name.
func (b *Binding) name(got, want Type) {
	if v, ok := want.(*Value); ok && got != want {
		b.memo[v] = got
	}
}

// matchComponent compares the other way round for imports: what got asks for, want must offer.
func (b *Binding) matchComponent(got, want *Component) error {
	if *b.left -= got.weight() + 2*len(b.ids); *b.left < 0 {
		return errEffort
	}
	in := b.inside(got.Open)
	offered := make(map[string]int, len(want.Imports))
	for i, e := range want.Imports {
		offered[e.Name] = i
	}
	for _, e := range got.Imports {
		i, ok := offered[e.Name]
		if !ok {
			return fmt.Errorf("import %q is not expected", e.Name)
		}
		if want.Imports[i].Sort != e.Sort {
			return fmt.Errorf("import %q: a %s where a %s is expected", e.Name, e.Sort, want.Imports[i].Sort)
		}
		if err := in.Match(e.Sort, want.Imports[i].Type, e.Type); err != nil {
			return fmt.Errorf("import %q: %w", e.Name, err)
		}
	}
	out := b.inside(want.Fresh)
	exports := &Instance{index: map[string]int{}}
	for i, e := range got.Exports {
		t, err := in.Apply(e.Type)
		if err != nil {
			return err
		}
		e.Type = t
		exports.Exports = append(exports.Exports, e)
		exports.index[e.Name] = i
	}
	return out.matchInstance(exports, &Instance{Exports: want.Exports})
}

func (b *Binding) matchValue(got, want *Value) error {
	if got == want && !got.handles && !got.async {
		return nil
	}
	bad := got.Kind != want.Kind || len(got.Fields) != len(want.Fields) ||
		(got.Elem == nil) != (want.Elem == nil) || (got.Other == nil) != (want.Other == nil)
	for i := 0; !bad && i < len(got.Fields); i++ {
		g, w := got.Fields[i], want.Fields[i]
		bad = g.Name != w.Name || (g.Type == nil) != (w.Type == nil)
	}
	if bad {
		return fmt.Errorf("%s where %s is expected", got, want)
	}
	for i := range got.Fields {
		if got.Fields[i].Type == nil {
			continue
		}
		if err := b.matchValue(got.Fields[i].Type, want.Fields[i].Type); err != nil {
			return err
		}
	}
	if got.Elem != nil {
		if err := b.matchValue(got.Elem, want.Elem); err != nil {
			return err
		}
	}
	if got.Other != nil {
		if err := b.matchValue(got.Other, want.Other); err != nil {
			return err
		}
	}
	if got.Resource != nil {
		return b.matchResource(got.Resource, want.Resource)
	}
	return nil
}

func (b *Binding) matchModule(got, want *Module) error {
	if *b.left -= got.weight(); *b.left < 0 {
		return errEffort
	}
	offered := make(map[[2]string]int, len(want.Imports))
	for i := range want.Imports {
		offered[[2]string{want.Imports[i].Module, want.Imports[i].Name}] = i
	}
	for i := range got.Imports {
		im := &got.Imports[i]
		at, ok := offered[[2]string{im.Module, im.Name}]
		if !ok {
			return fmt.Errorf("import %q %q is not expected", im.Module, im.Name)
		}
		if err := MatchCore(want.Import(at), got.Import(i)); err != nil {
			return fmt.Errorf("import %q %q: %w", im.Module, im.Name, err)
		}
	}
	exports := make(map[string]int, len(got.Exports))
	for i := range got.Exports {
		exports[got.Exports[i].Name] = i
	}
	for i := range want.Exports {
		e := &want.Exports[i]
		at, ok := exports[e.Name]
		if !ok {
			return fmt.Errorf("no export %q", e.Name)
		}
		if err := MatchCore(got.Exports[at], *e); err != nil {
			return fmt.Errorf("export %q: %w", e.Name, err)
		}
	}
	return nil
}

// Import is the import with the index as what satisfies it.
func (m *Module) Import(i int) CoreExport {
	im := &m.Imports[i]
	e := CoreExport{Name: im.Name, Kind: im.Kind, Table: im.Table, Memory: im.Memory, Global: im.Global}
	if im.Kind == wasmbin.KindFunc {
		e.Func = m.Funcs[im.Type]
	}
	return e
}

// MatchCore finds out whether a core module can import got as want.
func MatchCore(got, want CoreExport) error {
	if got.Kind != want.Kind {
		return fmt.Errorf("a %s where a %s is expected", got.Kind, want.Kind)
	}
	switch got.Kind {
	case wasmbin.KindFunc:
		if !slices.Equal(got.Func.Params, want.Func.Params) || !slices.Equal(got.Func.Results, want.Func.Results) {
			return fmt.Errorf("a function %s where %s is expected", got.Func, want.Func)
		}
	case wasmbin.KindTable:
		if got.Table.Type != want.Table.Type {
			return fmt.Errorf("a table of %s where one of %s is expected", got.Table.Type, want.Table.Type)
		}
		return matchLimits(got.Table.Limits, want.Table.Limits)
	case wasmbin.KindMemory:
		return matchLimits(got.Memory, want.Memory)
	case wasmbin.KindGlobal:
		if got.Global.Type != want.Global.Type || got.Global.Mutable != want.Global.Mutable {
			return fmt.Errorf("a global of another type where %s is expected", want.Global.Type)
		}
	}
	return nil
}

func matchLimits(got, want wasmbin.Limits) error {
	if got.Min < want.Min || want.HasMax && (!got.HasMax || got.Max > want.Max) {
		return fmt.Errorf("limits %s where %s are expected", limits(got), limits(want))
	}
	return nil
}

func limits(l wasmbin.Limits) string {
	if l.HasMax {
		return fmt.Sprintf("%d to %d", l.Min, l.Max)
	}
	return fmt.Sprintf("from %d", l.Min)
}
