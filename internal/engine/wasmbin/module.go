package wasmbin

import "strings"

// ValType is a value type, by its byte in the format.
type ValType byte

// The value types.
const (
	I32       ValType = 0x7f
	I64       ValType = 0x7e
	F32       ValType = 0x7d
	F64       ValType = 0x7c
	V128      ValType = 0x7b
	FuncRef   ValType = 0x70
	ExternRef ValType = 0x6f
)

// String is the type's name in the text format.
func (v ValType) String() string {
	switch v {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	default:
		return "externref"
	}
}

// IsRef reports whether v is a reference.
func (v ValType) IsRef() bool { return v == FuncRef || v == ExternRef }

// Valid reports whether v is a value type.
func (v ValType) Valid() bool { return V128 <= v && v <= I32 || v.IsRef() }

// FuncType is the type of a function.
type FuncType struct{ Params, Results []ValType }

// String is the type as "(i32, i32) -> i32".
func (t FuncType) String() string {
	result := "nothing"
	switch len(t.Results) {
	case 0:
	case 1:
		result = t.Results[0].String()
	default:
		result = list(t.Results)
	}
	return list(t.Params) + " -> " + result
}

func list(types []ValType) string {
	var b strings.Builder
	for i, t := range types {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(t.String())
	}
	return "(" + b.String() + ")"
}

// Kind is what is imported or exported.
type Kind byte

// The kinds.
const (
	KindFunc Kind = iota
	KindTable
	KindMemory
	KindGlobal
	kinds
)

// String is the kind's name.
func (k Kind) String() string {
	return [...]string{"function", "table", "memory", "global"}[k&3]
}

// Limits are the bounds of a memory, in pages of 64 KiB, or of a table, in elements.
type Limits struct {
	Min, Max uint32 // Max is valid if HasMax
	HasMax   bool
}

// Table is a table's type.
type Table struct {
	Type ValType
	Limits
}

// Global is a global with its initial value.
type Global struct {
	Type    ValType
	Mutable bool
	Init    []byte // expression, its end included; nil if imported
}

// Import is one import. The field that Kind names is valid.
type Import struct {
	Module, Name string
	Kind         Kind
	Type         uint32 // function: index in Types
	Table        Table
	Memory       Limits
	Global       Global
}

// Export is one export.
type Export struct {
	Name  string
	Kind  Kind
	Index uint32
}

// Body is the code of a function.
type Body struct {
	Locals []Locals
	Expr   []byte // instructions, the last end included
	Offset int    // of Expr in the file
}

// Locals is a group of local variables of one type.
type Locals struct {
	Count uint32
	Type  ValType
}

// Section is one section as it stands in the file.
type Section struct {
	ID      byte
	Name    string // of a custom section
	Payload []byte // of a custom section, without its name
	Offset  int    // of Payload in the file
}

// The sections' IDs.
const (
	SecCustom byte = iota
	SecType
	SecImport
	SecFunction
	SecTable
	SecMemory
	SecGlobal
	SecExport
	SecStart
	SecElement
	SecCode
	SecData
	SecDataCount
)

// Module is a decoded module. Indices count imports first, as in the format.
type Module struct {
	Sections []Section
	Types    []FuncType
	Imports  []Import
	Funcs    []uint32 // types of the functions defined here
	Tables   []Table  // defined here
	Memories []Limits // defined here
	Globals  []Global // defined here
	Exports  []Export
	Start    *uint32
	Bodies   []Body
}

// Section returns the section with the ID, which is not SecCustom.
func (m *Module) Section(id byte) (Section, bool) {
	for _, s := range m.Sections {
		if s.ID == id {
			return s, true
		}
	}
	return Section{}, false
}

// Imported is the number of imports of the kind.
func (m *Module) Imported(k Kind) int {
	n := 0
	for i := range m.Imports {
		if m.Imports[i].Kind == k {
			n++
		}
	}
	return n
}

// TypeOf returns the type of the function with the index, imports included.
func (m *Module) TypeOf(fn uint32) (FuncType, bool) {
	t, ok := m.typeIndex(fn)
	if !ok || int(t) >= len(m.Types) {
		return FuncType{}, false
	}
	return m.Types[t], true
}

func (m *Module) typeIndex(fn uint32) (uint32, bool) {
	for i := range m.Imports {
		if m.Imports[i].Kind != KindFunc {
			continue
		}
		if fn == 0 {
			return m.Imports[i].Type, true
		}
		fn--
	}
	if int(fn) >= len(m.Funcs) {
		return 0, false
	}
	return m.Funcs[fn], true
}
