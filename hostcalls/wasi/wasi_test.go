package wasi_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
	"github.com/terrane/terrane/hostcalls/wasi"
	"github.com/terrane/terrane/hostcalls/wasi/abitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ret = abitest.Ret

func newGuest(t *testing.T, tn *hostcalls.Tenant, req *hostcalls.Request) *abitest.Guest {
	return abitest.New(t, wasi.Functions(), tn, req)
}

// list is the pairs of strings in the list at a place of the result.
func pairs(g *abitest.Guest, at uint64) string {
	var out []string
	for i := range g.U32(at + 4) {
		p := g.U32(at) + 16*i
		out = append(out, g.BytesAt(p)+"="+g.BytesAt(p+8))
	}
	return strings.Join(out, "|")
}

func TestOutputIsLogged(t *testing.T) {
	g := newGuest(t, nil, nil)
	out, errs := g.Call("wasi:cli/stdout get-stdout"), g.Call("wasi:cli/stderr get-stderr")
	write := func(stream uint64, text string) {
		p, n := g.Put(text)
		g.Call("wasi:io/streams [method]output-stream.blocking-write-and-flush", stream, p, n, ret)
	}
	write(out, "one ")
	write(errs, "bad\nworse")
	write(out, "line\n\ntwo\n")
	log := g.Log
	if got, want := log.Lines(), "WARN bad\nINFO one line\nINFO two"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	g.End()
	if got := log.Lines(); !strings.HasSuffix(got, "WARN worse") {
		t.Errorf("the last line is missing in %q", got)
	}
}

func TestEnvironment(t *testing.T) {
	tn := &hostcalls.Tenant{Env: map[string]string{"B": "2", "A": "x=y"}}
	g := newGuest(t, tn, &hostcalls.Request{Module: "index.wasm", Body: []byte("body"), Host: "h"})
	g.Call("wasi:cli/environment get-environment", ret)
	if got := pairs(g, 0); got != "A=x=y|B=2" {
		t.Errorf("%q", got)
	}
	g.Call("wasi:cli/environment get-arguments", ret)
	if g.U32(4) != 1 || g.BytesAt(g.U32(0)) != "index.wasm" {
		t.Errorf("%d arguments", g.U32(4))
	}
	for _, fn := range []string{"environment initial-cwd", "terminal-stdin get-terminal-stdin", "terminal-stdout get-terminal-stdout", "terminal-stderr get-terminal-stderr"} {
		g.Call("wasi:cli/"+fn, ret)
		if g.U8(0) != 0 {
			t.Errorf("%s is some", fn)
		}
	}
	in := g.Call("wasi:cli/stdin get-stdin")
	g.Call("wasi:io/streams [method]input-stream.blocking-read", in, 10, ret)
	if g.U8(0) != 1 || g.U8(4) != 1 {
		t.Error("stdin is not empty")
	}
	for _, version := range []string{"store@0.2.0-rc.1", "store@0.2.0-draft", "store@0.2.0-draft-2024-09-27", "runtime@0.2.0-draft"} {
		p, n := g.Put("A")
		g.Call("wasi:config/"+version+" get", p, n, ret)
		if g.U8(0) != 0 || g.U8(4) != 1 || g.Bytes(8) != "x=y" {
			t.Errorf("%s: %q", version, g.Bytes(8))
		}
		g.Call("wasi:config/"+version+" get", p, 0, ret)
		if g.U8(0) != 0 || g.U8(4) != 0 {
			t.Errorf("%s has an empty name", version)
		}
		g.Call("wasi:config/"+version+" get-all", ret)
		if got := pairs(g, 4); got != "A=x=y|B=2" {
			t.Errorf("%s: %q", version, got)
		}
	}
}

func TestProgram(t *testing.T) {
	g := newGuest(t, nil, &hostcalls.Request{Method: "POST", Path: "/p?q=1", Module: "p.wasm", Body: []byte("body"), Host: "h"})
	g.Call("terrane:abi program")
	in := g.Call("wasi:cli/stdin get-stdin")
	g.Call("wasi:io/streams [method]input-stream.blocking-read", in, 10, ret)
	if g.Bytes(4) != "body" {
		t.Errorf("stdin has %q", g.Bytes(4))
	}
	g.Call("wasi:cli/environment get-environment", ret)
	if got := pairs(g, 0); !strings.Contains(got, "QUERY_STRING=q=1|") {
		t.Errorf("%q", got)
	}
	out := g.Call("wasi:cli/stdout get-stdout")
	p, n := g.Put("Status: 201\nX-A: b\n\nhello")
	g.Call("wasi:io/streams [method]output-stream.blocking-write-and-flush", out, p, n, ret)
	g.Call("terrane:abi ran", 0)
	if r := g.X.Response(); r.Code != 201 || r.Header.Get("X-A") != "b" || string(r.Body) != "hello" || g.X.Refused() != nil {
		t.Errorf("%d %v %q %v", r.Code, r.Header, r.Body, g.X.Refused())
	}
}

