package component_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/engine/component"
	"github.com/terrane/terrane/internal/engine/component/compbin"
	. "github.com/terrane/terrane/internal/engine/component/comptest"
)

// TestVersion keeps what an earlier version has fused from being taken for what this one makes.
func TestVersion(t *testing.T) {
	h := sha256.New()
	for _, wasm := range [][]byte{readFile(t, "testdata/http-c/hello.wasm"), program().build()} {
		h.Write(fuse(t, wasm).Module)
	}
	if sum := hex.EncodeToString(h.Sum(nil)[:8]); sum != component.Version {
		t.Errorf("components are fused otherwise than before: set Version to %q", sum)
	}
}

// deep is components in components.
func deep(n int) *Builder {
	b := New()
	for range n {
		outer := New()
		outer.Nested(b)
		b = outer
	}
	return b
}

// bomb is components each of which instantiates the one before twice.
func bomb(n int) []byte {
	inner := New()
	inner.CoreInstantiate(inner.CoreModule(Core{Memories: [][]byte{{0, 1}}}.Bytes()))
	for range n {
		outer := New()
		c := outer.Nested(inner)
		outer.Instantiate(c)
		outer.Instantiate(c)
		inner = outer
	}
	return inner.Bytes()
}

// wide is types each of which has the one before twice.
func wide(n int) []byte {
	b := New()
	last := b.Type(Record(Field("a", U8), Field("b", U8)))
	for range n {
		last = b.Type(Record(Field("a", Index(last)), Field("b", Index(last))))
	}
	return b.Bytes()
}

// wideBomb is a component with an instance of n exports, in components each of which instantiates the
// one before twice.
func wideBomb(n, depth int) []byte {
	inner := New()
	f := inner.Lift(inner.CoreAlias(CoreFunc, inner.CoreInstantiate(inner.CoreModule(Core{
		Types: [][]byte{CoreType(":")}, Funcs: []int{0}, Code: [][]byte{Body()}, Exports: [][]byte{CoreExport("f", CoreFunc, 0)},
	}.Bytes())), "f"), inner.Type(FuncType("")))
	c := New()
	c.Import("f", Func, FuncDesc(c.Type(FuncType(""))))
	var all []Arg
	for i := range n {
		all = append(all, Item("f"+strings.Repeat("a", i%50)+strings.Repeat("-b", i/50), Func, 0))
	}
	c.Export("i", Instance, c.Bundle(all...))
	for range depth {
		outer := New()
		f := outer.Import("f", Func, FuncDesc(outer.Type(FuncType(""))))
		nested := outer.Nested(c)
		for range 2 {
			outer.Instantiate(nested, Item("f", Func, f))
		}
		c = outer
	}
	inner.Instantiate(inner.Nested(c), Item("f", Func, f))
	return inner.Bytes()
}

