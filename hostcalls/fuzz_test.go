package hostcalls_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"testing/fstest"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
)

// FuzzFunctions calls functions of all dialects with arguments and memory that a
// hostile guest would choose: nothing may panic, and every end is an answer or a trap.
func FuzzFunctions(f *testing.F) {
	funcs := hostcalls.Functions()
	for i := range funcs {
		f.Add([]byte{byte(i), 1, 2, 3, 4, 5, 6, 7, 8, 9}, []byte("GET\x00http://example.com/\x00host\x00\x10\x01\x00\x00\x04\x00\x00\x00"))
	}
	f.Add([]byte{0, 2, 2}, []byte{})
	f.Fuzz(func(t *testing.T, program, memory []byte) {
		g := newGuest()
		g.maxPages = 2
		copy(g.mem[scratch:0x1000], memory)
		tn := &hostcalls.Tenant{KV: memorykv.New(hostcalls.Quota{Bytes: 1 << 20}), Logger: &recorder{}, Env: map[string]string{"A": "b"},
			Files: fstest.MapFS{"a": {Data: []byte("data")}, "d/b": {}}}
		x := hostcalls.NewExchange(tn, request())
		defer x.Close()
		x.Enter([]string{"run", "_start"}[len(program)%2])
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		for calls := 0; len(program) > 0 && calls < 100; calls++ {
			f := funcs[int(program[0])%len(funcs)]
			program = program[1:]
			stack := make([]uint64, max(len(f.Params), len(f.Results)))
			for i := range f.Params {
				stack[i], program = argument(program)
			}
			if err := f.Call(ctx, x, g, stack); err != nil {
				if errors.Is(err, context.DeadlineExceeded) && f.Name != "poll_oneoff" {
					t.Errorf("%s waits for nothing", f.Name)
				}
				return
			}
			if len(f.Results) > 0 && f.Results[0] == hostcalls.I32 && stack[0]>>32 != 0 {
				t.Errorf("%s: result %#x has upper bits", f.Name, stack[0])
			}
		}
		r := x.Response()
		if r.Code < 200 || r.Code > 999 {
			t.Errorf("code %d", r.Code)
		}
	})
}

// argument takes one from the program: a small number, a place near an edge, or
// any 32 bits, below garbage.
func argument(program []byte) (uint64, []byte) {
	if len(program) == 0 {
		return 0, nil
	}
	const garbage = 0xabcdef01 << 32
	c, rest := program[0], program[1:]
	switch {
	case c < 64:
		return garbage | uint64(c), rest
	case c < 128:
		return garbage | scratch + uint64(c-64)*4, rest
	case c < 160:
		return garbage | uint64(page-16+int(c-128)), rest
	case c < 192:
		return garbage | uint64(math.MaxUint32-uint32(c-160)), rest
	case len(rest) >= 4:
		return garbage | uint64(binary.LittleEndian.Uint32(rest)), rest[4:]
	}
	return garbage | uint64(c), rest
}
