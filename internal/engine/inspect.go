package engine

import (
	"fmt"
	"slices"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine/prepare"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// PageSize is the unit of linear memory, in bytes.
const PageSize = 64 << 10

// Info is what a module's file says of it.
type Info struct {
	Size     int      `json:"size"` // bytes
	Dialects []string `json:"dialects"`
	// World is what a component imports and exports; nil for a core module. The fields below are
	// those of the core module that is made of it.
	World   *World   `json:"world,omitempty"`
	Entry   string   `json:"entry,omitempty"` // the export that a request calls; empty if there is none
	Imports []Import `json:"imports"`
	Exports []Export `json:"exports"`
	Memory  *Memory  `json:"memory,omitempty"` // nil if there is none
	Tables  []Table  `json:"tables,omitempty"`
	Start   bool     `json:"start"` // has a start section, which runs before the entry
	// Fresh says which state cannot be put back exactly, and what changes it, so that each
	// request gets a new instance; empty if instances are recycled, which is quicker.
	Fresh string `json:"fresh,omitempty"`
}

// Import is what a module wants from the host.
type Import struct {
	Module string `json:"module"`
	Name   string `json:"name"`
	Kind   string `json:"kind"` // "function", "table", "memory" or "global"
	Type   string `json:"type,omitempty"`
}

// Export is what a module offers.
type Export struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	Type string `json:"type,omitempty"`
}

// Memory is the bounds of the linear memory, in pages of PageSize.
type Memory struct {
	Min uint32  `json:"min"`
	Max *uint32 `json:"max,omitempty"`
}

// Table is the bounds of a table, in elements.
type Table struct {
	Min uint32  `json:"min"`
	Max *uint32 `json:"max,omitempty"`
}

// Inspect reads a module without running or compiling it. An error says what the
// file is instead of a module that could run here, and wraps ErrRefused.
func Inspect(wasm []byte) (*Info, error) {
	w, core, err := world(wasm)
	if err != nil {
		return nil, err
	}
	info, err := Describe(core)
	if err != nil {
		return nil, err
	}
	info.Size, info.World = len(wasm), w
	if w != nil {
		info.Dialects = append(info.Dialects, "WASI 0.2")
	}
	prepared, err := prepare.Prepare(core, prepare.Options{MemoryPages: 1 << 16, TableSize: MaxTable})
	if err != nil {
		return nil, refuse("%w", err)
	}
	info.Fresh = prepared.Fresh
	return info, nil
}

// Describe is Inspect of a core module without a look at the functions' code: it leaves Fresh empty.
func Describe(wasm []byte) (*Info, error) {
	m, err := wasmbin.Decode(wasm)
	if err != nil {
		return nil, refuse("%w", err)
	}
	info := &Info{Size: len(wasm), Start: m.Start != nil}
	for _, im := range m.Imports {
		info.Imports = append(info.Imports, Import{im.Module, im.Name, im.Kind.String(), importType(m, im)})
	}
	for _, e := range m.Exports {
		info.Exports = append(info.Exports, Export{e.Name, e.Kind.String(), exportType(m, e)})
	}
	for _, l := range m.Memories {
		info.Memory = &Memory{l.Min, maximum(l)}
	}
	for _, t := range m.Tables {
		info.Tables = append(info.Tables, Table{t.Min, maximum(t.Limits)})
	}
	for _, d := range hostcalls.Dialects() {
		if slices.ContainsFunc(m.Imports, func(im wasmbin.Import) bool { return im.Module == d.Module }) {
			info.Dialects = append(info.Dialects, d.Title)
		}
		if info.Entry == "" && info.entry(d.Entry) != nil {
			info.Entry = d.Entry
		}
	}
	return info, nil
}

// entry finds the exported function () -> () of the name.
func (i *Info) entry(name string) *Export {
	at := slices.IndexFunc(i.Exports, func(e Export) bool { return e.Name == name && e.Type == entryType })
	if at < 0 {
		return nil
	}
	return &i.Exports[at]
}

const entryType = "() -> nothing"

func maximum(l wasmbin.Limits) *uint32 {
	if !l.HasMax {
		return nil
	}
	return &l.Max
}

func importType(m *wasmbin.Module, im wasmbin.Import) string {
	switch im.Kind {
	case wasmbin.KindFunc:
		return m.Types[im.Type].String()
	case wasmbin.KindGlobal:
		return im.Global.Type.String()
	}
	return ""
}

func exportType(m *wasmbin.Module, e wasmbin.Export) string {
	if e.Kind != wasmbin.KindFunc {
		return ""
	}
	t, _ := m.TypeOf(e.Index)
	return t.String()
}

// refuse makes an error of Compile that the module's author can mend.
func refuse(format string, a ...any) error {
	return &refusal{fmt.Errorf(format, a...)}
}

// refusal is an error that wraps ErrRefused without saying so in its text.
type refusal struct{ error }

// Is makes errors.Is find ErrRefused.
func (r *refusal) Is(target error) bool { return target == ErrRefused }

// Unwrap returns the fault.
func (r *refusal) Unwrap() error { return r.error }

// Refuse wraps err, for engines, so that it is ErrRefused.
func Refuse(err error) error { return &refusal{err} }
