package comptest

import (
	"bytes"
	"encoding/binary"
)

// The sorts of component definitions.
const (
	Func      = "\x01"
	Value     = "\x02"
	Type      = "\x03"
	Component = "\x04"
	Instance  = "\x05"
	Module    = "\x00\x11"
)

// The sorts of core definitions.
const (
	CoreFunc = iota
	CoreTable
	CoreMemory
	CoreGlobal
)

// The primitive value types.
const (
	Bool   = "\x7f"
	U8     = "\x7d"
	U32    = "\x79"
	U64    = "\x77"
	Char   = "\x74"
	String = "\x73"
)

// Builder is a component that is being made. The zero value is not ready; use New.
type Builder struct {
	out []byte

	coreFuncs, coreTables, coreMemories, coreGlobals, coreModules, coreInstances int
	funcs, types, components, instances                                          int
}

// Header begins a component.
const Header = "\x00asm\x0d\x00\x01\x00"

// New begins a component.
func New() *Builder { return &Builder{out: []byte(Header)} }

// Bytes is the component as it is now.
func (b *Builder) Bytes() []byte { return bytes.Clone(b.out) }

// Section adds a section.
func (b *Builder) Section(id byte, payload ...[]byte) {
	b.out = append(b.out, id)
	b.out = append(b.out, Sized(payload...)...)
}

// one adds a section of one element.
func (b *Builder) one(id byte, parts ...[]byte) { b.Section(id, append([][]byte{{1}}, parts...)...) }

func next(n *int) int {
	*n++
	return *n - 1
}

