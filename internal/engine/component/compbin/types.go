package compbin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/terrane/terrane/internal/engine/component/ctype"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// The first bytes of types.
const (
	typeRecord    = 0x72
	typeVariant   = 0x71
	typeList      = 0x70
	typeTuple     = 0x6f
	typeFlags     = 0x6e
	typeEnum      = 0x6d
	typeOption    = 0x6b
	typeResult    = 0x6a
	typeOwn       = 0x69
	typeBorrow    = 0x68
	typeFixedList = 0x67
	typeStream    = 0x66
	typeFuture    = 0x65
	typeMap       = 0x63
	typeAsyncFunc = 0x43
	typeInstance  = 0x42
	typeComponent = 0x41
	typeFunc      = 0x40
	typeResource  = 0x3f
	typeResourceA = 0x3e
)

const (
	primFirst = 0x73 // string
	primLast  = 0x7f // bool
	primError = 0x64
)

// typeDef reads a type into the type index space.
func (s *scope) typeDef(r *wasmbin.Reader) error {
	def := TypeDef{}
	var t ctype.Type
	var err error
	switch b := r.Peek(); b {
	case typeFunc, typeAsyncFunc:
		t, err = s.funcType(r)
	case typeComponent:
		t, err = s.componentTypeDef(r)
	case typeInstance:
		t, err = s.instanceTypeDef(r)
	case typeResource, typeResourceA:
		t, err = s.resourceType(r, &def)
	default:
		t, err = s.definedType(r)
	}
	if err != nil || r.Err() != nil {
		return err
	}
	s.types = append(s.types, t)
	s.add(def)
	return nil
}

func (s *scope) resourceType(r *wasmbin.Reader, def *TypeDef) (ctype.Type, error) {
	if r.Byte() == typeResourceA {
		r.Fail("resources with an asynchronous destructor are not supported")
		return nil, nil
	}
	if s.kind != inComponent {
		return nil, errors.New("a resource type cannot be defined in a type")
	}
	if rep := r.Byte(); rep != byte(wasmbin.I32) {
		r.Fail("the representation 0x%02x of a resource is not supported: it must be i32", rep)
	}
	switch r.Byte() {
	case 0:
	case 1:
		fn := r.U32()
		f, err := at(s.coreFuncs, fn, "core function")
		if r.Err() == nil && err == nil && (len(f.Params) != 1 || f.Params[0] != wasmbin.I32 || len(f.Results) > 0) {
			err = fmt.Errorf("the destructor, core function %d, is %s; it must be (i32) -> nothing", fn, f)
		}
		if err != nil {
			return nil, err
		}
		def.Dtor = &fn
	default:
		r.Fail("a flag that is neither 0 nor 1")
	}
	if r.Err() != nil {
		return nil, nil
	}
	def.Resource = &ctype.ResourceID{Local: true}
	s.locals[def.Resource] = true
	s.fresh = append(s.fresh, def.Resource)
	return &ctype.Resource{ID: def.Resource}, nil
}

// valType reads a value type: primitive, or an index.
func (s *scope) valType(r *wasmbin.Reader) (*ctype.Value, error) {
	b := r.Peek()
	if b < 0x80 && b >= 0x40 {
		r.Byte()
		switch {
		case b >= primFirst && b <= primLast:
			return s.d.primitive(ctype.Kind(primLast - b)), nil
		case b == primError:
			r.Fail("error contexts are not supported")
		default:
			r.Fail("0x%02x is no value type", b)
		}
		return s.d.primitive(ctype.Bool), nil
	}
	index := r.TypeIndex()
	if r.Err() != nil {
		return s.d.primitive(ctype.Bool), nil
	}
	return typeAt[*ctype.Value](s, index, "a value type")
}

// maybe reads an optional value type.
func (s *scope) maybe(r *wasmbin.Reader) (*ctype.Value, error) {
	switch r.Byte() {
	case 0:
		return nil, nil
	case 1:
		return s.valType(r)
	}
	r.Fail("a flag that is neither 0 nor 1")
	return nil, nil
}

// label reads a name in kebab case that is not in names yet, whatever its case.
func label(r *wasmbin.Reader, names map[string]bool, what string) (string, error) {
	name := r.Name()
	switch key := strings.ToLower(name); {
	case r.Err() != nil:
	case !ctype.Label(name):
		return "", fmt.Errorf("the name %q of a %s is not in kebab case", name, what)
	case names[key]:
		return "", fmt.Errorf("two %ss are named %q", what, name)
	default:
		names[key] = true
	}
	return name, nil
}

// fields reads the parts of a record, variant, tuple, flags or enum.
func (s *scope) fields(r *wasmbin.Reader, what string, named bool, payload func(*wasmbin.Reader) (*ctype.Value, error)) (all []ctype.Field, err error) {
	names := map[string]bool{}
	for range r.Count() {
		var f ctype.Field
		if named {
			if f.Name, err = label(r, names, what); err != nil {
				return nil, err
			}
		}
		if payload != nil {
			if f.Type, err = payload(r); err != nil {
				return nil, err
			}
		}
		if r.Err() != nil {
			return nil, nil
		}
		all = append(all, f)
	}
	return all, nil
}

func (s *scope) caseType(r *wasmbin.Reader) (*ctype.Value, error) {
	t, err := s.maybe(r)
	if b := r.Byte(); b != 0 && err == nil {
		r.Fail("a case that refines another one is not supported")
	}
	return t, err
}

