package compbin

import (
	"fmt"

	"github.com/terrane/terrane/internal/engine/component/ctype"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

func (s *scope) instance(r *wasmbin.Reader) error {
	switch b := r.Byte(); b {
	case 0x00:
		return s.instantiate(r)
	case 0x01:
		return s.bundle(r)
	default:
		r.Fail("0x%02x is no instance", b)
		return nil
	}
}

func (s *scope) instantiate(r *wasmbin.Reader) error {
	def := Instantiate{Component: r.U32()}
	args := map[string]Item{}
	for range r.Count() {
		item := Item{Name: r.Name(), Sort: plainSort(r), Index: r.U32()}
		if r.Err() != nil {
			return nil
		}
		if _, twice := args[item.Name]; twice {
			return fmt.Errorf("a component is given %q twice", item.Name)
		}
		args[item.Name] = item
		def.Args = append(def.Args, item)
		if _, err := s.extern(item.Sort, item.Index); err != nil {
			return fmt.Errorf("argument %q: %w", item.Name, err)
		}
	}
	c, err := at(s.components, def.Component, "component")
	if err != nil {
		return err
	}
	if s.d.effort -= ctype.Weight(c); s.d.effort < 0 {
		return errEffort
	}
	b := s.binding(c.Open)
	for _, im := range c.Imports {
		item, ok := args[im.Name]
		if !ok {
			return fmt.Errorf("the import %q of component %d is missing", im.Name, def.Component)
		}
		if item.Sort != im.Sort {
			return fmt.Errorf("the import %q of component %d is a %s, and it is given a %s", im.Name, def.Component, im.Sort, item.Sort)
		}
		given, _ := s.extern(item.Sort, item.Index)
		if err := b.Match(im.Sort, given, im.Type); err != nil {
			return fmt.Errorf("the import %q of component %d: %w", im.Name, def.Component, err)
		}
	}
	s.fresh = append(s.fresh, b.Renew(c.Fresh)...)
	exports := make([]ctype.Extern, 0, len(c.Exports))
	for _, e := range c.Exports {
		if e.Type, err = b.Apply(e.Type); err != nil {
			return err
		}
		exports = append(exports, e)
	}
	return s.newInstance(exports, def)
}

func (s *scope) newInstance(exports []ctype.Extern, def Def) error {
	t, err := ctype.NewInstance(ctype.Instance{Exports: exports})
	if err != nil {
		return err
	}
	s.instances = append(s.instances, t)
	s.add(def)
	return nil
}

func (s *scope) bundle(r *wasmbin.Reader) error {
	var def Bundle
	var exports []ctype.Extern
	keys := newSide()
	for range r.Count() {
		extern := readName(r)
		item := Item{Name: extern.name, Sort: plainSort(r), Index: r.U32()}
		if r.Err() != nil {
			return nil
		}
		t, err := s.extern(item.Sort, item.Index)
		if err != nil {
			return fmt.Errorf("export %q: %w", item.Name, err)
		}
		n, err := extern.check(item.Sort)
		if err != nil {
			return err
		}
		if keys.keys[n.Key] {
			return fmt.Errorf("export %q: the name is there twice, or differs from another one by its case alone", item.Name)
		}
		keys.keys[n.Key] = true
		if err := keys.checkName(n, item.Sort, t); err != nil {
			return fmt.Errorf("export %q: %w", item.Name, err)
		}
		exports = append(exports, ctype.Extern{Name: item.Name, Sort: item.Sort, Type: t})
		def.Exports = append(def.Exports, item)
	}
	return s.newInstance(exports, def)
}
