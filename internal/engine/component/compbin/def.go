package compbin

import (
	"github.com/terrane/terrane/internal/engine/component/ctype"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// Component is a decoded component. Its definitions are in the order of the file; each adds
// to one index space, unless it says otherwise.
type Component struct {
	Defs []Def
	Type *ctype.Component
}

// Def is one definition.
type Def interface{ def() }

// CoreModule is a core module.
type CoreModule struct {
	*wasmbin.Module
	Size int // bytes
}

// CoreInstantiate is an instance of a core module.
type CoreInstantiate struct {
	Module uint32
	Args   []CoreArg
}

// CoreArg is an instance that satisfies the imports of a module name.
type CoreArg struct {
	Name     string
	Instance uint32
}

// CoreBundle is a core instance made of definitions.
type CoreBundle struct{ Exports []CoreItem }

// CoreItem is a named core definition.
type CoreItem struct {
	Name  string
	Kind  wasmbin.Kind
	Index uint32
}

// CoreAlias is an export of a core instance.
type CoreAlias struct {
	Kind     wasmbin.Kind
	Instance uint32
	Name     string
}

// Nested is a nested component.
type Nested struct{ *Component }

// Instantiate is an instance of a component.
type Instantiate struct {
	Component uint32
	Args      []Item
}

// Bundle is an instance made of definitions.
type Bundle struct{ Exports []Item }

// Item is a named definition.
type Item struct {
	Name  string
	Sort  ctype.Sort
	Index uint32
}

// Alias is an export of an instance.
type Alias struct {
	Sort     ctype.Sort
	Instance uint32
	Name     string
}

// Outer is a definition of the component that is Count components outside.
type Outer struct {
	Sort         ctype.Sort // SortModule, SortType or SortComponent
	Count, Index uint32
}

// TypeDef is a type. Resources are given an identity by each instance.
type TypeDef struct {
	Resource *ctype.ResourceID // nil if it is no resource type
	Dtor     *uint32           // a core function
}

// Import is an import.
type Import struct {
	Name string
	Face string // the interface: the name, or what an instance with a plain name implements
	Sort ctype.Sort
	Type ctype.Type
}

// Export is an export. It adds what it exports to its index space again.
type Export struct {
	Item
	Type ctype.Type
}

// Lift makes a function of a core function.
type Lift struct {
	Core uint32
	Type *ctype.Func
	Options
}

// Lower makes a core function of a function.
type Lower struct {
	Func uint32
	Type *ctype.Func
	Options
}

// ResourceOp is resource.new, resource.drop or resource.rep, a core function.
type ResourceOp struct {
	Op   byte // CanonResourceNew, CanonResourceDrop or CanonResourceRep
	Type uint32
}

// Builtin is another core function that the canonical ABI defines.
type Builtin struct{ Name string }

// Options are the options of a canonical definition.
type Options struct {
	Encoding   Encoding
	Memory     *uint32
	Realloc    *uint32
	PostReturn *uint32
	Async      bool
	Callback   *uint32
}

// Encoding is how strings are encoded.
type Encoding byte

// The encodings.
const (
	UTF8 Encoding = iota
	UTF16
	CompactUTF16
)

// String is the encoding's name in the text format.
func (e Encoding) String() string { return [...]string{"utf8", "utf16", "latin1+utf16"}[e] }

func (CoreModule) def()      {}
func (CoreInstantiate) def() {}
func (CoreBundle) def()      {}
func (CoreAlias) def()       {}
func (Nested) def()          {}
func (Instantiate) def()     {}
func (Bundle) def()          {}
func (Alias) def()           {}
func (Outer) def()           {}
func (TypeDef) def()         {}
func (Import) def()          {}
func (Export) def()          {}
func (Lift) def()            {}
func (Lower) def()           {}
func (ResourceOp) def()      {}
func (Builtin) def()         {}
