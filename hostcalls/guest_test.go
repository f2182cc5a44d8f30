package hostcalls_test

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/hostcalls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const page = 64 << 10

// memoryGuest is a guest without code: a memory, and Go functions where a guest
// would have its malloc.
type memoryGuest struct {
	mem      []byte
	maxPages int
	table    map[uint32]func(arg uint32) (uint32, error)
	exports  map[string]func(arg uint32) (uint32, error)

	top    uint32 // of malloc
	blocks map[uint32]uint32
}

// newGuest has one page and a malloc at index 1 of its table, from 0x1000 up.
func newGuest() *memoryGuest {
	g := &memoryGuest{mem: make([]byte, page), maxPages: 64, top: 0x1000, blocks: map[uint32]uint32{}}
	g.table = map[uint32]func(uint32) (uint32, error){1: g.malloc}
	return g
}

// malloc grows the memory when it must, dirties what it gives, and traps when it
// is asked for nothing.
func (g *memoryGuest) malloc(n uint32) (uint32, error) {
	if n == 0 {
		return 0, errors.New("malloc(0)")
	}
	for int(g.top)+int(n) > len(g.mem) {
		if _, ok := g.Grow(1); !ok {
			return 0, nil
		}
	}
	ptr := g.top
	for i := range g.mem[ptr : ptr+n] {
		g.mem[int(ptr)+i] = 0xaa
	}
	g.top = (g.top + n + 7) &^ 7
	g.blocks[ptr] = n
	return ptr, nil
}

func (g *memoryGuest) Memory() []byte { return g.mem }

// Grow moves the memory, so that a view held over it shows old data.
func (g *memoryGuest) Grow(pages uint32) (uint32, bool) {
	old := len(g.mem) / page
	if old+int(pages) > g.maxPages {
		return 0, false
	}
	grown := make([]byte, (old+int(pages))*page)
	copy(grown, g.mem)
	clear(g.mem)
	g.mem = grown
	return uint32(old), true
}

func (g *memoryGuest) CallTable(_ context.Context, index, arg uint32, _ bool) (uint32, error) {
	if f := g.table[index]; f != nil {
		return f(arg)
	}
	return 0, hostcalls.ErrNoFunction
}

func (g *memoryGuest) CallExport(_ context.Context, name string, arg uint32, _ bool) (uint32, error) {
	if f := g.exports[name]; f != nil {
		return f(arg)
	}
	return 0, hostcalls.ErrNoFunction
}

func (g *memoryGuest) u32(at uint32) uint32 { return binary.LittleEndian.Uint32(g.mem[at:]) }

func (g *memoryGuest) putU32(at, v uint32) { binary.LittleEndian.PutUint32(g.mem[at:], v) }

// A guest's scratch memory: where results go, and where strings are put.
const (
	outPtr  = 0x10
	outLen  = 0x14
	outWord = 0x18
	scratch = 0x100
)

// bench is one request in a guest, whose functions a test calls.
type bench struct {
	t testing.TB
	x *hostcalls.Exchange
	*memoryGuest
	ctx   context.Context //nolint:containedctx // of the calls
	funcs map[string]hostcalls.Func
	at    uint32
	log   *recorder
}

type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Log(_ *hostcalls.Request, level slog.Level, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, level.String()+" "+text)
}

func (r *recorder) has(s string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.lines, func(l string) bool { return strings.Contains(l, s) })
}

func request() *hostcalls.Request {
	return &hostcalls.Request{
		Method: "GET", Path: "/a%20b?c=d", Host: "example.com", Scheme: "https",
		Header: http.Header{
			"Accept":           {"text/html", "text/plain"},
			"X-Empty":          {""},
			"User-Agent":       {"curl"},
			"Fastly-Client-Ip": {"6.6.6.6"}, "X-Fastly-Client-Ip": {"6.6.6.6"},
		},
		Body:   []byte("hello"),
		Client: netip.MustParseAddr("192.0.2.7"),
	}
}

func newBench(t testing.TB, tn *hostcalls.Tenant, req *hostcalls.Request) *bench {
	b := &bench{t: t, memoryGuest: newGuest(), ctx: t.Context(), at: scratch, log: &recorder{}, funcs: map[string]hostcalls.Func{}}
	if tn.Logger == nil {
		tn.Logger = b.log
	}
	b.x = hostcalls.NewExchange(tn, req)
	t.Cleanup(func() { b.x.Close() })
	for _, f := range hostcalls.Functions() {
		if f.Module == "env" {
			b.funcs[strings.TrimPrefix(f.Name, "hostcall_")] = f
		}
	}
	b.call("init_mm", 1, 2)
	return b
}