func TestExit(t *testing.T) {
	g := newGuest(t, nil, nil)
	for _, tt := range []struct {
		name string
		arg  uint64
		want uint32
	}{
		{"wasi:cli/exit exit", 0, 0}, {"wasi:cli/exit exit", 1, 1}, {"wasi:cli/exit exit-with-code", 7, 7}, {"terrane:abi ran", 1, 1},
	} {
		_, err := g.Try(tt.name, tt.arg)
		if exit, ok := errors.AsType[*hostcalls.Exit](err); !ok || exit.Code != tt.want {
			t.Errorf("%s %d: %v", tt.name, tt.arg, err)
		}
	}
	g.Traps("not one of 2 cases", "wasi:cli/exit exit", 2)
}

func TestClocksAndRandom(t *testing.T) {
	g := newGuest(t, nil, nil)
	begun := time.Now()
	a, b := g.Call("wasi:clocks/monotonic-clock now"), g.Call("wasi:clocks/monotonic-clock now")
	if b < a || g.Call("wasi:clocks/monotonic-clock resolution") == 0 {
		t.Errorf("%d, then %d", a, b)
	}
	g.Call("wasi:clocks/wall-clock now", ret)
	if now := time.Unix(int64(g.U64(0)), int64(g.U32(8))); now.Before(begun.Truncate(time.Microsecond)) || now.After(time.Now()) {
		t.Errorf("the time is %v", now)
	}
	for when, ready := range map[uint64]uint64{0: 1, a: 1, 1 << 62: 0, 1<<64 - 1: 0} {
		if got := g.Call("wasi:io/poll [method]pollable.ready", g.Call("wasi:clocks/monotonic-clock subscribe-instant", when)); got != ready {
			t.Errorf("at %d: %d", when, got)
		}
	}
	g.Call("wasi:io/poll [method]pollable.block", g.Call("wasi:clocks/monotonic-clock subscribe-duration", 1_000_000))
	if got := g.Call("wasi:clocks/monotonic-clock now"); got < b+1_000_000 {
		t.Errorf("%d ns have passed", got-b)
	}
	g.Call("wasi:clocks/timezone display", 0, 0, ret)
	if g.Bytes(4) != "UTC" {
		t.Errorf("%q", g.Bytes(4))
	}

	seen := map[string]bool{}
	for _, fn := range []string{"random get-random-bytes", "insecure get-insecure-random-bytes"} {
		for range 2 {
			g.Call("wasi:random/"+fn, 16, ret)
			if s := g.Bytes(0); len(s) != 16 || seen[s] {
				t.Errorf("%s: % x", fn, s)
			} else {
				seen[s] = true
			}
		}
		g.Traps("more than 1 MiB", "wasi:random/"+fn, 1<<30, ret)
	}
	if g.Call("wasi:random/random get-random-u64") == g.Call("wasi:random/insecure get-insecure-random-u64") {
		t.Error("two numbers are equal")
	}
	g.Call("wasi:random/insecure-seed insecure-seed", ret)
	if g.U64(0) == g.U64(8) {
		t.Error("the halves of the seed are equal")
	}
}

func TestLogging(t *testing.T) {
	for _, version := range []string{"@0.1.0-draft", "@0.1.0"} {
		g := newGuest(t, nil, nil)
		name := "wasi:logging/logging" + version + " log"
		s, sn := g.Put("auth")
		p, n := g.Put("who?")
		g.Call(name, 3, s, sn, p, n)
		g.Call(name, 5, s, 0, p, n)
		if got := g.Log.Lines(); got != "WARN auth: who?\nERROR who?" {
			t.Errorf("%q", got)
		}
		g.Traps("not one of 6 cases", name, 6, s, sn, p, n)
	}
}

func TestKeyValue(t *testing.T) {
	for _, draft := range []string{"@0.2.0-draft", "@0.2.0-draft2"} {
		t.Run(draft, func(t *testing.T) { testKeyValue(t, draft) })
	}
}

