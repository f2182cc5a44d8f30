package abi_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi/abi"
	"github.com/terrane/terrane/hostcalls/wasi/abitest"
)

type thing struct{ dropped *int }

func (t *thing) Drop() { *t.dropped++ }

type other struct{ thing }

// kit is an interface that tests call.
func kit(dropped *int) []hostcalls.Func {
	return abi.Functions(abi.Interface{
		Name: "test:kit/types", Version: "0.2",
		Types: `pair = record{a: u8, b: u64, c: string}
			choice = variant{none, small(u8), long(u64), words(list<string>)}
			set = flags{a, b, c, d, e, f, g, h, i}`,
		Resources: []abi.ResourceType{abi.NewResource[*thing]("thing"), abi.NewResource[*other]("other")},
		Funcs: []abi.Func{
			{Name: "echo", Type: "func(s: string) -> string", Do: func(_ context.Context, c *abi.Call) error {
				b, err := c.Text(0)
				if err == nil {
					c.Result().Text(string(b))
				}
				return err
			}},
			{Name: "pairs", Type: "func() -> list<pair>", Do: func(_ context.Context, c *abi.Call) error {
				l := c.Result().List(2)
				for i := range 2 {
					l.At(i).Field(0).Put(uint64(i + 1))
					l.At(i).Field(1).Put(uint64(i) + 1<<40)
					l.At(i).Field(2).Text(strings.Repeat("x", i))
				}
				return nil
			}},
			{Name: "join", Type: "func(l: list<choice>) -> result<string, set>", Do: join},
			{Name: "flat", Type: "func(c: choice, s: set, o: option<pair>) -> u64", Do: func(_ context.Context, c *abi.Call) error { return c.Return(c.U64(1)) }},
			{Name: "new", Type: "func() -> thing", Do: func(_ context.Context, c *abi.Call) error { return c.ReturnNew(&thing{dropped}, 0) }},
			{Name: "child", Type: "func(t: borrow<thing>) -> other", Do: func(_ context.Context, c *abi.Call) error {
				if _, err := abi.Lent[*thing](c, 0); err != nil {
					return err
				}
				return c.ReturnNew(&other{thing{dropped}}, c.U32(0))
			}},
			{Name: "take", Type: "func(t: thing)", Do: func(_ context.Context, c *abi.Call) error {
				_, err := abi.Taken[*thing](c, 0)
				return err
			}},
		},
	})
}

// join joins what the choices have; a choice "none" makes it the flags 257.
func join(_ context.Context, c *abi.Call) error {
	items, err := c.Items(0, 0)
	if err != nil {
		return err
	}
	var out []string
	for i := range items.Len() {
		which, payload, err := items.At(i).Case()
		if err != nil {
			return err
		}
		switch which {
		case 0:
			c.Err().Put(257)
			return nil
		case 1:
			out = append(out, string(rune(payload.U32())))
		case 2:
			out = append(out, string(rune(payload.U64())))
		default:
			words, err := payload.Items()
			if err != nil {
				return err
			}
			for w := range words.Len() {
				b, err := words.At(w).Text()
				if err != nil {
					return err
				}
				out = append(out, string(b))
			}
		}
	}
	c.Ok().Text(strings.Join(out, ","))
	return nil
}

func signature(t *testing.T, funcs []hostcalls.Func, name string) string {
	t.Helper()
	for _, f := range funcs {
		if f.Module == "test:kit/types@0.2" && f.Name == name {
			var out []string
			for _, p := range f.Params {
				out = append(out, p.String())
			}
			out = append(out, "->")
			for _, r := range f.Results {
				out = append(out, r.String())
			}
			return strings.Join(out, " ")
		}
	}
	t.Fatalf("no function %s", name)
	return ""
}