// try calls a function with garbage in the upper halves of its arguments.
func (b *bench) try(name string, a ...uint32) (uint64, error) {
	f, ok := b.funcs[name]
	if !ok || len(a) != len(f.Params) {
		b.t.Fatalf("no function %s of %d arguments", name, len(a))
	}
	stack := make([]uint64, max(len(a), 1))
	for i, v := range a {
		stack[i] = 0xdeadbeef<<32 | uint64(v)
	}
	err := f.Call(b.ctx, b.x, b.memoryGuest, stack)
	return stack[0], err
}

func (b *bench) call(name string, a ...uint32) uint64 {
	b.t.Helper()
	result, err := b.try(name, a...)
	if err != nil {
		b.t.Fatalf("%s: %v", name, err)
	}
	return result
}

// status calls a function that returns an i32.
func (b *bench) status(name string, a ...uint32) int32 {
	b.t.Helper()
	result := b.call(name, a...)
	if result>>32 != 0 {
		b.t.Errorf("%s: result %#x has upper bits", name, result)
	}
	return int32(result)
}

// put puts a string into the guest's memory.
func (b *bench) put(s string) (ptr, n uint32) {
	ptr = b.at
	b.at += uint32(copy(b.mem[ptr:0x1000], s))
	if b.at-ptr != uint32(len(s)) {
		b.t.Fatal("scratch memory is full")
	}
	return ptr, uint32(len(s))
}

func (b *bench) list(values ...string) (ptr, n uint32) {
	var list []uint32
	for _, v := range values {
		p, n := b.put(v)
		list = append(list, p, n)
	}
	b.at = (b.at + 3) &^ 3
	ptr = b.at
	for _, w := range list {
		b.putU32(b.at, w)
		b.at += 4
	}
	return ptr, uint32(len(values))
}

// bytes is what a function left at the out-pointers; ok is false for (0, 0). It
// checks the rules that hold for every such block.
func (b *bench) bytes() (s string, ok bool) {
	b.t.Helper()
	ptr, n := b.u32(outPtr), b.u32(outLen)
	if ptr == 0 {
		if n != 0 {
			b.t.Errorf("null with the length %d", n)
		}
		return "", false
	}
	return b.block(ptr, n), true
}

func (b *bench) block(ptr, n uint32) string {
	b.t.Helper()
	if b.blocks[ptr] < n+32 {
		b.t.Errorf("a block of %d bytes for %d", b.blocks[ptr], n)
	}
	for _, c := range b.mem[ptr+n : ptr+n+32] {
		if c != 0 {
			b.t.Errorf("data is not followed by 32 zero bytes")
			break
		}
	}
	return string(b.mem[ptr : ptr+n])
}

func (b *bench) strings() []string {
	b.t.Helper()
	list, n := b.u32(outPtr), b.u32(outLen)
	if list == 0 || n == 0 {
		if list != 0 || n != 0 {
			b.t.Errorf("an empty list is (%#x, %d), want (0, 0)", list, n)
		}
		return nil
	}
	b.block(list, 8*n)
	got := make([]string, n)
	for i := range got {
		at := list + 8*uint32(i)
		if b.u32(at) == 0 {
			b.t.Errorf("element %d is null", i)
			continue
		}
		got[i] = b.block(b.u32(at), b.u32(at+4))
	}
	return got
}

// dirty makes the out-words look like uninitialised locals of C.
func (b *bench) dirty() {
	b.putU32(outPtr, 0x55555555)
	b.putU32(outLen, 0x55555555)
}

func (b *bench) getHeader(fn string, handle uint32, name string) []string {
	b.t.Helper()
	b.dirty()
	p, n := b.put(name)
	b.call(fn, outPtr, outLen, handle, p, n)
	return b.strings()
}

func (b *bench) get(fn string, handle uint32) (string, bool) {
	b.t.Helper()
	b.dirty()
	b.call(fn, outPtr, outLen, handle)
	return b.bytes()
}

func (b *bench) getHeaders(fn string, handle uint32) []string {
	b.t.Helper()
	b.dirty()
	b.call(fn, outPtr, outLen, handle)
	return b.strings()
}

func (b *bench) setHeader(fn string, handle uint32, name string, values ...string) int32 {
	b.t.Helper()
	p, n := b.put(name)
	vp, vn := b.list(values...)
	return b.status(fn, handle, p, n, vp, vn)
}

func names(m map[string]hostcalls.Func) []string { return slices.Sorted(maps.Keys(m)) }
