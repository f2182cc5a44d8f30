// Package abitest is a guest of package abi without an engine: tests call the functions that a
// component imports, with arguments as the Canonical ABI flattens them, and results are
// allocated as a fused module does it.
package abitest

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/terrane/terrane/hostcalls"
)

// Guest is one request's guest. Its memory has 4 MiB; results and arguments are put from the
// place 4096 on, and Ret is a place for a result of at most 1 KiB.
type Guest struct {
	T   testing.TB
	X   *hostcalls.Exchange
	Ctx context.Context //nolint:containedctx // of the calls
	Log *Log
	Mem []byte

	// Suffix is what is added to the name of each module: an encoding of strings.
	Suffix string
	// Realloc, if set, places blocks instead of the guest's own allocator.
	Realloc func(align, size uint32) uint32

	funcs map[string]*hostcalls.Func
	top   uint32
}

// Ret is where results go.
const Ret = 1024

// Log keeps what was logged.
type Log struct {
	mu    sync.Mutex
	lines []string
}

// Log implements hostcalls.Logger.
func (l *Log) Log(_ *hostcalls.Request, level slog.Level, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, level.String()+" "+text)
}

// Lines are those logged.
func (l *Log) Lines() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// New begins a request to the tenant, which ends with the test unless it is ended before.
func New(t testing.TB, funcs []hostcalls.Func, tn *hostcalls.Tenant, req *hostcalls.Request) *Guest {
	log := &Log{}
	if tn == nil {
		tn = &hostcalls.Tenant{}
	}
	if tn.Logger == nil {
		tn.Logger = log
	}
	if req == nil {
		req = &hostcalls.Request{Method: "GET", Path: "/", Host: "example.com", Scheme: "https", Header: http.Header{}}
	}
	g := Of(t.Context(), t, funcs, hostcalls.NewExchange(tn, req))
	g.Log = log
	t.Cleanup(g.End)
	return g
}

// Of is the guest of a request that its caller ends.
func Of(ctx context.Context, t testing.TB, funcs []hostcalls.Func, x *hostcalls.Exchange) *Guest {
	g := &Guest{T: t, X: x, Ctx: ctx, Mem: make([]byte, 4<<20), top: 4096, funcs: map[string]*hostcalls.Func{}}
	for i := range funcs {
		g.funcs[funcs[i].Module+" "+funcs[i].Name] = &funcs[i]
	}
	return g
}

// End ends the request.
func (g *Guest) End() {
	if g.X != nil {
		g.X.Close()
		g.X = nil
	}
}

// Memory implements hostcalls.Guest.
func (g *Guest) Memory() []byte { return g.Mem }

// Grow implements hostcalls.Guest.
func (*Guest) Grow(uint32) (uint32, bool) { return 0, false }

// CallTable implements hostcalls.Guest: the host must not call the guest.
func (g *Guest) CallTable(context.Context, uint32, uint32, bool) (uint32, error) {
	g.T.Error("the host calls the guest")
	return 0, hostcalls.ErrNoFunction
}

// CallExport implements hostcalls.Guest.
func (g *Guest) CallExport(ctx context.Context, _ string, arg uint32, result bool) (uint32, error) {
	return g.CallTable(ctx, 0, arg, result)
}

// Try calls a function, "wasi:io/poll poll", and places the blocks that it asks for.
func (g *Guest) Try(name string, args ...uint64) (uint64, error) {
	g.T.Helper()
	module, fn, _ := strings.Cut(name, " ")
	if !strings.HasPrefix(module, "terrane:") && !strings.Contains(module, "@") {
		module += "@0.2"
	}
	f := g.funcs[module+g.Suffix+" "+fn]
	if f == nil {
		g.T.Fatalf("no function %s in %s%s", fn, module, g.Suffix)
	}
	if len(args) != len(f.Params) {
		g.T.Fatalf("%s: %d arguments, want %d", name, len(args), len(f.Params))
	}
	stack := make([]uint64, max(1, len(args)))
	for i, v := range args {
		if stack[i] = v; f.Params[i] == hostcalls.I32 {
			stack[i] |= 0xdeadbeef << 32 // as engines leave it
		}
	}
	if err := f.Call(g.Ctx, g.X, g, stack); err != nil {
		return 0, err
	}
	result := stack[0]
	return result, g.place()
}

func (g *Guest) place() error {
	block := g.funcs["terrane:abi block"]
	for stack := []uint64{0}; ; {
		if err := block.Call(g.Ctx, g.X, g, stack); err != nil {
			return err
		}
		if stack[0] == 0 {
			return nil
		}
		align, size := uint32(stack[0]>>32), uint32(stack[0])
		if g.Realloc != nil {
			stack[0] = uint64(g.Realloc(align, size))
			continue
		}
		g.top = (g.top + align - 1) &^ (align - 1)
		stack[0] = uint64(g.top)
		if g.top += size; int(g.top) > len(g.Mem) {
			g.T.Fatal("the guest's memory is full")
		}
	}
}

// Call is Try for a call that must not trap.
func (g *Guest) Call(name string, args ...uint64) uint64 {
	g.T.Helper()
	v, err := g.Try(name, args...)
	if err != nil {
		g.T.Fatalf("%s: %v", name, err)
	}
	return v
}

// Traps expects a call to trap with an error that has the text.
func (g *Guest) Traps(want, name string, args ...uint64) {
	g.T.Helper()
	_, err := g.Try(name, args...)
	if err == nil || !strings.Contains(err.Error(), want) {
		g.T.Errorf("%s: %v; want a trap with %q", name, err, want)
	}
}

// Put puts b into memory.
func (g *Guest) Put(b string) (ptr, n uint64) {
	g.top = (g.top + 7) &^ 7
	ptr = uint64(g.top)
	g.top += uint32(copy(g.Mem[ptr:], b))
	return ptr, uint64(len(b))
}

// Words puts numbers of 32 bits into memory.
func (g *Guest) Words(words ...uint64) uint64 {
	var b []byte
	for _, w := range words {
		b = binary.LittleEndian.AppendUint32(b, uint32(w))
	}
	ptr, _ := g.Put(string(b))
	return ptr
}

// U8 is a byte of the result.
func (g *Guest) U8(at uint64) int { return int(g.Mem[Ret+at]) }

// U32 is a number in the result.
func (g *Guest) U32(at uint64) uint64 { return uint64(binary.LittleEndian.Uint32(g.Mem[Ret+at:])) }

// U64 is a number in the result.
func (g *Guest) U64(at uint64) uint64 { return binary.LittleEndian.Uint64(g.Mem[Ret+at:]) }

// At is a number of 32 bits anywhere.
func (g *Guest) At(ptr uint64) uint64 { return uint64(binary.LittleEndian.Uint32(g.Mem[ptr:])) }

// Bytes is the list or string whose place and length are in the result.
func (g *Guest) Bytes(at uint64) string { return g.BytesAt(Ret + at) }

// BytesAt is the list or string whose place and length are at ptr.
func (g *Guest) BytesAt(ptr uint64) string {
	p, n := g.At(ptr), g.At(ptr+4)
	return string(g.Mem[p : p+n])
}
