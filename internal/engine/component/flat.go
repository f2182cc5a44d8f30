package component

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/terrane/terrane/internal/engine/component/ctype"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// The names of what bindings generators give to core modules that are to become components.
const (
	flatRealloc    = "cabi_realloc"
	flatPost       = "cabi_post_"
	flatInitialize = "_initialize"
	flatDrop       = "[resource-drop]"
)

// isFlat reports whether the file is a core module that exports a handler under the name that
// it has before wit-component makes a component of it. Some build tools stop there: what such a module
// imports are the flattened functions already.
func isFlat(wasm []byte) bool {
	if !bytes.HasPrefix(wasm, []byte("\x00asm\x01\x00\x00\x00")) {
		return false
	}
	for _, h := range handlers() {
		if !bytes.Contains(wasm, []byte(h.face+"@0.2.")) {
			continue
		}
		m, err := wasmbin.Decode(wasm)
		if err != nil {
			return false
		}
		if _, found := flatEntry(m, h); found {
			return true
		}
	}
	return false
}

// flatEntry finds the export that is the handler.
func flatEntry(m *wasmbin.Module, h handler) (wasmbin.Export, bool) {
	i := slices.IndexFunc(m.Exports, func(e wasmbin.Export) bool {
		face, fn, _ := strings.Cut(e.Name, "#")
		n, err := ctype.ParseName(face)
		return e.Kind == wasmbin.KindFunc && fn == h.fn && err == nil && n.Interface == h.face && servedVersion(n.Version)
	})
	if i < 0 {
		return wasmbin.Export{}, false
	}
	return m.Exports[i], true
}

// fuseFlat wraps the imports of such a module.
func fuseFlat(wasm []byte) (*Fused, error) {
	m, err := wasmbin.Decode(wasm)
	if err != nil {
		return nil, err
	}
	u := &unit{Module: m, own: make([]*function, len(m.Funcs))}
	var realloc *function
	export := func(name string) (*function, wasmbin.FuncType, bool) {
		i := slices.IndexFunc(m.Exports, func(e wasmbin.Export) bool { return e.Name == name && e.Kind == wasmbin.KindFunc })
		if i < 0 || int(m.Exports[i].Index) < m.Imported(wasmbin.KindFunc) {
			return nil, wasmbin.FuncType{}, false
		}
		index := m.Exports[i].Index
		t, _ := m.TypeOf(index)
		return &function{unit: u, index: index - uint32(m.Imported(wasmbin.KindFunc))}, t, true
	}
	if fn, t, ok := export(flatRealloc); ok {
		if t.String() != reallocType().String() {
			return nil, fmt.Errorf("the module exports %s as %s; it must be %s", flatRealloc, t, reallocType())
		}
		realloc = fn
	}
	out := &Fused{}
	faces := map[string]bool{}
	for i := range m.Imports {
		im := &m.Imports[i]
		if im.Kind != wasmbin.KindFunc {
			return nil, fmt.Errorf("the module imports the %s %s.%s: only functions can be imported", im.Kind, im.Module, im.Name)
		}
		h := &host{module: im.Module, name: im.Name, typ: m.Types[im.Type]}
		if strings.Contains(im.Module, ":") {
			if !faces[im.Module] {
				faces[im.Module] = true
				out.Imports = append(out.Imports, Interface{Name: im.Module})
			}
			// What is returned by a pointer may have memory of its own; the types do not say.
			if !strings.HasPrefix(im.Name, flatDrop) && len(h.typ.Results) == 0 && len(h.typ.Params) > 0 {
				h.realloc = realloc
			}
		}
		u.funcs = append(u.funcs, &function{host: h})
	}
	if m.Start != nil {
		u.starts = append(u.starts, *m.Start)
	}
	if fn, t, ok := export(flatInitialize); ok && len(t.Params)+len(t.Results) == 0 {
		u.starts = append(u.starts, fn.index+uint32(len(u.funcs)))
	}
	e, err := flatHandler(m, u, export)
	if err != nil {
		return nil, err
	}
	out.Entry = e.kind
	for _, x := range m.Exports {
		if face, _, ok := strings.Cut(x.Name, "#"); ok && !strings.HasPrefix(face, flatPost) && !slices.ContainsFunc(out.Exports, func(i Interface) bool { return i.Name == face }) {
			out.Exports = append(out.Exports, Interface{Name: face})
		}
	}
	out.Module, err = merge([]*unit{u}, e)
	return out, err
}

func flatHandler(m *wasmbin.Module, u *unit, export func(string) (*function, wasmbin.FuncType, bool)) (*entry, error) {
	for _, h := range handlers() {
		x, ok := flatEntry(m, h)
		if !ok {
			continue
		}
		t, _ := m.TypeOf(x.Index)
		if t.String() != h.flat().String() {
			return nil, fmt.Errorf("the module exports %s as %s; it must be %s", x.Name, t, h.flat())
		}
		e := &entry{kind: h.kind, core: u.function(x.Index), typ: t}
		if fn, post, ok := export(flatPost + x.Name); ok {
			if want := procedure(t.Results); post.String() != want.String() {
				return nil, fmt.Errorf("the module exports %s as %s; it must be %s", flatPost+x.Name, post, want)
			}
			e.postReturn = fn
		}
		return e, nil
	}
	return nil, errNoHandler
}

// flat is the core type of the handler's function.
func (h handler) flat() wasmbin.FuncType {
	i32 := func(n int) []wasmbin.ValType { return slices.Repeat([]wasmbin.ValType{wasmbin.I32}, n) }
	return wasmbin.FuncType{Params: i32(h.params), Results: i32(h.results)}
}
