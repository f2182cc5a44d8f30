package hostcalls_test

import (
	"testing"

	"github.com/terrane/terrane/hostcalls"
)

// hot is a bench whose malloc gives the same block again, so that what is measured
// is the host's side alone.
func hot(t testing.TB) *bench {
	b := newBench(t, &hostcalls.Tenant{}, request())
	b.table[1] = func(n uint32) (uint32, error) {
		b.top = 0x1000 + (b.top-0x1000+n+7)&^7%0x8000
		return b.top, nil
	}
	return b
}

// hotCalls are the calls of nearly every request.
func hotCalls(b *bench) map[string]func() {
	ua, uaLen := b.put("User-Agent")
	ct, ctLen := b.put("content-type")
	list, n := b.list("text/plain")
	stack := make([]uint64, 5)
	call := func(name string, a ...uint32) func() {
		f := b.funcs[name]
		return func() {
			for i, v := range a {
				stack[i] = uint64(v)
			}
			if err := f.Call(b.t.Context(), b.x, b.memoryGuest, stack); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	return map[string]func(){
		"req_get_path":           call("req_get_path", outPtr, outLen, 0),
		"req_get_header":         call("req_get_header", outPtr, outLen, 0, ua, uaLen),
		"req_get_headers":        call("req_get_headers", outPtr, outLen, 0),
		"resp_set_body":          call("resp_set_body", 0, 0, 1000),
		"resp_set_response_code": call("resp_set_response_code", 0, 200),
		"resp_set_header":        call("resp_set_header", 0, ct, ctLen, list, n),
		"rng_next_u64":           call("rng_next_u64"),
		"time_now":               call("time_now", outWord),
	}
}

func TestNoAllocationPerCall(t *testing.T) {
	b := hot(t)
	for name, call := range hotCalls(b) {
		want := 0.0
		if name == "resp_set_header" {
			continue // copies its values: see TestSetHeaderAllocations
		}
		call()
		if got := testing.AllocsPerRun(100, call); got > want {
			t.Errorf("%s: %v allocations, want %v", name, got, want)
		}
	}
}

// Setting a header allocates its value, and nothing else.
func TestSetHeaderAllocations(t *testing.T) {
	set := hotCalls(hot(t))["resp_set_header"]
	set()
	if got := testing.AllocsPerRun(100, set); got > 1 {
		t.Errorf("%v allocations, want the value's", got)
	}
}

func BenchmarkHostcall(b *testing.B) {
	h := hot(b)
	calls := hotCalls(h)
	for _, name := range []string{"req_get_path", "req_get_header", "req_get_headers", "resp_set_body", "rng_next_u64", "time_now"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				calls[name]()
			}
		})
	}
}