func TestFuseRefuses(t *testing.T) {
	whole := program().build()
	for _, tt := range []struct {
		name string
		wasm []byte
		want string
	}{
		{"empty component", New().Bytes(), "exports neither wasi:http/incoming-handler nor wasi:cli/run"},
		{"cut header", []byte(Header)[:7], "ends after 7 bytes"},
		{"newer version", []byte("\x00asm\x0e\x00\x01\x00"), "version 14"},
		{"core module inside", func() []byte { b := New(); b.Section(4, Core{}.Bytes()); return b.Bytes() }(), "a core module where a component is expected"},
		{"cut section", whole[:len(whole)-1], "ends too early"},
		{"unknown section", func() []byte { b := New(); b.Section(13, nil); return b.Bytes() }(), "section 13"},
		{"trailing bytes", func() []byte { b := New(); b.Section(7, []byte{0, 0}); return b.Bytes() }(), "section 7 has 1 bytes too many"},
		{"huge count", func() []byte { b := New(); b.Section(7, []byte{0xff, 0xff, 3, 0}); return b.Bytes() }(), "ends too early"},
		{"core module that is none", func() []byte { b := New(); b.CoreModule([]byte("\x00asm\x02\x00\x00\x00")); return b.Bytes() }(), "the core module at byte 10: this is WebAssembly of version 02"},
		{"64-bit memory", func() []byte { b := New(); b.CoreModule(Core{Memories: [][]byte{{4, 1}}}.Bytes()); return b.Bytes() }(), "64-bit memories"},
		{"too deep", deep(33).Bytes(), "nested more than 32 deep"},
		{"grows exponentially", bomb(20), "the component instantiates more than 100 core modules"},
		{"instances of many exports", wideBomb(1000, 8), "more than 100000 definitions"},
		{"too many definitions", func() []byte {
			b := New()
			b.Section(7, Num(60_000), bytes.Repeat([]byte(U8), 60_000))
			return b.Bytes()
		}(), "more than 50000 definitions"},
		{"types grow exponentially", wide(40), "has too many parts"},
		{"instance of itself", func() []byte { b := New(); b.Instantiate(0); return b.Bytes() }(), "component 0 of 0"},
		{"alias too far outside", func() []byte { b := New(); b.Outer(Type, 1, 0); return b.Bytes() }(), "leads 1 scopes outside"},
		{"several memories", func() []byte {
			p := program()
			p.after = func(b *Builder) { b.CoreInstantiate(b.CoreModule(Core{Memories: [][]byte{{0, 1}}}.Bytes())) }
			return p.build()
		}(), "several memories"},
		{"calls itself", func() []byte { p := program(); p.after = func(b *Builder) { b.Lower(2) }; return p.build() }(), "composed of several components"},
		{"resources", func() []byte {
			p := program()
			p.after = func(b *Builder) { b.ResourceDrop(b.Type(Resource())) }
			return p.build()
		}(), "defines resources of its own"},
		{"built-ins of 0.3", func() []byte { b := New(); b.Canon([]byte{0x1f}); return b.Bytes() }(), "waitable-set.new"},
		{"threads", func() []byte { b := New(); b.Canon([]byte{0x27, 0, 0}); return b.Bytes() }(), "thread.new-indirect"},
		{"newer interface", func() []byte { p := program(); p.version = "0.3.0"; return p.build() }(), "exports wasi:cli/run@0.3.0; this edge runs version 0.2.x"},
		{"release candidate", func() []byte { p := program(); p.version = "0.2.0-rc-2023-12-05"; return p.build() }(), "exports wasi:cli/run@0.2.0-rc-2023-12-05; this edge"},
		{"values", func() []byte { b := New(); b.Section(12, []byte{0}); return b.Bytes() }(), "values and start functions"},
		{"imported module", func() []byte {
			b := New()
			b.Section(3, Vec([]byte{0x50, 0}))
			b.Section(10, Vec(Cat(Extern("m"), []byte{0, 0x11, 0})))
			return b.Bytes()
		}(), `imports the core module "m"`},
	} {
		f, err := component.Fuse(tt.wasm, component.Limits{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v; want an error with %q", tt.name, f != nil, err, tt.want)
		}
	}
}

// TestFuseTakesPrefixes wants an error, and no panic, for a component that was cut.
func TestFuseTakesPrefixes(t *testing.T) {
	for _, wasm := range [][]byte{readFile(t, "testdata/http-c/hello.wasm"), program().build()} {
		for n := 0; n < len(wasm); n += 7 {
			if _, err := component.Fuse(wasm[:n], component.Limits{}); err == nil && n < len(wasm)/2 {
				t.Fatalf("the first %d bytes are fused", n)
			}
		}
	}
}

// TestFuseEnds wants inputs that are made to take long to end: the limits hold before the work.
func TestFuseEnds(t *testing.T) {
	for name, wasm := range map[string][]byte{"instances": bomb(25), "exports": wideBomb(2000, 25), "types": wide(5000), "nesting": deep(31).Bytes()} {
		begin := processorTime(t)
		_, _ = component.Fuse(wasm, component.Limits{})
		if took := processorTime(t) - begin; took > 10*time.Second {
			t.Errorf("%s: %d bytes take %v of processor time", name, len(wasm), took)
		}
	}
	l := component.Limits{Limits: compbin.Limits{Size: 100}}
	if _, err := component.Fuse(program().build(), l); err == nil || !strings.Contains(err.Error(), "the limit is 100") {
		t.Errorf("a component beyond Size: %v", err)
	}
}

// processorTime is what this process has used. Unlike the time of day it does not depend on what
// else the machine does.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func FuzzFuse(f *testing.F) {
	f.Add(readFile(f, "testdata/http-c/hello.wasm"))
	f.Add(program().build())
	f.Add(bomb(3))
	f.Add(wide(3))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		out, err := component.Fuse(wasm, component.Limits{Code: 1 << 20, Steps: 10_000})
		if err == nil && len(out.Module) > 8*len(wasm)+4096 {
			t.Errorf("%d bytes become %d", len(wasm), len(out.Module))
		}
	})
}