func TestFlattening(t *testing.T) {
	for name, want := range map[string]string{
		"echo":                 "i32 i32 i32 ->",
		"pairs":                "i32 ->",
		"join":                 "i32 i32 i32 ->",
		"flat":                 "i32 i64 i32 i32 i32 i32 i64 i32 i32 -> i64", // the payload is joined of i32, i64 and a list
		"new":                  "-> i32",
		"take":                 "i32 ->",
		"[resource-drop]thing": "i32 ->",
	} {
		if got := signature(t, kit(nil), name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestStrings(t *testing.T) {
	const text = "grüße 𝄞 日本"
	utf16 := func(s string) string {
		var out []byte
		for _, r := range s {
			if r >= 1<<16 {
				r -= 1 << 16
				hi, lo := 0xd800+r>>10, 0xdc00+r&0x3ff
				out = append(out, byte(hi), byte(hi>>8), byte(lo), byte(lo>>8))
				continue
			}
			out = append(out, byte(r), byte(r>>8))
		}
		return string(out)
	}
	const tag = 1 << 31
	for _, tt := range []struct {
		name, suffix, in string
		length           uint64
		trap             string
	}{
		{name: "utf8", in: text, length: uint64(len(text))},
		{name: "utf8 empty"},
		{name: "utf8 cut", in: "\xc3", length: 1, trap: "UTF-8"},
		{name: "utf8 surrogate", in: "\xed\xa0\x80", length: 3, trap: "UTF-8"},
		{name: "utf16", suffix: "|utf16", in: utf16(text), length: 11},
		{name: "utf16 alone", suffix: "|utf16", in: "\x00\xd8", length: 1, trap: "UTF-16"},
		{name: "utf16 reversed", suffix: "|utf16", in: "\x00\xdc\x00\xd8", length: 2, trap: "UTF-16"},
		{name: "utf16 too long", suffix: "|utf16", length: 1 << 31, trap: "outside"},
		{name: "latin1", suffix: "|latin1+utf16", in: "gr\xfc\xdfe", length: 5},
		{name: "latin1 wide", suffix: "|latin1+utf16", in: utf16(text), length: 11 | tag},
		{name: "outside", in: "", length: 5 << 20, trap: "outside"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := abitest.New(t, kit(nil), nil, nil)
			g.Suffix = tt.suffix
			ptr, _ := g.Put(tt.in)
			if tt.trap != "" {
				g.Traps(tt.trap, "test:kit/types echo", ptr, tt.length, abitest.Ret)
				return
			}
			g.Call("test:kit/types echo", ptr, tt.length, abitest.Ret)
			n := uint64(len(tt.in))
			place := g.U32(0)
			if got := string(g.Mem[place : place+n]); got != tt.in || g.U32(4) != tt.length {
				t.Errorf("%q of length %#x, want %q of %#x", got, g.U32(4), tt.in, tt.length)
			}
			if tt.suffix != "" && place%2 != 0 {
				t.Errorf("a string at %d", place)
			}
		})
	}
	g := abitest.New(t, kit(nil), nil, nil)
	g.Suffix = "|utf16"
	g.Traps("multiple of 2", "test:kit/types echo", 4097, 1, abitest.Ret)
}

func TestLists(t *testing.T) {
	g := abitest.New(t, kit(nil), nil, nil)
	g.Call("test:kit/types pairs", abitest.Ret)
	list := g.U32(0)
	if g.U32(4) != 2 || list%8 != 0 {
		t.Fatalf("a list of %d at %d", g.U32(4), list)
	}
	for i := range uint64(2) { // a pair has 24 bytes: 1, padding, 8, 8
		at := list + 24*i
		if g.Mem[at] != byte(i+1) || g.At(at+8) != i || g.At(at+12) != 1<<8 || g.BytesAt(at+16) != strings.Repeat("x", int(i)) {
			t.Errorf("pair %d: % x", i, g.Mem[at:at+24])
		}
	}

	word, n := g.Put("hello")
	words := g.Words(word, n)
	item := func(w ...uint64) []uint64 { return append(w, make([]uint64, 4-len(w))...) } // 16 bytes
	join := func(items ...[]uint64) (uint64, uint64, uint64) {
		var all []uint64
		for _, it := range items {
			all = append(all, it...)
		}
		return g.Words(all...), uint64(len(items)), abitest.Ret
	}
	at, n, ret := join(item(1, 0, 'a'), item(2, 0, 'b'), item(3, 0, words, 1))
	g.Call("test:kit/types join", at, n, ret)
	if g.U8(0) != 0 || g.Bytes(4) != "a,b,hello" {
		t.Errorf("%d %q", g.U8(0), g.Bytes(4))
	}
	at, n, ret = join(item(0))
	g.Call("test:kit/types join", at, n, ret)
	if g.U8(0) != 1 || g.U32(4)&0xffff != 257 {
		t.Errorf("%d %d", g.U8(0), g.U32(4))
	}
	at, n, ret = join(item(4))
	g.Traps("not one of 4 cases", "test:kit/types join", at, n, ret)
	at, n, ret = join(item(3, 0, words, 1<<29))
	g.Traps("outside", "test:kit/types join", at, n, ret)
	g.Traps("multiple of 8", "test:kit/types join", 4100, 1, abitest.Ret)
	g.Traps("outside", "test:kit/types join", 4096, 1<<31, abitest.Ret)
	g.Traps("multiple of 4", "test:kit/types pairs", 1026)
	g.Traps("outside", "test:kit/types pairs", 4<<20-4)
	g.Traps("outside", "test:kit/types pairs", 1<<32-4)
}

func TestAllocatorIsChecked(t *testing.T) {
	for want, place := range map[string]uint32{"multiple of 8": 4, "outside": 4<<20 - 8} {
		g := abitest.New(t, kit(nil), nil, nil)
		g.Realloc = func(uint32, uint32) uint32 { return place }
		g.Traps(want, "test:kit/types pairs", abitest.Ret)
	}
	// While a block is not placed, every other function traps.
	g := abitest.New(t, kit(nil), nil, nil)
	var inner error
	g.Realloc = func(uint32, uint32) uint32 {
		_, inner = g.Try("test:kit/types new")
		return 4096
	}
	_, _ = g.Try("test:kit/types pairs", abitest.Ret)
	if inner == nil || !strings.Contains(inner.Error(), "while memory") {
		t.Errorf("a call within an allocation: %v", inner)
	}
}

func TestHandles(t *testing.T) {
	dropped := 0
	g := abitest.New(t, kit(&dropped), nil, nil)
	const drop, dropOther, take, child = "test:kit/types [resource-drop]thing", "test:kit/types [resource-drop]other", "test:kit/types take", "test:kit/types child"
	a := g.Call("test:kit/types new")
	b := g.Call("test:kit/types new")
	if a == 0 || b == 0 || a == b {
		t.Fatalf("handles %d and %d", a, b)
	}
	for _, wrong := range []uint64{0, 3, 1 << 31, 1<<32 - 1} {
		g.Traps("no handle", drop, wrong)
	}
	of := g.Call(child, a)
	g.Traps("no handle", drop, of)
	g.Traps("no handle", dropOther, a)
	g.Traps("before", drop, a)
	g.Traps("before", take, a)
	g.Call(dropOther, of)
	g.Call(take, a)
	g.Traps("no handle", drop, a)
	g.Call(drop, b)
	g.Traps("no handle", drop, b)
	if dropped != 2 { // the child and b: a was passed away
		t.Errorf("%d were dropped", dropped)
	}
	if again := g.Call("test:kit/types new"); again != a && again != b {
		t.Errorf("handle %d, though %d and %d are free", again, a, b)
	}
	var err error
	for range 5000 {
		if _, err = g.Try("test:kit/types new"); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "too many handles") {
		t.Errorf("5000 handles: %v", err)
	}
	before := dropped
	g.End()
	if dropped-before < 4000 {
		t.Errorf("the end of the request has dropped %d", dropped-before)
	}
}

func TestExitGoesThrough(t *testing.T) {
	g := abitest.New(t, abi.Functions(abi.Interface{Name: "test:kit/exit", Version: "0.2", Funcs: []abi.Func{
		{Name: "exit", Type: "func()", Do: func(context.Context, *abi.Call) error { return &hostcalls.Exit{Code: 3} }},
	}}), nil, nil)
	_, err := g.Try("test:kit/exit exit")
	if exit, ok := errors.AsType[*hostcalls.Exit](err); !ok || exit.Code != 3 {
		t.Errorf("%v", err)
	}
}

func TestCanonical(t *testing.T) {
	for _, tt := range []struct{ module, name, wantModule, wantName string }{
		{"wasi:http/types@0.2.3", "[method]fields.get", "wasi:http/types@0.2", "[method]fields.get"},
		{"wasi:http/types@0.2.0", "f|utf16", "wasi:http/types@0.2|utf16", "f"},
		{"wasi:http/types@0.2", "f|latin1+utf16", "wasi:http/types@0.2|latin1+utf16", "f"},
		{"wasi:http/types@0.2.12+build", "f", "wasi:http/types@0.2", "f"},
		{"wasi:http/types@0.2.0-rc-2023-11-10", "f", "wasi:http/types@0.2.0-rc-2023-11-10", "f"},
		{"wasi:http/types@0.3.0", "f", "wasi:http/types@0.3.0", "f"},
		{"wasi:http/types@0.20.1", "f", "wasi:http/types@0.20.1", "f"},
		{"wasi:http/types@0.2.", "f", "wasi:http/types@0.2.", "f"},
		{"env", "f|utf16", "env", "f|utf16"},
		{"terrane:abi", "block", "terrane:abi", "block"},
	} {
		if m, n := hostcalls.Canonical(tt.module, tt.name); m != tt.wantModule || n != tt.wantName {
			t.Errorf("%s %s: %s %s", tt.module, tt.name, m, n)
		}
	}
}
