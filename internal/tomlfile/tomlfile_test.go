package tomlfile

import (
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/fault"
)

type file struct {
	Name  string            `toml:"name"`
	Port  uint16            `toml:"port"`
	Addrs []netip.Addr      `toml:"addrs"`
	Env   map[string]string `toml:"env"`
	Store []store           `toml:"store"`
	Opt   *bool             `toml:"opt"`
	Inner struct {
		On   bool `toml:"on"`
		Size int  `toml:"size"`
	} `toml:"inner"`
}

type store struct {
	Kind string   `toml:"kind"`
	Tags []string `toml:"tags"`
	Sub  []struct {
		N int `toml:"n"`
	} `toml:"sub"`
}

func TestDecode(t *testing.T) {
	var got file
	doc, err := Decode("t.toml", []byte(`
name = "a"
port = 80
addrs = ["192.0.2.1", "2001:db8::1"]
opt = false
inner = { on = true, size = 3 }
[env]
A = "1"
[[store]]
kind = "git"
tags = ["x",
  "y"]
[[store.sub]]
n = 1
[[store]]
kind = "folder"
`), &got)
	if err != nil {
		t.Fatal(err)
	}
	want := file{Name: "a", Port: 80, Env: map[string]string{"A": "1"}, Opt: new(bool),
		Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}}
	want.Inner.On, want.Inner.Size = true, 3
	want.Store = []store{{Kind: "git", Tags: []string{"x", "y"}}, {Kind: "folder"}}
	want.Store[0].Sub = append(want.Store[0].Sub, struct {
		N int `toml:"n"`
	}{1})
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for key, line := range map[string]int{
		"name": 2, "addrs[1]": 4, "inner.size": 6, "env.A": 8, "store[0]": 9, "store[0].tags[1]": 12,
		"store[0].sub[0].n": 14, "store[1].kind": 16, "store[1].missing": 15, "nowhere.at.all": 1,
	} {
		if got := doc.line(key); got != line {
			t.Errorf("line of %s = %d, want %d", key, got, line)
		}
	}
	if !doc.Has("opt") || doc.Has("store[1].tags") {
		t.Error("Has is wrong about opt or store[1].tags")
	}
}

func TestDecodeReportsEveryFault(t *testing.T) {
	var got file
	doc, err := Decode("t.toml", []byte(`name = 3
title = "unknown"
port = 70000
addrs = ["192.0.2.300"]
opt = "yes"
[inner]
on = 1
sizes = 2
[[store]]
kind = ["x"]
[env]
A = 1.5
`), &got)
	if err == nil {
		t.Fatal("no error")
	}
	doc.Fault("store[0].kind", "a value that could not be read is not judged")
	doc.Fault("inner.on.x", "nor what is below it")
	doc.Fault("store", "only %s", "this")
	var faults fault.List
	faults.Add("kind", "not this: it could not be read")
	faults.Add("tags", "want %w", io.EOF)
	faults.Add("tags", "and more")
	if rest := doc.Faults("store[0]", errors.Join(faults.Err(), io.ErrClosedPipe)); !errors.Is(rest, io.ErrClosedPipe) || errors.Is(rest, io.EOF) {
		t.Errorf("the rest is %v", rest)
	}
	if rest := doc.Faults("store[0]", faults.Err()); rest != nil {
		t.Errorf("the second time the rest is %v", rest)
	}
	want := []string{
		"t.toml:1: name: want a string in quotes, not an integer",
		"t.toml:1: store: only this",
		"t.toml:2: title: unknown key; known here are addrs, env, inner, name, opt, port, store",
		"t.toml:3: port: 70000 is out of range: 0 to 65535 are taken",
		`t.toml:4: addrs[0]: ParseAddr("192.0.2.300"): IPv4 field has value >255`,
		"t.toml:5: opt: want true or false, not a string",
		"t.toml:7: inner.on: want true or false, not an integer",
		"t.toml:8: inner.sizes: unknown key; known here are on, size",
		"t.toml:9: store[0].tags: want EOF",
		"t.toml:9: store[0].tags: and more",
		"t.toml:10: store[0].kind: want a string in quotes, not a list",
		"t.toml:12: env.A: want a string in quotes, not a decimal number",
	}
	if got := strings.Split(doc.Err().Error(), "\n"); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDecodeSyntax(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"a = 1\nb = = 2", "t.toml:2: "},
		{"name = \"a\"\nname = \"b\"", "name"},
		{"[store]\n[[store]]", "store"},
	} {
		_, err := Decode("t.toml", []byte(tt.in), &file{})
		if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Decode(%q) = %v, want a fault with %q", tt.in, err, tt.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("a.b.c = [{x = 1}, {y = [2, 3]}]\n[[store.sub]]\nn = 1"))
	f.Add([]byte("[[store]]\n[[store.sub]]\n[[store.sub]]\nn=\"x\"\n[store.sub.z]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Decode("f", data, &file{})
		for _, fault := range doc.faults {
			if n := 1 + strings.Count(string(data), "\n"); fault.Line < 1 || fault.Line > n {
				t.Errorf("%v: the file has %d lines", fault, n)
			}
		}
		_ = err
	})
}
