package compbin_test

import (
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/engine/component/compbin"
	. "github.com/terrane/terrane/internal/engine/component/comptest"
)

// core has a memory, a realloc and functions of the types of sigs, named f0, f1 and so on.
func core(b *Builder, sigs ...string) (instance, memory, realloc int, funcs []int) {
	c := Core{
		Types: [][]byte{CoreType("iiii:i")}, Funcs: []int{0}, Memories: [][]byte{{0, 1}}, Code: [][]byte{Body(0x00)},
		Exports: [][]byte{CoreExport("memory", CoreMemory, 0), CoreExport("realloc", CoreFunc, 0)},
	}
	for i, s := range sigs {
		c.Types, c.Funcs, c.Code = append(c.Types, CoreType(s)), append(c.Funcs, i+1), append(c.Code, Body(0x00))
		c.Exports = append(c.Exports, CoreExport("f"+string(rune('0'+i)), CoreFunc, i+1))
	}
	instance = b.CoreInstantiate(b.CoreModule(c.Bytes()))
	memory, realloc = b.CoreAlias(CoreMemory, instance, "memory"), b.CoreAlias(CoreFunc, instance, "realloc")
	for i := range sigs {
		funcs = append(funcs, b.CoreAlias(CoreFunc, instance, "f"+string(rune('0'+i))))
	}
	return instance, memory, realloc, funcs
}

// point is a record type that has no name yet.
func point() []byte { return Record(Field("x", U32), Field("y", U32)) }