// Num is a number as LEB128.
func Num(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// Name is a string with its length.
func Name(s string) []byte { return append(Num(len(s)), s...) }

// Sized is bytes with their length.
func Sized(parts ...[]byte) []byte {
	all := bytes.Join(parts, nil)
	return append(Num(len(all)), all...)
}

// Vec is a vector.
func Vec(parts ...[]byte) []byte { return append(Num(len(parts)), bytes.Join(parts, nil)...) }

// Cat joins bytes.
func Cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// Extern is the name of an import or export.
func Extern(name string) []byte { return Cat([]byte{0}, Name(name)) }

// CoreModule adds a core module.
func (b *Builder) CoreModule(wasm []byte) int {
	b.Section(1, wasm)
	return next(&b.coreModules)
}

// Arg is a named definition.
type Arg struct {
	Name  string
	Sort  string // of a core definition, its byte
	Index int
}

// CoreInstantiate adds an instance of a core module; args are instances.
func (b *Builder) CoreInstantiate(module int, args ...Arg) int {
	var all [][]byte
	for _, a := range args {
		all = append(all, Cat(Name(a.Name), []byte{0x12}, Num(a.Index)))
	}
	b.one(2, []byte{0}, Num(module), Vec(all...))
	return next(&b.coreInstances)
}

// CoreArg is an Arg of a core sort.
func CoreArg(name string, sort byte, index int) Arg { return Arg{name, string([]byte{sort}), index} }

// CoreBundle adds a core instance made of definitions.
func (b *Builder) CoreBundle(args ...Arg) int {
	b.one(2, []byte{1}, Vec(items(args, Name)...))
	return next(&b.coreInstances)
}

func items(args []Arg, name func(string) []byte) (all [][]byte) {
	for _, a := range args {
		all = append(all, Cat(name(a.Name), []byte(a.Sort), Num(a.Index)))
	}
	return all
}

// CoreAlias adds an alias of an export of a core instance.
func (b *Builder) CoreAlias(sort byte, instance int, name string) int {
	b.one(6, []byte{0, sort, 1}, Num(instance), Name(name))
	return next([]*int{&b.coreFuncs, &b.coreTables, &b.coreMemories, &b.coreGlobals}[sort])
}

func (b *Builder) count(sort string) int {
	return next(map[string]*int{Func: &b.funcs, Type: &b.types, Component: &b.components, Instance: &b.instances, Module: &b.coreModules}[sort])
}

// Nested adds a nested component.
func (b *Builder) Nested(c *Builder) int {
	b.Section(4, c.out)
	return b.count(Component)
}

// Instantiate adds an instance of a component.
func (b *Builder) Instantiate(component int, args ...Arg) int {
	b.one(5, []byte{0}, Num(component), Vec(items(args, Name)...))
	return b.count(Instance)
}

// Bundle adds an instance made of definitions.
func (b *Builder) Bundle(args ...Arg) int {
	b.one(5, []byte{1}, Vec(items(args, Extern)...))
	return b.count(Instance)
}

// Alias adds an alias of an export of an instance.
func (b *Builder) Alias(sort string, instance int, name string) int {
	b.one(6, ExportAlias(sort, instance, name))
	return b.count(sort)
}

// Outer adds an alias of a definition of an outer component.
func (b *Builder) Outer(sort string, count, index int) int {
	b.one(6, OuterAlias(sort, count, index))
	return b.count(sort)
}

// Type adds a type.
func (b *Builder) Type(t []byte) int {
	b.one(7, t)
	return b.count(Type)
}

// Canon adds canonical definitions that are core functions.
func (b *Builder) Canon(def ...[]byte) int {
	b.one(8, def...)
	return next(&b.coreFuncs)
}

// Lower adds the lowering of a function.
func (b *Builder) Lower(fn int, opts ...[]byte) int {
	return b.Canon([]byte{1, 0}, Num(fn), Vec(opts...))
}

// Lift adds the lifting of a core function.
func (b *Builder) Lift(core, typ int, opts ...[]byte) int {
	b.one(8, []byte{0, 0}, Num(core), Vec(opts...), Num(typ))
	return b.count(Func)
}

// ResourceDrop adds resource.drop.
func (b *Builder) ResourceDrop(typ int) int { return b.Canon([]byte{3}, Num(typ)) }

// UTF16 is the option string-encoding=utf16.
func UTF16() []byte { return []byte{1} }

// Memory is the option memory.
func Memory(i int) []byte { return desc(3, i) }

// Realloc is the option realloc.
func Realloc(i int) []byte { return desc(4, i) }

// PostReturn is the option post-return.
func PostReturn(i int) []byte { return desc(5, i) }

func desc(b byte, i int) []byte { return append([]byte{b}, Num(i)...) }

// FuncDesc is an import or export of a function.
func FuncDesc(t int) []byte { return desc(1, t) }

// EqDesc is an import or export of a type that is equal to another one.
func EqDesc(t int) []byte { return Cat([]byte{3, 0}, Num(t)) }

// ResourceDesc is an import or export of a resource.
func ResourceDesc() []byte { return []byte{3, 1} }

// ComponentDesc is an import or export of a component.
func ComponentDesc(t int) []byte { return desc(4, t) }

// InstanceDesc is an import or export of an instance.
func InstanceDesc(t int) []byte { return desc(5, t) }

// Import adds an import.
func (b *Builder) Import(name, sort string, desc []byte) int {
	b.one(10, Extern(name), desc)
	return b.count(sort)
}

// Export adds an export.
func (b *Builder) Export(name, sort string, index int) int {
	b.one(11, Extern(name), []byte(sort), Num(index), []byte{0})
	return b.count(sort)
}

// ExportAs adds an export with the type that it is given.
func (b *Builder) ExportAs(name, sort string, index int, desc []byte) int {
	b.one(11, Extern(name), []byte(sort), Num(index), []byte{1}, desc)
	return b.count(sort)
}

// Index is a value type by its index, as where it is used.
func Index(t int) string {
	var out []byte
	for ; t >= 0x40; t >>= 7 {
		out = append(out, byte(t)|0x80)
	}
	return string(append(out, byte(t)))
}

// Field is a name and a value type.
func Field(name, t string) []byte { return Cat(Name(name), []byte(t)) }

// FuncType is a function type; result is empty if there is none.
func FuncType(result string, params ...[]byte) []byte {
	r := []byte{1, 0}
	if result != "" {
		r = append([]byte{0}, result...)
	}
	return Cat([]byte{0x40}, Vec(params...), r)
}

// List is a list type.
func List(t string) []byte { return append([]byte{0x70}, t...) }

// Record is a record type.
func Record(fields ...[]byte) []byte { return append([]byte{0x72}, Vec(fields...)...) }

// Result is a result type without payloads.
func Result() []byte { return []byte{0x6a, 0, 0} }

// Own is a handle of a resource.
func Own(t int) []byte { return append([]byte{0x69}, Num(t)...) }

// Borrow is a borrowed handle of a resource.
func Borrow(t int) []byte { return append([]byte{0x68}, Num(t)...) }

// Resource is a new resource type.
func Resource() []byte { return []byte{0x3f, 0x7f, 0} }

// InstanceType is the type of an instance.
func InstanceType(decls ...[]byte) []byte { return append([]byte{0x42}, Vec(decls...)...) }

// ComponentType is the type of a component.
func ComponentType(decls ...[]byte) []byte { return append([]byte{0x41}, Vec(decls...)...) }

// DeclType declares a type in a type.
func DeclType(t []byte) []byte { return append([]byte{1}, t...) }

// DeclAlias declares an alias in a type.
func DeclAlias(a []byte) []byte { return append([]byte{2}, a...) }

// DeclImport declares an import in a component's type.
func DeclImport(name string, desc []byte) []byte { return Cat([]byte{3}, Extern(name), desc) }

// DeclExport declares an export in a type.
func DeclExport(name string, desc []byte) []byte { return Cat([]byte{4}, Extern(name), desc) }

// ExportAlias is an alias of an instance's export.
func ExportAlias(sort string, instance int, name string) []byte {
	return Cat([]byte(sort), []byte{0}, Num(instance), Name(name))
}

// OuterAlias is an alias of an outer definition.
func OuterAlias(sort string, count, index int) []byte {
	return Cat([]byte(sort), []byte{2}, Num(count), Num(index))
}

// Item is an Arg.
func Item(name, sort string, index int) Arg { return Arg{name, sort, index} }
