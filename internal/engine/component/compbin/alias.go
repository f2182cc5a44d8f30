package compbin

import (
	"fmt"

	"github.com/terrane/terrane/internal/engine/component/ctype"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// The targets of aliases.
const (
	aliasExport = iota
	aliasCore
	aliasOuter
)

func (s *scope) alias(r *wasmbin.Reader) error {
	var sort ctype.Sort
	var core, coreTypeSort bool
	var kind wasmbin.Kind
	if r.Peek() == 0x00 && r.PeekAt(1) == 0x10 {
		r.Byte()
		r.Byte()
		coreTypeSort = true
	} else {
		sort, core, kind = sortOf(r)
	}
	target := r.Byte()
	if s.kind != inComponent && (target == aliasCore || target == aliasExport && sort != ctype.SortType && sort != ctype.SortInstance) {
		r.Fail("only aliases of types and instances can be in a type")
	}
	if r.Err() != nil {
		return nil
	}
	switch {
	case target == aliasCore && core:
		return s.coreAlias(kind, r.U32(), r.Name(), r)
	case target == aliasExport && !core && !coreTypeSort:
		return s.exportAlias(sort, r.U32(), r.Name(), r)
	case target == aliasOuter && !core:
		count, index := r.U32(), r.U32()
		if r.Err() != nil {
			return nil
		}
		if coreTypeSort {
			return s.outerCoreAlias(count, index)
		}
		return s.outerAlias(sort, count, index)
	}
	r.Fail("an alias of this sort to 0x%02x is not possible", target)
	return nil
}

func (s *scope) coreAlias(kind wasmbin.Kind, instance uint32, name string, r *wasmbin.Reader) error {
	if r.Err() != nil {
		return nil
	}
	in, err := at(s.coreInstances, instance, "core instance")
	if err != nil {
		return err
	}
	i, ok := in.index[name]
	if !ok {
		return fmt.Errorf("core instance %d has no export %q", instance, name)
	}
	if got := in.exports[i].Kind; got != kind {
		return fmt.Errorf("the export %q of core instance %d is a %s, not a %s", name, instance, got, kind)
	}
	s.defineCore(in.exports[i])
	s.add(CoreAlias{kind, instance, name})
	return nil
}

func (s *scope) exportAlias(sort ctype.Sort, instance uint32, name string, r *wasmbin.Reader) error {
	if r.Err() != nil {
		return nil
	}
	in, err := at(s.instances, instance, "instance")
	if err != nil {
		return err
	}
	e, ok := in.Export(name)
	if !ok {
		return fmt.Errorf("instance %d has no export %q", instance, name)
	}
	if e.Sort != sort {
		return fmt.Errorf("the export %q of instance %d is a %s, not a %s", name, instance, e.Sort, sort)
	}
	s.define(sort, e.Type)
	s.add(Alias{sort, instance, name})
	return nil
}

// outside is the scope count scopes outside, and whether there is the border of a
// component between, beyond which resources are others for each instance.
func (s *scope) outside(count uint32) (from *scope, border bool, err error) {
	from = s
	for range min(count, uint32(s.d.limits.Depth)+1) {
		border = border || from.kind == inComponent
		if from = from.outer; from == nil {
			return nil, false, fmt.Errorf("an alias leads %d scopes outside", count)
		}
	}
	return from, border, nil
}

func (s *scope) outerCoreAlias(count, index uint32) error {
	from, _, err := s.outside(count)
	if err != nil {
		return err
	}
	t, err := at(from.coreTypes, index, "core type")
	s.coreTypes = append(s.coreTypes, t)
	return err
}

func (s *scope) outerAlias(sort ctype.Sort, count, index uint32) error {
	if sort != ctype.SortType && sort != ctype.SortModule && sort != ctype.SortComponent {
		return fmt.Errorf("an outer alias of a %s: only types, modules and components can be", sort)
	}
	if s.kind != inComponent && sort != ctype.SortType {
		return fmt.Errorf("an outer alias of a %s in a type", sort)
	}
	from, border, err := s.outside(count)
	if err != nil {
		return err
	}
	t, err := from.extern(sort, index)
	if err != nil {
		return err
	}
	if s.d.effort -= ctype.Weight(t); s.d.effort < 0 {
		return errEffort
	}
	if border && sort == ctype.SortType && ctype.UsesResources(t) {
		return fmt.Errorf("an outer alias of type %d, which refers to resources of the outer component", index)
	}
	s.define(sort, t)
	s.add(Outer{sort, count, index})
	return nil
}
