package compbin

import (
	"errors"
	"fmt"

	"github.com/terrane/terrane/internal/engine/component/ctype"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

var errValues = errors.New("values of components are not supported")

func (s *scope) coreInstance(r *wasmbin.Reader) error {
	switch b := r.Byte(); b {
	case 0x00:
		return s.coreInstantiate(r)
	case 0x01:
		return s.coreBundle(r)
	default:
		r.Fail("0x%02x is no core instance", b)
	}
	return nil
}

func (s *scope) coreInstantiate(r *wasmbin.Reader) error {
	def := CoreInstantiate{Module: r.U32()}
	args := map[string]coreInstance{}
	for range r.Count() {
		name := r.Name()
		if b := r.Byte(); b != 0x12 {
			r.Fail("a core module is given 0x%02x where an instance is expected", b)
		}
		index := r.U32()
		if r.Err() != nil {
			return nil
		}
		in, err := at(s.coreInstances, index, "core instance")
		if err != nil {
			return err
		}
		if _, twice := args[name]; twice {
			return fmt.Errorf("a core module is given %q twice", name)
		}
		args[name] = in
		def.Args = append(def.Args, CoreArg{name, index})
	}
	m, err := at(s.coreModules, def.Module, "core module")
	if err != nil {
		return err
	}
	if s.d.effort -= len(m.Imports) + len(m.Exports); s.d.effort < 0 {
		return errEffort
	}
	for i := range m.Imports {
		im := &m.Imports[i]
		in, ok := args[im.Module]
		if !ok {
			return fmt.Errorf("the import %q %q of core module %d is missing: nothing is given as %q", im.Module, im.Name, def.Module, im.Module)
		}
		at, ok := in.index[im.Name]
		if !ok {
			return fmt.Errorf("the import %q %q of core module %d is missing", im.Module, im.Name, def.Module)
		}
		if err := ctype.MatchCore(in.exports[at], m.Import(i)); err != nil {
			return fmt.Errorf("the import %q %q of core module %d: %w", im.Module, im.Name, def.Module, err)
		}
	}
	s.coreInstances = append(s.coreInstances, newCoreInstance(m.Exports))
	s.add(def)
	return nil
}

var errEffort = errors.New("the component instantiates too much")

func (s *scope) coreBundle(r *wasmbin.Reader) error {
	var def CoreBundle
	var exports []ctype.CoreExport
	names := map[string]bool{}
	for range r.Count() {
		item := CoreItem{r.Name(), wasmbin.Kind(r.Byte()), r.U32()}
		if r.Err() != nil {
			return nil
		}
		if names[item.Name] {
			return fmt.Errorf("the name %q is exported twice", item.Name)
		}
		names[item.Name] = true
		e := ctype.CoreExport{Name: item.Name, Kind: item.Kind}
		var err error
		switch item.Kind {
		case wasmbin.KindFunc:
			e.Func, err = at(s.coreFuncs, item.Index, "core function")
		case wasmbin.KindTable:
			e.Table, err = at(s.coreTables, item.Index, "core table")
		case wasmbin.KindMemory:
			e.Memory, err = at(s.coreMemories, item.Index, "core memory")
		case wasmbin.KindGlobal:
			e.Global, err = at(s.coreGlobals, item.Index, "core global")
		default:
			err = fmt.Errorf("core sort 0x%02x cannot be exported by a core instance", byte(item.Kind))
		}
		if err != nil {
			return err
		}
		exports = append(exports, e)
		def.Exports = append(def.Exports, item)
	}
	s.coreInstances = append(s.coreInstances, newCoreInstance(exports))
	s.add(def)
	return nil
}

func (s *scope) defineCore(e ctype.CoreExport) {
	switch e.Kind {
	case wasmbin.KindFunc:
		s.coreFuncs = append(s.coreFuncs, e.Func)
	case wasmbin.KindTable:
		s.coreTables = append(s.coreTables, e.Table)
	case wasmbin.KindMemory:
		s.coreMemories = append(s.coreMemories, e.Memory)
	default:
		s.coreGlobals = append(s.coreGlobals, e.Global)
	}
}

func (s *scope) coreType(r *wasmbin.Reader) error {
	switch b := r.Peek(); b {
	case 0x60:
		t := wasmbin.ReadFuncType(r)
		s.coreTypes = append(s.coreTypes, coreType{fn: &t})
		return nil
	case 0x50:
		r.Byte()
		m, err := s.moduleType(r)
		s.coreTypes = append(s.coreTypes, coreType{module: m})
		return err
	default:
		r.Fail("the core type 0x%02x is not part of WebAssembly 2.0", b)
		return nil
	}
}

// moduleType reads the type of a core module.
func (s *scope) moduleType(r *wasmbin.Reader) (*ctype.Module, error) {
	m := &ctype.Module{}
	imports, exports := map[[2]string]bool{}, map[string]bool{}
	for range r.Count() {
		if s.d.items--; s.d.items < 0 {
			return nil, errEffort
		}
		switch b := r.Byte(); b {
		case 0x00:
			im := wasmbin.ReadImport(r)
			if im.Kind == wasmbin.KindFunc && r.Err() == nil && uint64(im.Type) >= uint64(len(m.Funcs)) {
				return nil, fmt.Errorf("core type %d of %d", im.Type, len(m.Funcs))
			}
			if key := [2]string{im.Module, im.Name}; imports[key] {
				return nil, fmt.Errorf("the import %q %q is there twice", im.Module, im.Name)
			} else {
				imports[key] = true
			}
			m.Imports = append(m.Imports, im)
		case 0x01:
			m.Funcs = append(m.Funcs, wasmbin.ReadFuncType(r))
		case 0x02:
			if k, target := r.Byte(), r.Byte(); k != 0x10 || target != 0x01 {
				r.Fail("an alias in a core module type that is not of an outer type")
				return nil, nil
			}
			t, err := s.outerCoreType(r.U32(), r.U32())
			if err != nil {
				return nil, err
			}
			m.Funcs = append(m.Funcs, *t)
		case 0x03:
			e, err := m.ReadExport(r)
			if err != nil {
				return nil, err
			}
			if exports[e.Name] {
				return nil, fmt.Errorf("the name %q is exported twice", e.Name)
			}
			exports[e.Name] = true
			m.Exports = append(m.Exports, e)
		default:
			r.Fail("0x%02x is no declaration of a core module type", b)
		}
		if r.Err() != nil {
			return nil, nil
		}
	}
	return m, nil
}

// outerCoreType finds a core function type for a module type: count 1 is this scope.
func (s *scope) outerCoreType(count, index uint32) (*wasmbin.FuncType, error) {
	from := s
	for ; count > 1 && from != nil; count-- {
		from = from.outer
	}
	if count == 0 || from == nil {
		return nil, fmt.Errorf("an alias of a core type leads %d scopes outside", count)
	}
	t, err := at(from.coreTypes, index, "core type")
	if err == nil && t.fn == nil {
		err = fmt.Errorf("core type %d is not a function", index)
	}
	return t.fn, err
}