func (s *scope) definedType(r *wasmbin.Reader) (*ctype.Value, error) {
	b := r.Byte()
	if b >= primFirst && b <= primLast {
		v := *ctype.Primitive(ctype.Kind(primLast - b))
		return ctype.NewValue(v)
	}
	var v ctype.Value
	var err error
	switch b {
	case typeRecord:
		v.Kind = ctype.Record
		v.Fields, err = s.fields(r, "field", true, s.valType)
	case typeVariant:
		v.Kind = ctype.Variant
		v.Fields, err = s.fields(r, "case", true, s.caseType)
	case typeTuple:
		v.Kind = ctype.Tuple
		v.Fields, err = s.fields(r, "element", false, s.valType)
	case typeFlags:
		v.Kind = ctype.Flags
		v.Fields, err = s.fields(r, "flag", true, nil)
	case typeEnum:
		v.Kind = ctype.Enum
		v.Fields, err = s.fields(r, "case", true, nil)
	case typeList:
		v.Kind = ctype.List
		v.Elem, err = s.valType(r)
	case typeOption:
		v.Kind = ctype.Option
		v.Elem, err = s.valType(r)
	case typeResult:
		v.Kind = ctype.Result
		if v.Elem, err = s.maybe(r); err == nil {
			v.Other, err = s.maybe(r)
		}
	case typeOwn, typeBorrow:
		if v.Kind = ctype.Own; b == typeBorrow {
			v.Kind = ctype.Borrow
		}
		v.Resource, err = typeAt[*ctype.Resource](s, r.U32(), "a resource")
	case typeStream, typeFuture:
		if v.Kind = ctype.Stream; b == typeFuture {
			v.Kind = ctype.Future
		}
		v.Elem, err = s.maybe(r)
	case typeFixedList:
		r.Fail("lists of a fixed length are not supported")
	case typeMap:
		r.Fail("maps are not supported")
	default:
		r.Fail("0x%02x is no type of a component", b)
	}
	if err != nil || r.Err() != nil {
		return nil, err
	}
	if err := checkValue(&v); err != nil {
		return nil, err
	}
	return ctype.NewValue(v)
}

func checkValue(v *ctype.Value) error {
	switch v.Kind {
	case ctype.Record, ctype.Variant, ctype.Tuple, ctype.Flags, ctype.Enum:
		if len(v.Fields) == 0 {
			return errors.New("a record, variant, tuple, flags or enum without a part")
		}
		if v.Kind == ctype.Flags && len(v.Fields) > ctype.MaxFlags {
			return fmt.Errorf("%d flags in one type; at most %d are possible", len(v.Fields), ctype.MaxFlags)
		}
	case ctype.Stream, ctype.Future:
		if v.Elem != nil && v.Elem.HasBorrow() {
			return errors.New("a stream or future of a borrowed resource")
		}
		if v.Kind == ctype.Stream && v.Elem != nil && v.Elem.Kind == ctype.Char {
			return errors.New("a stream of characters")
		}
	}
	return nil
}

func (s *scope) funcType(r *wasmbin.Reader) (ctype.Type, error) {
	f := ctype.Func{Async: r.Byte() == typeAsyncFunc}
	var err error
	if f.Params, err = s.fields(r, "parameter", true, s.valType); err != nil {
		return nil, err
	}
	switch r.Byte() {
	case 0:
		if f.Result, err = s.valType(r); err != nil {
			return nil, err
		}
		if f.Result.HasBorrow() && r.Err() == nil {
			return nil, errors.New("a function returns a borrowed resource")
		}
	case 1:
		if n := r.Byte(); n != 0 {
			r.Fail("functions with several results are not supported")
		}
	default:
		r.Fail("the form of a result is neither 0 nor 1")
	}
	if r.Err() != nil {
		return nil, nil
	}
	return ctype.NewFunc(f)
}

// declarations.
const (
	declCoreType = iota
	declType
	declAlias
	declImport
	declExport
)

func (s *scope) componentTypeDef(r *wasmbin.Reader) (ctype.Type, error) {
	in, err := s.declarations(r, inComponentType)
	if err != nil || r.Err() != nil {
		return nil, err
	}
	return in.componentType()
}

func (s *scope) instanceTypeDef(r *wasmbin.Reader) (ctype.Type, error) {
	in, err := s.declarations(r, inInstanceType)
	if err != nil || r.Err() != nil {
		return nil, err
	}
	return in.instanceType()
}

func (s *scope) declarations(r *wasmbin.Reader, kind scopeKind) (*scope, error) {
	r.Byte()
	in, err := s.d.scope(s, kind)
	if err != nil {
		return nil, err
	}
	for range r.Count() {
		if err := in.read(r, in.declaration); err != nil || r.Err() != nil {
			return nil, err
		}
	}
	return in, nil
}

func (s *scope) declaration(r *wasmbin.Reader) error {
	switch b := r.Byte(); {
	case b == declCoreType:
		return s.coreType(r)
	case b == declType:
		return s.typeDef(r)
	case b == declAlias:
		return s.alias(r)
	case b == declImport && s.kind == inComponentType:
		return s.importDef(r)
	case b == declExport:
		return s.exportDecl(r)
	default:
		r.Fail("0x%02x is no declaration here", b)
		return nil
	}
}
