package compbin

import (
	"errors"
	"fmt"

	"github.com/terrane/terrane/internal/engine/component/ctype"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// externName is the name of an import or export.
type externName struct {
	name       string // with the version's suffix
	implements string // an interface, for an instance with a plain name
	attrs      [attributes]bool
}

// face is the interface that the import or export is.
func (n externName) face() string {
	if n.implements != "" {
		return n.implements
	}
	return n.name
}

// The attributes of names.
const (
	attrImplements byte = iota
	attrVersionSuffix
	attrExternalID
	attributes
)

// check checks the name of an import or export of the sort.
func (n externName) check(sort ctype.Sort) (ctype.Name, error) {
	parsed, err := ctype.ParseName(n.name)
	switch {
	case err != nil:
		return parsed, err
	case n.attrs[attrVersionSuffix] && (parsed.Kind != ctype.NameInterface || sort != ctype.SortInstance):
		return parsed, errors.New("only the name of an interface can have the suffix of a version")
	case !n.attrs[attrImplements]:
		return parsed, nil
	}
	face, err := ctype.ParseName(n.implements)
	switch {
	case err != nil:
	case face.Kind != ctype.NameInterface:
		err = fmt.Errorf("it implements %q, which is no interface", n.implements)
	case sort != ctype.SortInstance:
		err = fmt.Errorf("a %s implements an interface", sort)
	case parsed.Kind != ctype.NamePlain:
		err = errors.New("only what has a plain name can implement an interface")
	}
	return parsed, err
}

func readName(r *wasmbin.Reader) (n externName) {
	form := r.Byte()
	n.name = r.Name()
	switch form {
	case 0x00, 0x01:
		return n
	case 0x02:
	default:
		r.Fail("the form 0x%02x of a name is not supported", form)
	}
	for range r.Count() {
		b := r.Byte()
		value := r.Name()
		if b >= attributes || n.attrs[b] {
			r.Fail("the attribute 0x%02x of a name is there twice, or not supported", b)
			break
		}
		n.attrs[b] = true
		switch b {
		case attrImplements:
			n.implements = value
		case attrVersionSuffix:
			n.name += value
		}
	}
	return n
}

// externDesc reads the type of an import or export. Resources in it are new ones.
func (s *scope) externDesc(r *wasmbin.Reader, name string) (sort ctype.Sort, t ctype.Type, err error) {
	switch b := r.Byte(); b {
	case 0x00:
		if k := r.Byte(); k != 0x11 {
			r.Fail("a core definition of sort 0x%02x cannot be imported or exported", k)
			return 0, nil, nil
		}
		c, err := at(s.coreTypes, r.U32(), "core type")
		if err == nil && c.module == nil {
			err = errors.New("a core type that is not the type of a module")
		}
		return ctype.SortModule, c.module, err
	case 0x01:
		t, err = typeAt[*ctype.Func](s, r.U32(), "a function type")
		return ctype.SortFunc, t, err
	case 0x02:
		return 0, nil, errValues
	case 0x03:
		t, err = s.typeBound(r, name)
		return ctype.SortType, t, err
	case 0x04:
		t, err = typeAt[*ctype.Component](s, r.U32(), "a component type")
		return ctype.SortComponent, t, err
	case 0x05:
		in, err := typeAt[*ctype.Instance](s, r.U32(), "an instance type")
		if err != nil || r.Err() != nil {
			return 0, nil, err
		}
		t, err = s.instanceOf(in)
		return ctype.SortInstance, t, err
	default:
		r.Fail("0x%02x is no type of an import or export", b)
		return 0, nil, nil
	}
}

// typeBound reads what a type import or export is: equal to another one, or a new resource.
func (s *scope) typeBound(r *wasmbin.Reader, name string) (ctype.Type, error) {
	switch b := r.Byte(); b {
	case 0x00:
		t, err := at(s.types, r.U32(), "type")
		if err != nil || r.Err() != nil {
			return nil, err
		}
		return renamed(t), nil
	case 0x01:
		id := &ctype.ResourceID{Name: name}
		s.bring(id)
		return &ctype.Resource{ID: id}, nil
	default:
		r.Fail("0x%02x is no bound of a type", b)
		return nil, nil
	}
}

// renamed is another definition of an equal type, which a name can be given to.
func renamed(t ctype.Type) ctype.Type {
	switch t := t.(type) {
	case *ctype.Value:
		c := *t
		return &c
	case *ctype.Resource:
		c := *t
		return &c
	}
	return t
}

// bring notes new resources. importing decides which list; see importDef.
func (s *scope) bring(ids ...*ctype.ResourceID) { s.fresh = append(s.fresh, ids...) }

// instanceOf is a new instance's type: it has resources of its own.
func (s *scope) instanceOf(t *ctype.Instance) (*ctype.Instance, error) {
	if len(t.Fresh) == 0 {
		return t, nil
	}
	if s.d.effort -= ctype.Weight(t); s.d.effort < 0 {
		return nil, errEffort
	}
	b := s.binding()
	s.bring(b.Renew(t.Fresh)...)
	made, err := b.Apply(t)
	if err != nil {
		return nil, err
	}
	in := made.(*ctype.Instance)
	in.Fresh = nil
	return in, nil
}

func (s *scope) importDef(r *wasmbin.Reader) error {
	n := readName(r)
	name := n.name
	before := len(s.fresh)
	sort, t, err := s.externDesc(r, name)
	if err != nil || r.Err() != nil {
		return err
	}
	s.open = append(s.open, s.fresh[before:]...)
	s.fresh = s.fresh[:before:before]
	if err := s.register(&s.imports, true, n, sort, t); err != nil {
		return fmt.Errorf("import %q: %w", name, err)
	}
	s.define(sort, t)
	s.add(Import{name, n.face(), sort, t})
	return nil
}

// exportDecl reads an export in a type.
func (s *scope) exportDecl(r *wasmbin.Reader) error {
	n := readName(r)
	name := n.name
	sort, t, err := s.externDesc(r, name)
	if err != nil || r.Err() != nil {
		return err
	}
	if err := s.register(&s.exports, false, n, sort, t); err != nil {
		return fmt.Errorf("export %q: %w", name, err)
	}
	s.define(sort, t)
	return nil
}

func (s *scope) exportDef(r *wasmbin.Reader) error {
	n := readName(r)
	name := n.name
	sort := plainSort(r)
	index := r.U32()
	ascribed := r.Byte()
	if r.Err() != nil {
		return nil
	}
	t, err := s.extern(sort, index)
	if err != nil {
		return fmt.Errorf("export %q: %w", name, err)
	}
	switch ascribed {
	case 0:
		if sort == ctype.SortType {
			t = renamed(t)
		}
	case 1:
		if t, err = s.ascribe(r, name, sort, t); err != nil || r.Err() != nil {
			return err
		}
	default:
		r.Fail("a flag that is neither 0 nor 1")
		return nil
	}
	if err := s.register(&s.exports, false, n, sort, t); err != nil {
		return fmt.Errorf("export %q: %w", name, err)
	}
	s.define(sort, t)
	s.add(Export{Item{name, sort, index}, t})
	return nil
}

// ascribe reads the type that an export is given instead of its own one.
func (s *scope) ascribe(r *wasmbin.Reader, name string, sort ctype.Sort, t ctype.Type) (ctype.Type, error) {
	before := len(s.fresh) // the resources that are new there stay new to those who see the export
	as, want, err := s.externDesc(r, name)
	if err != nil || r.Err() != nil {
		return nil, err
	}
	if as != sort {
		return nil, fmt.Errorf("export %q: a %s is given the type of a %s", name, sort, as)
	}
	if err := s.binding(s.fresh[before:]).Match(sort, t, want); err != nil {
		return nil, fmt.Errorf("export %q: %w", name, err)
	}
	return want, nil
}

// register checks an import or export and notes it.
func (s *scope) register(to *side, importing bool, extern externName, sort ctype.Sort, t ctype.Type) error {
	name := extern.name
	n, err := extern.check(sort)
	if err != nil {
		return err
	}
	if to.keys[n.Key] {
		return errors.New("the name is there twice, or differs from another one by its case alone")
	}
	to.keys[n.Key] = true
	if err := to.checkName(n, sort, t); err != nil {
		return err
	}
	if r, ok := t.(*ctype.Resource); ok && sort == ctype.SortType {
		to.resources[name] = r.ID
		if r.ID.Name == "" {
			r.ID.Name = name
		}
	}
	if s.d.effort -= ctype.Weight(t); s.d.effort < 0 {
		return errEffort
	}
	if !s.nameTypes(to, importing, sort, t) {
		return errors.New("it uses a type that is neither imported nor exported under a name")
	}
	to.externs = append(to.externs, ctype.Extern{Name: name, Sort: sort, Type: t})
	return nil
}

// nameTypes reports whether all types that t uses have names, and gives t's own ones.
func (s *scope) nameTypes(to *side, importing bool, sort ctype.Sort, t ctype.Type) bool {
	if s.kind == inInstanceType {
		return true
	}
	switch sort {
	case ctype.SortType:
		if !ctype.Named(t, to.named) {
			return false
		}
		to.named[t] = true
		if importing {
			s.exports.named[t] = true
		}
	case ctype.SortInstance:
		for _, e := range t.(*ctype.Instance).Exports {
			if !s.nameTypes(to, importing, e.Sort, e.Type) {
				return false
			}
		}
	case ctype.SortFunc:
		return ctype.Named(t, to.named)
	}
	return true
}

var errMember = errors.New("the resource of this name is neither imported nor exported before")

// checkName checks what the name of a function promises.
func (to *side) checkName(n ctype.Name, sort ctype.Sort, t ctype.Type) error {
	switch n.Kind {
	case ctype.NamePlain, ctype.NameInterface:
		return nil
	}
	f, ok := t.(*ctype.Func)
	if !ok || sort != ctype.SortFunc {
		return errors.New("only functions can have such a name")
	}
	id := to.resources[n.Resource]
	if id == nil {
		return errMember
	}
	switch n.Kind {
	case ctype.NameConstructor:
		if f.Async {
			return errors.New("a constructor cannot be async")
		}
		v := f.Result
		if v != nil && v.Kind == ctype.Result {
			v = v.Elem
		}
		if v == nil || v.Kind != ctype.Own || v.Resource.ID != id {
			return fmt.Errorf("a constructor must return own<%s>", n.Resource)
		}
	case ctype.NameMethod:
		if len(f.Params) == 0 || f.Params[0].Name != "self" || f.Params[0].Type.Kind != ctype.Borrow || f.Params[0].Type.Resource.ID != id {
			return fmt.Errorf("the first parameter of a method must be self: borrow<%s>", n.Resource)
		}
	}
	return nil
}