func testKeyValue(t *testing.T, draft string) {
	g := newGuest(t, &hostcalls.Tenant{KV: memorykv.New(hostcalls.Quota{})}, nil)
	store, atomics, batch := "wasi:keyvalue/store"+draft+" ", "wasi:keyvalue/atomics"+draft+" ", "wasi:keyvalue/batch"+draft+" "
	open := func(name string) int {
		p, n := g.Put(name)
		g.Call(store+"open", p, n, ret)
		return g.U8(0)
	}
	if open("other") != 1 || g.U8(4) != 0 {
		t.Error("there is a bucket \"other\"")
	}
	if open("default") != 0 {
		t.Fatal("there is no bucket \"default\"")
	}
	b := g.U32(4)
	k, kn := g.Put("key")
	get := func(want string, found bool) {
		t.Helper()
		g.Call(store+"[method]bucket.get", b, k, kn, ret)
		if got := g.U8(4) == 1; g.U8(0) != 0 || got != found || found && g.Bytes(8) != want {
			t.Errorf("%v %q, want %v %q", got, g.Bytes(8), found, want)
		}
		g.Call(store+"[method]bucket.exists", b, k, kn, ret)
		if got := g.U8(4) == 1; g.U8(0) != 0 || got != found {
			t.Errorf("exists: %v", got)
		}
	}
	set := func(v string) int {
		p, n := g.Put(v)
		g.Call(store+"[method]bucket.set", b, k, kn, p, n, ret)
		return g.U8(0)
	}
	get("", false)
	if set("value") != 0 {
		t.Error("set")
	}
	get("value", true)
	set("")
	get("", true)
	if set(strings.Repeat("x", hostcalls.KVValueMax+1)) != 1 || g.U8(4) != 2 || !strings.Contains(g.Bytes(8), "several keys") {
		t.Errorf("a large value: %q", g.Bytes(8))
	}
	g.Call(store+"[method]bucket.delete", b, k, kn, ret)
	get("", false)

	increment := func(by uint64) uint64 {
		t.Helper()
		if g.Call(atomics+"increment", b, k, kn, by, ret); g.U8(0) != 0 {
			t.Errorf("increment: %q", g.Bytes(16))
		}
		return g.U64(8)
	}
	if increment(5) != 5 || increment(7) != 12 {
		t.Error("increment")
	}
	get("12", true)
	set("no number")
	if g.Call(atomics+"increment", b, k, kn, 1, ret); g.U8(0) != 1 {
		t.Error("a text was incremented")
	}

	a, an := g.Put("a")
	v, vn := g.Put("1")
	g.Call(batch+"set-many", b, g.Words(a, an, v, vn, k, kn, v, vn), 2, ret)
	none, nn := g.Put("none")
	g.Call(batch+"get-many", b, g.Words(a, an, none, nn, k, kn), 3, ret)
	first := g.U32(4)
	if g.U32(8) != 3 {
		t.Fatalf("%d entries", g.U32(8))
	}
	if draft == "@0.2.0-draft" { // option<tuple<string, list<u8>>>: 20 bytes
		if g.Mem[first] != 1 || g.BytesAt(first+4) != "a" || g.BytesAt(first+12) != "1" || g.Mem[first+20] != 0 || g.Mem[first+40] != 1 {
			t.Errorf("% x", g.Mem[first:first+60])
		}
	} else if g.BytesAt(first) != "a" || g.Mem[first+8] != 1 || g.BytesAt(first+12) != "1" || g.BytesAt(first+20) != "none" || g.Mem[first+28] != 0 {
		t.Errorf("% x", g.Mem[first:first+60])
	}
	g.Call(batch+"get-many", b, g.Words(a, an), 1, ret)
	g.Call(batch+"delete-many", b, g.Words(a, an, none, nn), 2, ret)

	// 2,001 keys are three pages.
	for i := range 2000 {
		if _, err := g.X.Store(t.Context(), "n"+strings.Repeat("0", i%7)+string(rune('0'+i%10))+strings.Repeat("x", i/10), nil, 0, time.Time{}); err != nil && !errors.Is(err, hostcalls.ErrConflict) {
			t.Fatal(err)
		}
	}
	seen, pages := map[string]bool{}, 0
	for cursor := []uint64{0, 0, 0}; ; pages++ {
		if draft == "@0.2.0-draft" {
			g.Call(store+"[method]bucket.list-keys", b, cursor[0], cursor[1], ret)
		} else {
			g.Call(store+"[method]bucket.list-keys", b, cursor[0], cursor[1], cursor[2], ret)
		}
		// The record has keys at 0, and the option behind them, which is aligned to 8 or 4.
		record := uint64(4)
		if draft == "@0.2.0-draft" {
			record = 8
		}
		for i := range g.U32(record + 4) {
			seen[g.BytesAt(g.U32(record)+8*i)] = true
		}
		if g.U8(record+8) == 0 {
			break
		}
		if draft == "@0.2.0-draft" {
			cursor = []uint64{1, g.U64(record + 16), 0}
		} else {
			cursor = []uint64{1, g.U32(record + 12), g.U32(record + 16)}
		}
	}
	all, err := g.X.Keys(t.Context(), "", "", 10_000)
	if err != nil || len(seen) != len(all) || pages != (len(all)-1)/1000 {
		t.Errorf("%d keys in %d pages after the first, of %d: %v", len(seen), pages, len(all), err)
	}
	if draft != "@0.2.0-draft2" {
		return
	}

	swap := func(cas uint64, v string) int {
		p, n := g.Put(v)
		g.Call(atomics+"swap", cas, p, n, ret)
		return g.U8(0)
	}
	take := func() uint64 { g.Call(atomics+"[static]cas.new", b, k, kn, ret); return g.U32(4) }
	one, two := take(), take()
	g.Call(atomics+"[method]cas.current", one, ret)
	if g.U8(4) != 1 || g.Bytes(8) != "1" {
		t.Errorf("current is %q", g.Bytes(8))
	}
	if swap(one, "2") != 0 {
		t.Error("the first swap fails")
	}
	if swap(two, "3") != 1 || g.U8(4) != 1 {
		t.Fatal("the second swap does not fail for the first one")
	}
	three := g.U32(8)
	g.Call(atomics+"[method]cas.current", three, ret)
	if g.Bytes(8) != "2" {
		t.Errorf("current is %q", g.Bytes(8))
	}
	if swap(three, "4") != 0 {
		t.Error("the third swap fails")
	}
	get("4", true)
}

