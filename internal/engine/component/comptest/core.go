package comptest

import "strings"

// Core is a core module. Its parts are what the sections have as elements.
type Core struct {
	Types    [][]byte
	Imports  [][]byte
	Funcs    []int // types
	Tables   [][]byte
	Memories [][]byte
	Globals  [][]byte
	Exports  [][]byte
	Start    []int // of at most one function
	Elements [][]byte
	Code     [][]byte // bodies, with their local variables and the last end
	Data     [][]byte
	Names    []string // of the functions, imports included; empty for none
}

// Bytes is the module.
func (c Core) Bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, parts [][]byte) {
		if len(parts) > 0 {
			out = append(append(out, id), Sized(Vec(parts...))...)
		}
	}
	section(1, c.Types)
	section(2, c.Imports)
	var funcs, bodies, names [][]byte
	for i, t := range c.Funcs {
		funcs = append(funcs, Num(t))
		bodies = append(bodies, Sized(c.Code[i]))
	}
	section(3, funcs)
	section(4, c.Tables)
	section(5, c.Memories)
	section(6, c.Globals)
	section(7, c.Exports)
	for _, s := range c.Start {
		out = append(append(out, 8), Sized(Num(s))...)
	}
	section(9, c.Elements)
	section(10, bodies)
	section(11, c.Data)
	for i, n := range c.Names {
		if n != "" {
			names = append(names, Cat(Num(i), Name(n)))
		}
	}
	if names != nil {
		out = append(append(out, 0), Sized(Name("name"), []byte{1}, Sized(Vec(names...)))...)
	}
	return out
}

// CoreType is a function type: "iI:i" takes an i32 and an i64 and returns an i32.
func CoreType(sig string) []byte {
	params, results, _ := strings.Cut(sig, ":")
	types := func(s string) []byte {
		return Name(strings.NewReplacer("i", "\x7f", "I", "\x7e", "f", "\x7d", "F", "\x7c").Replace(s))
	}
	return Cat([]byte{0x60}, types(params), types(results))
}

// CoreImport is an import; desc is its kind and type.
func CoreImport(module, name string, desc ...byte) []byte { return Cat(Name(module), Name(name), desc) }

// CoreExport is an export.
func CoreExport(name string, sort byte, index int) []byte {
	return Cat(Name(name), []byte{sort}, Num(index))
}

// Body is a function without local variables.
func Body(code ...byte) []byte { return append([]byte{0}, append(code, 0x0b)...) }

// Trampolines is a module like the shims of wit-component: functions of the types of sigs, named by
// numbers, that call what is in the table $imports at the same number.
func Trampolines(sigs ...string) []byte {
	c := Core{Tables: [][]byte{Cat([]byte{0x70, 1}, Num(len(sigs)), Num(len(sigs)))}}
	for i, s := range sigs {
		c.Types = append(c.Types, CoreType(s))
		c.Funcs = append(c.Funcs, i)
		var code []byte
		params, _, _ := strings.Cut(s, ":")
		for p := range len(params) {
			code = append(code, 0x20, byte(p))
		}
		code = append(code, 0x41)
		code = append(code, Index(i)...) // small enough for a signed number to be written alike
		c.Code = append(c.Code, Body(append(code, 0x11, byte(i), 0)...))
		c.Exports = append(c.Exports, CoreExport(itoa(i), CoreFunc, i))
	}
	c.Exports = append(c.Exports, CoreExport("$imports", CoreTable, 0))
	return c.Bytes()
}

// Fixups is the module that fills the table of Trampolines.
func Fixups(sigs ...string) []byte {
	var c Core
	funcs := Num(len(sigs))
	for i, s := range sigs {
		c.Types = append(c.Types, CoreType(s))
		c.Imports = append(c.Imports, CoreImport("", itoa(i), 0, byte(i)))
		funcs = append(funcs, byte(i))
	}
	c.Imports = append(c.Imports, CoreImport("", "$imports", Cat([]byte{1, 0x70, 1}, Num(len(sigs)), Num(len(sigs)))...))
	c.Elements = [][]byte{Cat([]byte{0, 0x41, 0, 0x0b}, funcs)}
	return c.Bytes()
}

func itoa(i int) string {
	if i >= 10 {
		return itoa(i/10) + itoa(i%10)
	}
	return string(rune('0' + i))
}
