package hostcalls_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
)

func path(b *bench) error {
	_, err := b.try("req_get_path", outPtr, outLen, 0)
	return err
}

func TestAllocators(t *testing.T) {
	const want = "/a%20b?c=d"
	for name, prepare := range map[string]func(b *bench){
		"table": func(*bench) {},
		"export": func(b *bench) {
			b.exports = map[string]func(uint32) (uint32, error){"default_malloc_impl": b.malloc}
			b.table = nil
		},
		"grown pages":                  func(b *bench) { b.table = nil },
		"malloc that grows the memory": func(b *bench) { b.top = page - 10 },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, &hostcalls.Tenant{}, request())
			prepare(b)
			for range 3 {
				if err := path(b); err != nil {
					t.Fatal(err)
				}
				ptr, n := b.u32(outPtr), b.u32(outLen)
				if got := string(b.mem[ptr : ptr+n]); got != want || ptr == 0 {
					t.Errorf("got %q at %#x", got, ptr)
				}
				if strings.Trim(string(b.mem[ptr+n:ptr+n+32]), "\x00") != "" {
					t.Error("no zeros behind the data")
				}
			}
		})
	}
}

// The bump allocator neither overlaps blocks nor wastes a page for each.
func TestGrownPages(t *testing.T) {
	b := newBench(t, &hostcalls.Tenant{}, request())
	b.table = nil
	type span struct{ from, to uint32 }
	var spans []span
	for i := range 5000 {
		if i%1000 == 0 {
			b.Grow(1) // the guest grows its memory itself: not the host's
		}
		if err := path(b); err != nil {
			t.Fatal(err)
		}
		ptr := b.u32(outPtr)
		spans = append(spans, span{ptr, ptr + b.u32(outLen) + 32})
		if last := len(spans) - 1; last > 0 && ptr < spans[last-1].to {
			t.Fatalf("block %d at %#x overlaps the one before, which ends at %#x", i, ptr, spans[last-1].to)
		}
	}
	if pages := len(b.mem) / page; pages > 1+5+5 {
		t.Errorf("5000 blocks of 48 bytes took %d pages", pages)
	}
}

func TestMallocThatFails(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		malloc func(uint32) (uint32, error)
		want   string
	}{
		"returns 0":      {func(uint32) (uint32, error) { return 0, nil }, "malloc has no"},
		"traps":          {func(uint32) (uint32, error) { return 0, boom }, "boom"},
		"lies":           {func(uint32) (uint32, error) { return page - 8, nil }, "outside the guest's memory"},
		"lies, wrapping": {func(uint32) (uint32, error) { return 0xffffffff, nil }, "outside the guest's memory"},
	} {
		b := newBench(t, &hostcalls.Tenant{}, request())
		b.table[1] = c.malloc
		err := path(b)
		if err == nil || !strings.Contains(err.Error(), "hostcall_req_get_path: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("malloc %s: got %v", name, err)
		}
		if name == "traps" && !errors.Is(err, boom) {
			t.Errorf("the trap is lost: %v", err)
		}
	}
	b := newBench(t, &hostcalls.Tenant{}, request())
	b.table, b.maxPages = nil, 1
	if err := path(b); err == nil {
		t.Error("no malloc and no room: no trap")
	}
}

// A malloc may use the host's functions that do not allocate.
func TestMallocThatCallsTheHost(t *testing.T) {
	b := newBench(t, &hostcalls.Tenant{}, request())
	p, n := b.put("in malloc")
	b.table[1] = func(size uint32) (uint32, error) {
		b.call("debug", p, n)
		return b.malloc(size)
	}
	if got, _ := b.get("req_get_path", 0); got == "" || !b.log.has("in malloc") {
		t.Errorf("got %q", got)
	}
	b.table[1] = func(uint32) (uint32, error) { return 0, path(b) }
	if err := path(b); err == nil || !strings.Contains(err.Error(), "malloc called") {
		t.Errorf("endless recursion: got %v", err)
	}
}

// An Exchange that is used again knows nothing of the request before.
func TestExchangesAreClean(t *testing.T) {
	tn := &hostcalls.Tenant{Logger: &recorder{}}
	for i := range 10 {
		b := newBench(t, tn, request())
		if r := b.x.Response(); r.Code != 200 || len(r.Header) != 0 || len(r.Body) != 0 || b.x.Panic() != "" {
			t.Fatalf("round %d: %+v", i, r)
		}
		if got := b.status("req_create", b.url("GET", "http://example.com")...); got != 1 {
			t.Fatalf("round %d: handle %d", i, got)
		}
		b.setHeader("resp_set_header", 0, "a", "b")
		b.status("resp_set_body", 0, 0, 100)
		b.status("resp_set_response_code", 0, 404)
		p, n := b.put("panic")
		b.call("panic_hook", p, n)
		b.x.Close()
		b.x = hostcalls.NewExchange(tn, request())
	}
}
