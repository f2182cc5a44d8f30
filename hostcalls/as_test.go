package hostcalls_test

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
)

// asBench is a bench whose guest speaks AssemblyScript 0.6.
type asBench struct{ *bench }

func newASBench(t testing.TB, tn *hostcalls.Tenant) asBench {
	b := newBench(t, tn, request())
	clear(b.funcs)
	for _, f := range hostcalls.Functions() {
		if f.Module == "http_guest" || f.Name == "abort" {
			b.funcs[strings.TrimPrefix(f.Name, "hostcall_")] = f
		}
	}
	return asBench{b}
}

func (b asBench) alloc(n int) uint32 {
	ptr, err := b.malloc(uint32(n))
	if err != nil {
		b.t.Fatal(err)
	}
	return ptr
}

func (b asBench) str(s string) uint32 {
	units := utf16.Encode([]rune(s))
	ptr := b.alloc(4 + 2*len(units))
	b.putU32(ptr, uint32(len(units)))
	for i, u := range units {
		binary.LittleEndian.PutUint16(b.mem[int(ptr)+4+2*i:], u)
	}
	return ptr
}

func (b asBench) array(data []byte, n int) uint32 {
	buffer := b.alloc(8 + len(data))
	b.putU32(buffer, uint32(len(data)))
	copy(b.mem[buffer+8:], data)
	ptr := b.alloc(8)
	b.putU32(ptr, buffer)
	b.putU32(ptr+4, uint32(n))
	return ptr
}

func (b asBench) bytes(s string) uint32 { return b.array([]byte(s), len(s)) }

func (b asBench) words(words ...uint32) uint32 {
	var data []byte
	for _, w := range words {
		data = binary.LittleEndian.AppendUint32(data, w)
	}
	return b.array(data, len(words))
}

func (b asBench) strs(list ...string) uint32 {
	var ptrs []uint32
	for _, s := range list {
		ptrs = append(ptrs, b.str(s))
	}
	return b.words(ptrs...)
}

func (b asBench) readString(ptr uint32) string {
	b.t.Helper()
	if ptr == 0 {
		b.t.Fatal("a null string")
	}
	units := make([]uint16, b.u32(ptr))
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b.mem[int(ptr)+4+2*i:])
	}
	return string(utf16.Decode(units))
}

// readArray returns an array's elements of size bytes each, and checks its buffer.
func (b asBench) readArray(ptr, size uint32) []byte {
	b.t.Helper()
	if ptr == 0 {
		b.t.Fatal("a null array")
	}
	buffer, n := b.u32(ptr), b.u32(ptr+4)
	if got := b.u32(buffer); got != n*size {
		b.t.Errorf("a buffer of %d bytes for %d elements of %d", got, n, size)
	}
	if room := b.blocks[buffer]; room < 1<<bitsFor(n*size+8) {
		b.t.Errorf("a buffer of %d bytes has a block of %d", n*size, room)
	}
	return b.mem[buffer+8 : buffer+8+n*size]
}

func bitsFor(n uint32) int {
	bits := 0
	for 1<<bits < n {
		bits++
	}
	return bits
}

func (b asBench) readStrings(ptr uint32) []string {
	b.t.Helper()
	var list []string
	for data := b.readArray(ptr, 4); len(data) > 0; data = data[4:] {
		list = append(list, b.readString(binary.LittleEndian.Uint32(data)))
	}
	return list
}

func (b asBench) obj(name string, a ...uint32) uint32 { return uint32(b.status(name, a...)) }

