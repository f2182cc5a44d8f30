package engine

import (
	"errors"
	"slices"
	"strings"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// Check reports every reason why a host that offers funcs cannot run the module
// within the limits, each one line in the joined error; all wrap ErrRefused.
func Check(info *Info, funcs []hostcalls.Func, limits Limits) error {
	imports, faults := checkInterfaces(info.Imports, funcs)
	for _, im := range imports {
		faults = append(faults, checkImport(im, funcs))
	}
	faults = append(faults, checkEntry(info))
	if info.Memory != nil && limits.Memory > 0 && int64(info.Memory.Min)*PageSize > limits.Memory {
		faults = append(faults, refuse("memory starts at %d pages (%d KiB); the limit is %d KiB",
			info.Memory.Min, int64(info.Memory.Min)*(PageSize>>10), limits.Memory>>10))
	}
	total := uint64(0)
	for _, t := range info.Tables {
		total += uint64(t.Min)
	}
	if total > MaxTable {
		faults = append(faults, refuse("tables of %d elements; the limit is %d", total, uint64(MaxTable)))
	}
	return errors.Join(faults...)
}

// MaxTable bounds the elements of all tables of a module.
const MaxTable = 1 << 20

func checkImport(im Import, funcs []hostcalls.Func) error {
	if im.Kind != wasmbin.KindFunc.String() {
		return refuse("imports the %s %s.%s: only functions can be imported; let the module define its own", im.Kind, im.Module, im.Name)
	}
	elsewhere, known := "", false
	module, name := hostcalls.Canonical(im.Module, im.Name)
	for i := range funcs {
		f := &funcs[i]
		switch {
		case f.Module == module && f.Name == name:
			if want := signature(f); want != im.Type {
				return refuse("imports %s.%s as %s; it is %s", im.Module, im.Name, im.Type, want)
			}
			return nil
		case f.Name == name:
			elsewhere = f.Module
		case f.Module == module:
			known = true
		}
	}
	switch {
	case elsewhere != "":
		return refuse("imports %s.%s, which does not exist; there is %s.%s", im.Module, im.Name, elsewhere, im.Name)
	case known:
		return refuse("imports %s.%s, which does not exist", im.Module, im.Name)
	}
	return refuse("imports %s.%s; nothing is offered under %q", im.Module, im.Name, im.Module)
}

func signature(f *hostcalls.Func) string {
	types := func(in []hostcalls.ValueType) []wasmbin.ValType {
		var out []wasmbin.ValType
		for _, t := range in {
			out = append(out, wasmbin.ValType(t))
		}
		return out
	}
	return wasmbin.FuncType{Params: types(f.Params), Results: types(f.Results)}.String()
}

func checkEntry(info *Info) error {
	if info.Entry != "" {
		return nil
	}
	var entries []string
	for _, d := range hostcalls.Dialects() {
		if slices.Contains(entries, d.Entry) {
			continue
		}
		entries = append(entries, d.Entry)
		for _, e := range info.Exports {
			if e.Name == d.Entry && e.Type == "" {
				return refuse("exports %s as a %s; it must be a function without parameters and results", e.Name, e.Kind)
			}
			if e.Name == d.Entry {
				return refuse("exports %s as %s; it must be %s", e.Name, e.Type, entryType)
			}
		}
	}
	return refuse("exports no %s: export the function that answers a request under that name, without parameters and results",
		strings.Join(entries, " and no "))
}