func TestFilesystem(t *testing.T) {
	at := time.Date(2026, 11, 28, 0, 0, 0, 7, time.UTC)
	g := newGuest(t, &hostcalls.Tenant{Files: fstest.MapFS{
		"a.txt":     {Data: []byte("hello, file"), ModTime: at},
		"sub/b.txt": {Data: []byte(strings.Repeat("b", 200_000)), ModTime: at},
	}}, nil)
	const fs, method = "wasi:filesystem/types ", "wasi:filesystem/types [method]descriptor."
	g.Call("wasi:filesystem/preopens get-directories", ret)
	if g.U32(4) != 1 || g.BytesAt(g.U32(0)+4) != "/" {
		t.Fatalf("%d folders", g.U32(4))
	}
	root := g.At(g.U32(0))
	path := func(s string) (uint64, uint64) { return g.Put(s) }
	open := func(name string, oflags, flags uint64) int { // -1: it is open
		p, n := path(name)
		g.Call(method+"open-at", root, 0, p, n, oflags, flags, ret)
		if g.U8(0) == 0 {
			return -1
		}
		return g.U8(4)
	}
	const noEntry, notPermitted, readOnly, notDirectory, exist, isDirectory, invalid = 20, 31, 33, 24, 7, 14, 12
	for _, tt := range []struct {
		name          string
		oflags, flags uint64
		want          int
	}{
		{"a.txt", 0, 1, -1}, {"sub/../a.txt", 0, 1, -1}, {"sub", 2, 1, -1}, {".", 2, 1, -1},
		{"none", 0, 1, noEntry}, {"", 0, 1, noEntry}, {"/a.txt", 0, 1, notPermitted}, {"../etc/passwd", 0, 1, notPermitted}, {"a\x00", 0, 1, notPermitted},
		{"a.txt", 2, 1, notDirectory}, {"a.txt", 0, 3, readOnly}, {"a.txt", 8, 1, readOnly}, {"new", 1, 3, readOnly}, {"a.txt", 5, 1, exist},
	} {
		if got := open(tt.name, tt.oflags, tt.flags); got != tt.want {
			t.Errorf("open %q %d %d: %d, want %d", tt.name, tt.oflags, tt.flags, got, tt.want)
		} else if got < 0 {
			g.Call(fs+"[resource-drop]descriptor", g.U32(4))
		}
	}
	open("a.txt", 0, 1)
	f := g.U32(4)
	g.Call(method+"read", f, 5, 7, ret)
	if g.U8(0) != 0 || g.Bytes(4) != "file" || g.U8(12) != 1 {
		t.Errorf("read %q, end %d", g.Bytes(4), g.U8(12))
	}
	g.Call(method+"read", f, 5, 0, ret)
	if g.Bytes(4) != "hello" || g.U8(12) != 0 {
		t.Errorf("read %q, end %d", g.Bytes(4), g.U8(12))
	}
	g.Call(method+"read", f, 1<<63, 1<<61, ret)
	if g.U8(0) != 0 || g.Bytes(4) != "" || g.U8(12) != 1 {
		t.Errorf("beyond the end: %q", g.Bytes(4))
	}
	g.Call(method+"stat", f, ret)
	if g.U8(8) != 6 || g.U64(24) != 11 || g.U8(32) != 1 || int64(g.U64(40)) != at.Unix() || g.U32(48) != 7 {
		t.Errorf("stat % x", g.Mem[ret:ret+112])
	}
	g.Call(method+"get-type", root, ret)
	if g.U8(1) != 3 {
		t.Errorf("the root is of type %d", g.U8(1))
	}
	g.Call(method+"read-via-stream", root, 0, ret)
	if g.U8(0) != 1 || g.U8(4) != isDirectory {
		t.Errorf("a stream of a folder: %d", g.U8(4))
	}
	p, n := path("x")
	for name, args := range map[string][]uint64{
		"write": {f, p, n, 0, ret}, "set-size": {f, 0, ret}, "create-directory-at": {root, p, n, ret}, "unlink-file-at": {root, p, n, ret},
		"append-via-stream": {f, ret}, "write-via-stream": {f, 0, ret}, "symlink-at": {root, p, n, p, n, ret}, "rename-at": {root, p, n, root, p, n, ret},
		"set-times": {f, 0, 0, 0, 0, 0, 0, ret}, "remove-directory-at": {root, p, n, ret}, "link-at": {root, 0, p, n, root, p, n, ret},
	} {
		g.Call(method+name, args...)
		at := uint64(1)
		if name == "write" {
			at = 8
		} else if strings.HasSuffix(name, "stream") {
			at = 4
		}
		if g.U8(0) != 1 || g.U8(at) != readOnly {
			t.Errorf("%s: %d", name, g.U8(at))
		}
	}
	a, an := path("a.txt")
	g.Call(method+"readlink-at", root, a, an, ret)
	if g.U8(0) != 1 || g.U8(4) != invalid {
		t.Errorf("readlink: %d", g.U8(4))
	}
	g.Call(method+"metadata-hash", f, ret)
	lower := g.U64(8)
	g.Call(method+"metadata-hash-at", root, 0, a, an, ret)
	if lower == 0 || g.U64(8) != lower {
		t.Error("two hashes of a file differ")
	}

	// A stream outlives its descriptor.
	open("sub/b.txt", 0, 1)
	big := g.U32(4)
	g.Call(method+"read-via-stream", big, 50_000, ret)
	in := g.U32(4)
	g.Call(fs+"[resource-drop]descriptor", big)
	total := 0
	for {
		g.Call("wasi:io/streams [method]input-stream.blocking-read", in, 100_000, ret)
		if g.U8(0) == 1 {
			break
		}
		total += len(g.Bytes(4))
	}
	if total != 150_000 || g.U8(4) != 1 {
		t.Errorf("%d bytes, then %d", total, g.U8(4))
	}

	g.Call(method+"read-directory", root, ret)
	list, names := g.U32(4), []string{}
	for {
		g.Call(fs+"[method]directory-entry-stream.read-directory-entry", list, ret)
		if g.U8(4) == 0 {
			break
		}
		names = append(names, g.Bytes(12))
	}
	if strings.Join(names, " ") != "a.txt sub" {
		t.Errorf("%q", names)
	}
	last := -1
	for range 100 {
		if last = open("a.txt", 0, 1); last >= 0 {
			break
		}
	}
	if last != 6 {
		t.Errorf("100 files: %d", last)
	}

	g = newGuest(t, nil, nil)
	g.Call("wasi:filesystem/preopens get-directories", ret)
	if g.U32(4) != 0 {
		t.Errorf("%d folders without files", g.U32(4))
	}
}