func TestASRequestAndResponse(t *testing.T) {
	b := newASBench(t, &hostcalls.Tenant{})
	if got := b.readString(b.obj("req_get_method", 0)); got != "GET" {
		t.Errorf("method: %q", got)
	}
	if got := b.readString(b.obj("req_get_path", 0)); got != "/a%20b?c=d" {
		t.Errorf("path: %q", got)
	}
	if got := string(b.readArray(b.obj("req_get_body", 0), 1)); got != "hello" {
		t.Errorf("body: %q", got)
	}
	if got := b.readStrings(b.obj("req_get_headers", 0)); !slices.Contains(got, "host") || !slices.Contains(got, "user-agent") {
		t.Errorf("names: %q", got)
	}
	for name, want := range map[string][]string{"Accept": {"text/html", "text/plain"}, "x-empty": {""}, "absent": nil, "fastly-client-ip": {"192.0.2.7"}} {
		if got := b.readStrings(b.obj("req_get_header", 0, b.str(name))); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, fn := range []string{"req_get_method", "req_get_path"} {
		if got := b.readString(b.obj(fn, 9)); got != "" {
			t.Errorf("%s of no request: %q", fn, got)
		}
	}
	for _, fn := range []string{"req_get_body", "req_get_headers", "resp_get_body", "resp_get_headers"} {
		if got := b.readArray(b.obj(fn, 9), 1); len(got) != 0 {
			t.Errorf("%s of no handle: %q", fn, got)
		}
	}
	if s := b.status("resp_set_header", 0, b.str("X-Ü"), b.strs("a")); s != 1 {
		t.Errorf("a name that is no token: status %d", s)
	}
	if s := b.status("resp_set_header", 0, b.str("X-A"), b.strs("grüße", "b", "")); s != 0 {
		t.Errorf("header: status %d", s)
	}
	if s := b.status("resp_set_header", 0, 0, 0) + b.status("resp_set_header", 1, b.str("a"), b.strs("a")); s != 2 {
		t.Errorf("null name, other handle: statuses %d", s)
	}
	if s := b.status("resp_set_body", 0, b.bytes("body")); s != 0 || string(b.x.Response().Body) != "body" {
		t.Errorf("body: status %d, %q", s, b.x.Response().Body)
	}
	if s := b.status("resp_set_body", 0, 0); s != 0 || len(b.x.Response().Body) != 0 {
		t.Errorf("null body: status %d, %q", s, b.x.Response().Body)
	}
	if got := b.x.Response().Header["X-A"]; !slices.Equal(got, []string{"grüße", "b", ""}) {
		t.Errorf("header: got %q", got)
	}
	if s := b.status("resp_set_response_code", 0, 404); s != 0 || b.x.Response().Code != 404 {
		t.Errorf("code: status %d, %d", s, b.x.Response().Code)
	}
}

func TestASRefused(t *testing.T) {
	for name, set := range map[string]func(asBench){
		"body":   func(b asBench) { b.status("resp_set_body", 0, b.bytes("more than ten")) },
		"header": func(b asBench) { b.status("resp_set_header", 0, b.str("a"), b.strs("\n")) },
		"status": func(b asBench) { b.status("resp_set_response_code", 0, 42) },
	} {
		tn := &hostcalls.Tenant{}
		tn.Limits.ResponseBody = 10
		b := newASBench(t, tn)
		if set(b); b.x.Refused() == nil {
			t.Errorf("%s: nothing is refused", name)
		}
	}
}

func TestASText(t *testing.T) {
	b := newASBench(t, &hostcalls.Tenant{})
	for in, want := range map[string]string{"": "", "grüße": "grüße", "𝄞!": "𝄞!", "a\xffb": "a\ufffdb"} {
		if got := b.readString(b.obj("utf8_to_utf16_lossy", b.bytes(in))); got != want {
			t.Errorf("to UTF-16: got %q, want %q", got, want)
		}
		if got := string(b.readArray(b.obj("utf16_to_utf8_lossy", b.str(want)), 1)); got != want {
			t.Errorf("to UTF-8: got %q, want %q", got, want)
		}
	}
	half := b.str("ab")
	binary.LittleEndian.PutUint16(b.mem[half+4:], 0xd834)
	if got := string(b.readArray(b.obj("utf16_to_utf8_lossy", half), 1)); got != "\ufffdb" {
		t.Errorf("half a pair: %q", got)
	}
}

func TestASKV(t *testing.T) {
	b := newASBench(t, &hostcalls.Tenant{KV: memorykv.New(hostcalls.Quota{})})
	key := b.str("schlüssel")
	get := func() string {
		ptr := b.obj("kvstore_get", key)
		if ptr == 0 {
			return "null"
		}
		return string(b.readArray(ptr, 1))
	}
	steps := []struct {
		fn, value string
		result    int32
		then      string
	}{
		{"insert", "one", 1, "one"}, {"insert", "two", 0, "two"}, {"upsert", "three", 0, "two"}, {"append", "+", 0, "two+"},
		{"remove", "", 1, "null"}, {"remove", "", 0, "null"}, {"upsert", "", 1, ""}, {"append", "a", 0, "a"},
	}
	if got := get(); got != "null" {
		t.Errorf("absent: %q", got)
	}
	for _, s := range steps {
		args := []uint32{key}
		if s.fn != "remove" {
			args = append(args, b.bytes(s.value))
		}
		if got := b.status("kvstore_"+s.fn, args...); got != s.result || get() != s.then {
			t.Errorf("%s %q: %d, then %q; want %d, %q", s.fn, s.value, got, get(), s.result, s.then)
		}
	}
}

func TestASFetch(t *testing.T) {
	tn, url := upstream(t, echo)
	b := newASBench(t, tn)
	create := func(path string) uint32 { return b.obj("req_create", b.str("POST"), b.str(url+path)) }
	req := create("/a")
	if s := b.status("req_set_header", req, b.str("X-A"), b.strs("1", "2")) + b.status("req_set_body", req, b.bytes("data")); s != 0 {
		t.Errorf("statuses %d", s)
	}
	resp := b.obj("req_send", req)
	if got := string(b.readArray(b.obj("resp_get_body", resp), 1)); got != "POST /a [1 2] data" {
		t.Errorf("body: %q", got)
	}
	if got := b.readStrings(b.obj("resp_get_header", resp, b.str("x-echo"))); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("header: %q", got)
	}
	if got := b.readStrings(b.obj("resp_get_headers", resp)); !slices.Contains(got, "x-echo") {
		t.Errorf("names: %q", got)
	}
	if got := b.status("req_create", b.str("GET"), b.str("no url")); got != -1 {
		t.Errorf("no URL: %d", got)
	}
	p1, p2 := b.obj("req_send_async", create("/1")), b.obj("req_send_async", create("/2"))
	first := b.obj("pending_req_select", b.words(p1, p2), outWord)
	which := b.u32(outWord)
	if int32(first) < 0 || which != p1 && which != p2 {
		t.Errorf("select: %d %d", int32(first), which)
	}
	if again := b.status("pending_req_wait", which); again != -1 {
		t.Errorf("a consumed pending: %d", again)
	}
	if got := b.status("pending_req_wait", p1+p2-which); got <= 0 {
		t.Errorf("the other: %d", got)
	}
}