func TestValid(t *testing.T) {
	for name, define := range map[string]func(b *Builder){
		"a function of an imported type": func(b *Builder) {
			p := b.Import("point", Type, EqDesc(b.Type(point())))
			b.Import("f", Func, FuncDesc(b.Type(FuncType(Index(p)))))
		},
		"methods": func(b *Builder) {
			r := b.Import("r", Type, ResourceDesc())
			own, borrow := Index(b.Type(Own(r))), Index(b.Type(Borrow(r)))
			b.Import("[constructor]r", Func, FuncDesc(b.Type(FuncType(own))))
			b.Import("[method]r.m", Func, FuncDesc(b.Type(FuncType("", Field("self", borrow)))))
			b.Import("[static]r.s", Func, FuncDesc(b.Type(FuncType(""))))
			b.ResourceDrop(r)
		},
		"words and acronyms": func(b *Builder) {
			b.Import("a-B2-3c", Func, FuncDesc(b.Type(FuncType("", Field("DNS-name", U8)))))
		},
		"interfaces of two versions": func(b *Builder) {
			i := b.Type(InstanceType())
			b.Import("a:b/c@1.0.0", Instance, InstanceDesc(i))
			b.Import("a:b/c@1.0.1-rc.1+build", Instance, InstanceDesc(i))
		},
		"a component that is given what it imports": func(b *Builder) {
			in := New()
			r := in.Import("r", Type, ResourceDesc())
			in.Import("f", Func, FuncDesc(in.Type(FuncType(Index(in.Type(Own(r)))))))
			out := b.Import("r", Type, ResourceDesc())
			f := b.Import("f", Func, FuncDesc(b.Type(FuncType(Index(b.Type(Own(out)))))))
			b.Instantiate(b.Nested(in), Item("r", Type, out), Item("f", Func, f))
		},
		"a named type that passes through a component": func(b *Builder) {
			in := New()
			p := in.Import("p", Type, EqDesc(in.Type(point())))
			in.Export("pair", Type, in.Type(Record(Field("a", Index(p)))))
			out := b.Import("p", Type, EqDesc(b.Type(point())))
			b.Export("pair", Type, b.Alias(Type, b.Instantiate(b.Nested(in), Item("p", Type, out)), "pair"))
		},
		"strings both ways": func(b *Builder) {
			_, memory, realloc, f := core(b, "ii:i", "i:")
			typ := b.Type(FuncType(String, Field("s", String)))
			b.Lift(f[0], typ, Memory(memory), Realloc(realloc), PostReturn(f[1]), UTF16())
			b.Lower(b.Import("g", Func, FuncDesc(typ)), Memory(memory), Realloc(realloc))
		},
		"seventeen arguments": func(b *Builder) {
			var params [][]byte
			for i := range 17 {
				params = append(params, Field("p"+string(rune('a'+i)), U32))
			}
			_, memory, realloc, f := core(b, "i:")
			b.Lift(f[0], b.Type(FuncType("", params...)), Memory(memory), Realloc(realloc))
		},
	} {
		b := New()
		define(b)
		if _, err := compbin.Decode(b.Bytes(), compbin.Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInvalid(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(b *Builder)
		want string
	}{
		{"a type without a name", func(b *Builder) { b.Import("f", Func, FuncDesc(b.Type(FuncType(Index(b.Type(point())))))) }, "neither imported nor exported under a name"},
		{"a resource without a name", func(b *Builder) {
			b.Export("f", Func, b.Lift(b.ResourceDrop(b.Type(Resource())), b.Type(FuncType("", Field("a", Index(b.Type(Own(0))))))))
		}, "neither imported nor exported"},
		{"no kebab case", func(b *Builder) { b.Import("aB", Func, FuncDesc(b.Type(FuncType("")))) }, "not a valid name"},
		{"an underscore", func(b *Builder) { b.Type(Record(Field("a_b", U8))) }, "not in kebab case"},
		{"no version", func(b *Builder) { b.Import("a:b/c@1.0", Instance, InstanceDesc(b.Type(InstanceType()))) }, "not a valid name"},
		{"a leading zero", func(b *Builder) { b.Import("a:b/c@1.00.0", Instance, InstanceDesc(b.Type(InstanceType()))) }, "not a valid name"},
		{"an address", func(b *Builder) { b.Import("url=<https://a.test>", Instance, InstanceDesc(b.Type(InstanceType()))) }, "addresses are not supported"},
		{"names that differ by case", func(b *Builder) {
			f := b.Type(FuncType(""))
			b.Import("a-b", Func, FuncDesc(f))
			b.Import("A-b", Func, FuncDesc(f))
		}, "differs from another one by its case"},
		{"a method without its resource", func(b *Builder) { b.Import("[static]r.s", Func, FuncDesc(b.Type(FuncType("")))) }, "neither imported nor exported before"},
		{"a method without self", func(b *Builder) {
			b.Import("r", Type, ResourceDesc())
			b.Import("[method]r.m", Func, FuncDesc(b.Type(FuncType("", Field("other", U8)))))
		}, "must be self: borrow<r>"},
		{"a constructor of something else", func(b *Builder) {
			b.Import("r", Type, ResourceDesc())
			b.Import("[constructor]r", Func, FuncDesc(b.Type(FuncType(U8))))
		}, "must return own<r>"},
		{"a borrow in a result", func(b *Builder) { b.Type(FuncType(Index(b.Type(Borrow(b.Import("r", Type, ResourceDesc())))))) }, "returns a borrowed resource"},
		{"an empty record", func(b *Builder) { b.Type(Record()) }, "without a part"},
		{"fields of one name", func(b *Builder) { b.Type(Record(Field("a", U8), Field("A", U8))) }, `two fields are named "A"`},
		{"33 flags", func(b *Builder) {
			var names [][]byte
			for i := range 33 {
				names = append(names, Name("f"+strings.Repeat("a", i)))
			}
			b.Type(append([]byte{0x6e}, Vec(names...)...))
		}, "33 flags"},
		{"a stream of characters", func(b *Builder) { b.Type(append([]byte{0x66, 1}, Char...)) }, "stream of characters"},
		{"a function as a value", func(b *Builder) { b.Type(List(Index(b.Type(FuncType(""))))) }, "type 0 is not a value type"},
		{"an index that is not there yet", func(b *Builder) { b.Type(List(Index(0))) }, "type 0 of 0"},
		{"a missing import", func(b *Builder) {
			in := New()
			in.Import("f", Func, FuncDesc(in.Type(FuncType(""))))
			b.Instantiate(b.Nested(in))
		}, `the import "f" of component 0 is missing`},
		{"an import of another type", func(b *Builder) {
			in := New()
			in.Import("f", Func, FuncDesc(in.Type(FuncType(""))))
			b.Instantiate(b.Nested(in), Item("f", Func, b.Import("f", Func, FuncDesc(b.Type(FuncType(U8))))))
		}, "where func() is expected"},
		{"another resource", func(b *Builder) {
			in := New()
			r := in.Import("r", Type, ResourceDesc())
			in.Import("same", Type, EqDesc(r))
			b.Instantiate(b.Nested(in), Item("r", Type, b.Import("a", Type, ResourceDesc())), Item("same", Type, b.Import("b", Type, ResourceDesc())))
		}, "the resource b where"},
		{"resources of two instances", func(b *Builder) {
			in := New()
			in.Export("r", Type, in.Type(Resource()))
			c := b.Nested(in)
			one, two := b.Alias(Type, b.Instantiate(c), "r"), b.Alias(Type, b.Instantiate(c), "r")
			same := New()
			same.Import("same", Type, EqDesc(same.Import("r", Type, ResourceDesc())))
			b.Instantiate(b.Nested(same), Item("r", Type, one), Item("same", Type, two))
		}, "the resource r where"},
		{"a resource of the outside", func(b *Builder) {
			b.Type(Resource())
			in := New()
			in.Outer(Type, 1, 0)
			b.Nested(in)
		}, "refers to resources of the outer component"},
		{"a resource in a type", func(b *Builder) { b.Type(InstanceType(DeclType(Resource()))) }, "cannot be defined in a type"},
		{"resource.rep of an import", func(b *Builder) { b.Canon([]byte{4}, Num(b.Import("r", Type, ResourceDesc()))) }, "not a resource that this component defines"},
		{"an export given a type that it has not", func(b *Builder) {
			f := b.Import("f", Func, FuncDesc(b.Type(FuncType(""))))
			b.ExportAs("g", Func, f, FuncDesc(b.Type(FuncType(U8))))
		}, `export "g"`},
		{"a core function of another type", func(b *Builder) { _, _, _, f := core(b, "i:"); b.Lift(f[0], b.Type(FuncType(""))) }, "it must be () -> nothing"},
		{"no memory", func(b *Builder) { _, _, _, f := core(b, "ii:"); b.Lift(f[0], b.Type(FuncType("", Field("s", String)))) }, "needs a memory"},
		{"no realloc", func(b *Builder) {
			_, memory, _, f := core(b, "ii:")
			b.Lift(f[0], b.Type(FuncType("", Field("s", String))), Memory(memory))
		}, "needs realloc"},
		{"a realloc of another type", func(b *Builder) {
			_, memory, _, f := core(b, "ii:")
			b.Lift(f[0], b.Type(FuncType("", Field("s", String))), Memory(memory), Realloc(f[0]))
		}, "the function of realloc is"},
		{"a post-return of another type", func(b *Builder) {
			_, _, _, f := core(b, ":", "i:")
			b.Lift(f[0], b.Type(FuncType("")), PostReturn(f[1]))
		}, "the function of post-return is"},
		{"post-return of a lowering", func(b *Builder) {
			_, _, _, f := core(b, ":")
			b.Lower(b.Import("f", Func, FuncDesc(b.Type(FuncType("")))), PostReturn(f[0]))
		}, "for functions that are lifted"},
		{"two memories", func(b *Builder) {
			_, memory, _, f := core(b, ":")
			b.Lift(f[0], b.Type(FuncType("")), Memory(memory), Memory(memory))
		}, "there twice"},
		{"a missing core import", func(b *Builder) {
			b.CoreInstantiate(b.CoreModule(Core{Types: [][]byte{CoreType(":")}, Imports: [][]byte{CoreImport("m", "f", 0, 0)}}.Bytes()))
		}, `nothing is given as "m"`},
		{"a core import of another type", func(b *Builder) {
			_, _, realloc, _ := core(b)
			m := b.CoreModule(Core{Types: [][]byte{CoreType(":")}, Imports: [][]byte{CoreImport("m", "f", 0, 0)}}.Bytes())
			b.CoreInstantiate(m, Item("m", "", b.CoreBundle(CoreArg("f", CoreFunc, realloc))))
		}, "where () -> nothing is expected"},
		{"a memory that is too small", func(b *Builder) {
			_, memory, _, _ := core(b)
			m := b.CoreModule(Core{Imports: [][]byte{CoreImport("m", "m", 2, 0, 2)}}.Bytes())
			b.CoreInstantiate(m, Item("m", "", b.CoreBundle(CoreArg("m", CoreMemory, memory))))
		}, "limits from 1 where from 2"},
		{"an export that is not there", func(b *Builder) { i, _, _, _ := core(b); b.CoreAlias(CoreFunc, i, "nope") }, `has no export "nope"`},
		{"an export of another sort", func(b *Builder) { i, _, _, _ := core(b); b.CoreAlias(CoreFunc, i, "memory") }, "is a memory, not a function"},
	} {
		b := New()
		tt.make(b)
		_, err := compbin.Decode(b.Bytes(), compbin.Limits{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want an error with %q", tt.name, err, tt.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b := New()
	_, memory, realloc, funcs := core(b, "ii:i")
	b.Export("f", Func, b.Lift(funcs[0], b.Type(FuncType(String, Field("s", String))), Memory(memory), Realloc(realloc)))
	f.Add(b.Bytes())
	b = New()
	in := New()
	r := in.Import("r", Type, ResourceDesc())
	in.Import("[static]r.f", Func, FuncDesc(in.Type(FuncType(Index(in.Type(Own(r)))))))
	b.Nested(in)
	b.Type(InstanceType(DeclType(point()), DeclExport("point", EqDesc(0)), DeclAlias(OuterAlias(Type, 1, 0))))
	f.Add(b.Bytes())
	b = New()
	b.Section(3, Vec(Cat([]byte{0x50}, Vec(Cat([]byte{1}, CoreType("i:i")), Cat([]byte{3}, CoreExport("f", 0, 0))))))
	f.Add(b.Bytes())
	f.Fuzz(func(_ *testing.T, wasm []byte) {
		_, _ = compbin.Decode(wasm, compbin.Limits{Items: 10_000, Effort: 100_000})
	})
}
