package component_test

import (
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"

	. "github.com/terrane/terrane/internal/engine/component/comptest"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

// cases are the parts of a component that tests change.
type parts struct {
	main    Core
	opts    [][]byte // of the lowering of say, behind memory and realloc
	version string
	after   func(b *Builder)
}

// program is a component like those of wit-component: main has the memory and calls the host
// through trampolines, which are filled by fix-ups. It imports say: func(s: string) -> string
// and tick: func() of t:t/host, and exports run of wasi:cli/run, which calls say with "hi"
// and writes what it gets to address 64; then tick; then it returns what the test wants.
func program() *parts {
	return &parts{version: "0.2.3", main: Core{
		Types: [][]byte{CoreType("iii:"), CoreType(":"), CoreType(":i"), CoreType("iiii:i"), CoreType("i:")},
		Imports: [][]byte{
			CoreImport("t:t/host", "say", 0, 0), CoreImport("t:t/host", "tick", 0, 1),
		},
		Funcs:    []int{2, 3, 4, 1},
		Memories: [][]byte{{0, 1}},
		Globals:  [][]byte{{0x7f, 0, 0x41, 8, 0x0b}, {0x7f, 1, 0x41, 0xc0, 0, 0x0b}},
		Exports: [][]byte{
			CoreExport("memory", CoreMemory, 0), CoreExport("run", CoreFunc, 2), CoreExport("realloc", CoreFunc, 3),
			CoreExport("post", CoreFunc, 4), CoreExport("where", CoreGlobal, 0), CoreExport("mutable", CoreGlobal, 1), CoreExport("init", CoreFunc, 5),
		},
		Code: [][]byte{
			// run: say(8, 2, 64); tick(); 1
			Body(0x41, 8, 0x41, 2, 0x41, 0xc0, 0, 0x10, 0, 0x10, 1, 0x41, 1),
			// realloc: 1024 + the alignment
			Body(0x20, 2, 0x41, 0x80, 8, 0x6a),
			// post: store its argument at 72
			Body(0x41, 0xc8, 0, 0x20, 0, 0x36, 2, 0),
			// init: store 7 at 76
			Body(0x41, 0xcc, 0, 0x41, 7, 0x36, 2, 0),
		},
		Data:  [][]byte{Cat([]byte{0, 0x41, 8, 0x0b}, Name("hi"))},
		Names: []string{"", "", "main_run", "main_realloc", "main_post", "main_init"},
	}}
}

func (p *parts) build() []byte {
	b := New()
	host := b.Type(InstanceType(
		DeclType(FuncType(String, Field("s", String))), DeclExport("say", FuncDesc(0)),
		DeclType(FuncType("")), DeclExport("tick", FuncDesc(1))))
	b.Import("t:t/host@"+p.version, Instance, InstanceDesc(host))
	main := b.CoreModule(p.main.Bytes())
	shim := b.CoreModule(Trampolines("iii:", ":"))
	// The adapter has globals of its own, and segments that are placed by a global of main.
	adapter := b.CoreModule(Core{
		Types:   [][]byte{CoreType(":")},
		Imports: [][]byte{CoreImport("m", "memory", 2, 0, 1), CoreImport("m", "where", 3, 0x7f, 0), CoreImport("m", "tick", 0, 0)},
		Funcs:   []int{0}, Globals: [][]byte{{0x7f, 1, 0x23, 0, 0x0b}},
		Exports: [][]byte{CoreExport("tick", CoreFunc, 1)},
		// tick: store global 1 at 80, then the host's tick
		Code: [][]byte{Body(0x41, 0xd0, 0, 0x23, 1, 0x36, 2, 0, 0x10, 0)},
		Data: [][]byte{Cat([]byte{0, 0x23, 0, 0x0b}, Name("ho"))},
	}.Bytes())
	fixups := b.CoreModule(Fixups("iii:", ":"))
	shims := b.CoreInstantiate(shim)
	args := b.CoreBundle(CoreArg("say", CoreFunc, b.CoreAlias(CoreFunc, shims, "0")), CoreArg("tick", CoreFunc, b.CoreAlias(CoreFunc, shims, "1")))
	mains := b.CoreInstantiate(main, Arg{Name: "t:t/host", Index: args})
	memory := b.CoreAlias(CoreMemory, mains, "memory")
	tick := b.Lower(b.Alias(Func, 0, "tick"))
	env := b.CoreBundle(CoreArg("memory", CoreMemory, memory), CoreArg("where", CoreGlobal, b.CoreAlias(CoreGlobal, mains, "where")), CoreArg("tick", CoreFunc, tick))
	adapters := b.CoreInstantiate(adapter, Arg{Name: "m", Index: env})
	realloc := b.CoreAlias(CoreFunc, mains, "realloc")
	say := b.Lower(b.Alias(Func, 0, "say"), append([][]byte{Memory(memory), Realloc(realloc)}, p.opts...)...)
	fill := b.CoreBundle(CoreArg("0", CoreFunc, say), CoreArg("1", CoreFunc, b.CoreAlias(CoreFunc, adapters, "tick")),
		CoreArg("$imports", CoreTable, b.CoreAlias(CoreTable, shims, "$imports")))
	b.CoreInstantiate(fixups, Arg{Name: "", Index: fill})
	result := b.Type(Result())
	run := b.Lift(b.CoreAlias(CoreFunc, mains, "run"), b.Type(FuncType(Index(result))), PostReturn(b.CoreAlias(CoreFunc, mains, "post")))
	// wit-component exports by a component that only passes on.
	pass := New()
	passed := pass.Import("import-func-run", Func, FuncDesc(pass.Type(FuncType(Index(pass.Type(Result()))))))
	pass.Export("run", Func, passed)
	b.Export("wasi:cli/run@"+p.version, Instance, b.Instantiate(b.Nested(pass), Item("import-func-run", Func, run)))
	if p.after != nil {
		p.after(b)
	}
	return b.Bytes()
}

func (p *parts) host(t *testing.T) *machine {
	h := &machine{T: t, blocks: []uint64{4<<32 | 2}}
	h.calls = map[string]hostcall{
		"t:t/host@" + p.version + " say": func(m api.Memory, a []uint64) []uint64 {
			if got := text(m, a[0], a[1]); got != "ho" { // the adapter's segment is the later one
				t.Errorf("say(%q), want ho", got)
			}
			return nil
		},
		"t:t/host@" + p.version + " tick": func(m api.Memory, _ []uint64) []uint64 {
			if v, _ := m.ReadUint32Le(80); v != 8 {
				t.Errorf("the adapter's global is %d, want 8", v)
			}
			return nil
		},
		"terrane:abi program": func(api.Memory, []uint64) []uint64 { return nil },
		"terrane:abi ran": func(_ api.Memory, a []uint64) []uint64 {
			if a[0] != 1 {
				t.Errorf("ran(%d), want 1", a[0])
			}
			return nil
		},
	}
	return h
}

// TestFuse runs a component with trampolines, an adapter with a start function and globals,
// a constant that is imported, an allocation and a post-return.
func TestFuse(t *testing.T) {
	p := program()
	p.main.Start = []int{5}
	h := p.host(t)
	ran := h.calls["terrane:abi ran"]
	h.calls["terrane:abi ran"] = func(m api.Memory, a []uint64) []uint64 {
		if v, _ := m.ReadUint32Le(76); v != 7 {
			t.Errorf("the start function has stored %d, want 7", v)
		}
		if v, _ := m.ReadUint32Le(72); v != 0 {
			t.Error("post-return came before the result was passed on")
		}
		return ran(m, a)
	}
	posted := false
	h.after = func(m api.Memory) { v, _ := m.ReadUint32Le(72); posted = v == 1 }
	if err := h.run(fuse(t, p.build()).Module); err != nil {
		t.Fatal(err)
	}
	h.sees("program say tick ran")
	if !posted {
		t.Error("post-return did not get the result")
	}
	if len(h.given) != 1 || h.given[0] != 1024+4 {
		t.Errorf("blocks at %v, want 1028: realloc is given the alignment 4", h.given)
	}
}

// TestEncoding wants another encoding than UTF-8 in the name of an import.
func TestEncoding(t *testing.T) {
	p := program()
	p.opts = [][]byte{UTF16()}
	h := p.host(t)
	h.calls["t:t/host@0.2.3 say|utf16"] = h.calls["t:t/host@0.2.3 say"]
	delete(h.calls, "t:t/host@0.2.3 say")
	if err := h.run(fuse(t, p.build()).Module); err != nil {
		t.Fatal(err)
	}
	h.sees("program say|utf16 tick ran")
}

// TestNames wants the names of functions in the fused module's traps.
func TestNames(t *testing.T) {
	p := program()
	p.main.Code[0] = Body(0x00)
	err := p.host(t).run(fuse(t, p.build()).Module)
	if err == nil || !strings.Contains(err.Error(), ".main_run(") || !strings.Contains(err.Error(), ".run(") {
		t.Errorf("%v, want a trap in main_run, called by run", err)
	}
}

// TestTables runs core modules that have a table each, and one that makes a reference of a function
// which its exports alone declare.
func TestTables(t *testing.T) {
	constant := func(n byte) []byte { // get: what is in slot 0 of the table, a function that returns n
		return Core{
			Types: [][]byte{CoreType(":i")}, Funcs: []int{0, 0}, Tables: [][]byte{{0x70, 0, 1}},
			Exports:  [][]byte{CoreExport("get", CoreFunc, 1)},
			Elements: [][]byte{{0, 0x41, 0, 0x0b, 1, 0}},
			Code:     [][]byte{Body(0x41, n), Body(0x41, 0, 0x11, 0, 0)},
		}.Bytes()
	}
	b := New()
	var args []Arg
	for i, name := range []string{"a", "b"} {
		in := b.CoreInstantiate(b.CoreModule(constant(byte(i + 1))))
		args = append(args, CoreArg(name, CoreFunc, b.CoreAlias(CoreFunc, in, "get")))
	}
	main := b.CoreModule(Core{
		Types:    [][]byte{CoreType(":i")},
		Imports:  [][]byte{CoreImport("m", "a", 0, 0), CoreImport("m", "b", 0, 0)},
		Funcs:    []int{0},
		Memories: [][]byte{{0, 1}},
		Exports:  [][]byte{CoreExport("run", CoreFunc, 2)},
		// store a() at 16 and b() at 20; a reference of run; 0
		Code: [][]byte{Body(0x41, 16, 0x10, 0, 0x36, 2, 0, 0x41, 20, 0x10, 1, 0x36, 2, 0, 0xd2, 2, 0xd1, 0x1a, 0x41, 0)},
	}.Bytes())
	run := b.CoreAlias(CoreFunc, b.CoreInstantiate(main, Item("m", "", b.CoreBundle(args...))), "run")
	b.Export("wasi:cli/run@0.2.0", Instance, b.Bundle(Item("run", Func, b.Lift(run, b.Type(FuncType(Index(b.Type(Result()))))))))
	nothing := func(api.Memory, []uint64) []uint64 { return nil }
	h := &machine{T: t, calls: map[string]hostcall{"terrane:abi program": nothing, "terrane:abi ran": nothing}}
	var got [2]uint32
	h.after = func(m api.Memory) { got[0], _ = m.ReadUint32Le(16); got[1], _ = m.ReadUint32Le(20) }
	if err := h.run(fuse(t, b.Bytes()).Module); err != nil || got != [2]uint32{1, 2} {
		t.Errorf("%v, %v; want 1 and 2", got, err)
	}
}

// TestChangedTable wants the trampolines to stay if other code can change their table.
func TestChangedTable(t *testing.T) {
	p := program()
	p.after = func(b *Builder) {
		m := b.CoreModule(Core{
			Types:   [][]byte{CoreType(":")},
			Imports: [][]byte{CoreImport("m", "t", 1, 0x70, 0, 0)},
			Funcs:   []int{0},
			Code:    [][]byte{Body(0x41, 0, 0xd0, 0x70, 0x26, 0)}, // table.set 0, null
		}.Bytes())
		b.CoreInstantiate(m, Item("m", "", b.CoreBundle(CoreArg("t", CoreTable, b.CoreAlias(CoreTable, 0, "$imports")))))
	}
	f := fuse(t, p.build())
	if m, err := wasmbin.Decode(f.Module); err != nil || len(m.Tables) != 1 {
		t.Fatalf("%v; want the table of the trampolines", err)
	}
	h := p.host(t)
	if err := h.run(f.Module); err != nil {
		t.Fatal(err)
	}
	h.sees("program say tick ran")
}