// Every pointer of every object is checked.
func TestASRanges(t *testing.T) {
	b := newASBench(t, &hostcalls.Tenant{KV: memorykv.New(hostcalls.Quota{})})
	b.obj("req_create", b.str("GET"), b.str("http://a.example"))
	wild := []uint32{page - 3, page, math.MaxInt32, math.MaxUint32 - 3, math.MaxUint32}
	long := b.str("x")
	b.putU32(long, math.MaxUint32) // a length that wraps around
	buffer := b.bytes("x")
	b.putU32(buffer, math.MaxUint32-7)
	list := b.words(page)
	name := b.str("a")
	for fn, c := range map[string][]uint32{ // with the places of objects marked by 0
		"req_get_header": {8, 0}, "resp_set_header": {8, 0, name}, "resp_set_body": {8, 0}, "req_create": {name, 0},
		"req_set_body": {9, 0}, "pending_req_select": {0, outWord}, "kvstore_get": {0}, "kvstore_insert": {0, buffer},
		"kvstore_remove": {0}, "dns_query_raw": {0}, "dns_query_ip": {0, 1}, "utf16_to_utf8_lossy": {0}, "utf8_to_utf16_lossy": {0},
	} {
		for _, ptr := range append(slices.Clone(wild), long) {
			args := slices.Clone(c)
			args[slices.Index(args, 0)] = ptr
			if args[0] == 8 || args[0] == 9 {
				args[0] -= 8 // the handles 0 and 1
			}
			if ptr == long && (strings.Contains(fn, "body") || strings.Contains(fn, "raw") || fn == "pending_req_select" || fn == "utf8_to_utf16_lossy") {
				continue // takes an array
			}
			if _, err := b.try(fn, args...); err == nil || !strings.Contains(err.Error(), "hostcall_"+fn) {
				t.Errorf("%s %#x: got %v, want a trap", fn, args, err)
			}
		}
	}
	for fn, args := range map[string][]uint32{
		"resp_set_body": {0, buffer}, "resp_set_header": {0, name, list}, "utf8_to_utf16_lossy": {buffer},
	} {
		if _, err := b.try(fn, args...); err == nil {
			t.Errorf("%s with a bad object within: no trap", fn)
		}
	}
}

func TestAbort(t *testing.T) {
	b := newASBench(t, &hostcalls.Tenant{})
	_, err := b.try("abort", b.str("boom"), b.str("~lib/array.ts"), 12, 3)
	if err == nil || !strings.Contains(err.Error(), "boom at ~lib/array.ts:12:3") || b.x.Panic() == "" {
		t.Errorf("got %v", err)
	}
	// A string of 0.8 and later: class and size stand before it.
	at := b.alloc(32)
	b.putU32(at, 1)
	b.putU32(at+4, 4)
	copy(b.mem[at+8:], "o\x00k\x00")
	if _, err := b.try("abort", at+8, 0, 1, 2); err == nil || !strings.Contains(err.Error(), "ok at :1:2") {
		t.Errorf("got %v", err)
	}
	for _, ptr := range []uint32{0, 1, page - 1, math.MaxUint32} {
		if _, err := b.try("abort", ptr, ptr, 0, 0); err == nil || errors.Is(err, hostcalls.ErrNoFunction) {
			t.Errorf("abort(%#x): %v", ptr, err)
		}
	}
}
