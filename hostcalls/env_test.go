package hostcalls_test

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
)

func TestInboundRequest(t *testing.T) {
	b := newBench(t, &hostcalls.Tenant{}, request())
	for fn, want := range map[string]string{
		"req_get_method": "GET", "req_get_path": "/a%20b?c=d", "req_get_body": "hello",
	} {
		if got, ok := b.get(fn, 0); got != want || !ok {
			t.Errorf("%s: got %q %v, want %q", fn, got, ok, want)
		}
		if got, ok := b.get(fn, 1); ok {
			t.Errorf("%s of the handle 1: got %q", fn, got)
		}
	}
	if got, want := b.getHeaders("req_get_headers", 0),
		[]string{"accept", "fastly-client-ip", "host", "user-agent", "x-empty"}; !slices.Equal(got, want) {
		t.Errorf("names: got %q, want %q", got, want)
	}
	if got := b.getHeaders("req_get_headers", 7); got != nil {
		t.Errorf("names of no request: got %q", got)
	}
	for name, want := range map[string][]string{
		"accept": {"text/html", "text/plain"}, "ACCEPT": {"text/html", "text/plain"},
		"Host": {"example.com"}, "host": {"example.com"}, "x-empty": {""},
		"fastly-client-ip": {"192.0.2.7"}, "x-fastly-client-ip": nil,
		"absent": nil, "": nil, "no token": nil, strings.Repeat("x", 300): nil,
	} {
		if got := b.getHeader("req_get_header", 0, name); !slices.Equal(got, want) {
			t.Errorf("%.20q: got %q, want %q", name, got, want)
		}
		if got := b.getHeader("req_get_header", 3, name); got != nil {
			t.Errorf("%.20q of no request: got %q", name, got)
		}
		b.at = scratch
	}
}

func TestInboundWithoutBodyOrClient(t *testing.T) {
	req := request()
	req.Body, req.Client = nil, netip.Addr{}
	b := newBench(t, &hostcalls.Tenant{}, req)
	if got, ok := b.get("req_get_body", 0); ok {
		t.Errorf("body: got %q, want (0, 0)", got)
	}
	if got := b.getHeader("req_get_header", 0, "fastly-client-ip"); !slices.Equal(got, []string{"6.6.6.6"}) {
		t.Errorf("got %q: what `terrane run --header` says counts when there is no visitor", got)
	}
}

func TestResponse(t *testing.T) {
	b := newBench(t, &hostcalls.Tenant{}, request())
	p, n := b.put("body")
	if s := b.status("resp_set_body", 0, p, n); s != 0 {
		t.Errorf("body: status %d", s)
	}
	if s := b.status("resp_set_body", 0, p, n-1); s != 0 { // replaces
		t.Errorf("body: status %d", s)
	}
	for _, h := range []struct {
		handle uint32
		name   string
		values []string
		status int32
	}{
		{0, "content-TYPE", []string{"text/plain"}, 0},
		{0, "Content-Type", []string{"text/html"}, 0},
		{0, "set-cookie", []string{"a=1", "b=2"}, 0},
		{0, "x-empty", []string{""}, 0},
		{0, "x-gone", []string{"1"}, 0},
		{0, "X-Gone", nil, 0},
		{0, "x-latin", []string{"caf\xe9"}, 0},
		{0, "content-length", []string{"1000"}, 0},
		{0, "transfer-encoding", []string{"chunked"}, 0},
		{0, "connection", []string{"close"}, 0},
		{0, "x-split", []string{"a\r\nSet-Cookie: b=1"}, 1},
		{0, "x-nul", []string{"ok", "a\x00"}, 1},
		{0, "x split", []string{"a"}, 1},
		{0, "x:", []string{"a"}, 1},
		{0, "", []string{"a"}, 1},
		{1, "x-handle", []string{"a"}, 1},
	} {
		b.at = scratch
		if s := b.setHeader("resp_set_header", h.handle, h.name, h.values...); s != h.status {
			t.Errorf("%q = %q: status %d, want %d", h.name, h.values, s, h.status)
		}
	}
	got := b.x.Response()
	want := http.Header{
		"Content-Type": {"text/html"}, "Set-Cookie": {"a=1", "b=2"}, "X-Empty": {""}, "X-Latin": {"caf\xe9"},
	}
	if fmt.Sprint(got.Header) != fmt.Sprint(want) || string(got.Body) != "bod" || got.Code != 200 {
		t.Errorf("got %d %v %q, want 200 %v bod", got.Code, got.Header, got.Body, want)
	}
	for _, c := range []struct {
		handle, code uint32
		status       int32
	}{{0, 404, 0}, {0, 200, 0}, {0, 999, 0}, {0, 199, 1}, {0, 1000, 1}, {0, 0, 1}, {0, math.MaxUint32, 1}, {0, 1<<16 | 200, 1}, {2, 200, 1}} {
		if s := b.status("resp_set_response_code", c.handle, c.code); s != c.status {
			t.Errorf("code %d: status %d, want %d", c.code, s, c.status)
		}
	}
	if got.Code != 999 {
		t.Errorf("code: got %d, want the last valid one, 999", got.Code)
	}
	if s := b.status("resp_set_body", 5, p, n); s != 1 {
		t.Errorf("body of no response: status %d", s)
	}
}

func TestResponseLimits(t *testing.T) {
	tn := &hostcalls.Tenant{}
	tn.Limits.ResponseBody = 10
	b := newBench(t, tn, request())
	if s := b.status("resp_set_body", 0, scratch, 11); s != 1 {
		t.Errorf("body over the limit: status %d", s)
	}
	if !b.log.has("exceeds the limit of 10") {
		t.Errorf("the log does not say why: %q", b.log.lines)
	}
	name, n := b.put("x")
	for i := range uint32(4) {
		b.putU32(0x800+8*i, 0x1000)
		b.putU32(0x804+8*i, 1000)
	}
	copy(b.mem[0x1000:], strings.Repeat("v", 1000))
	set := 0
	for range 1000 {
		if b.status("resp_set_header", 0, name, n, 0x800, 4) != 0 {
			break
		}
		set++
	}
	if set == 0 || set == 1000 {
		t.Errorf("headers of 4 KB were set %d times: want a bound", set)
	}
}

// No pointer of any function may lead outside the memory, nor a sum wrap around.
func TestEveryRangeIsChecked(t *testing.T) {
	const o, end = outPtr, page
	calls := map[string]struct {
		args []uint32
		ptrs map[int]string // argument -> what the trap must name
	}{
		"panic_hook":          {[]uint32{0, 4}, map[int]string{0: "message"}},
		"debug":               {[]uint32{0, 4}, map[int]string{0: "message"}},
		"req_get_header":      {[]uint32{o, o, 0, 0, 4}, map[int]string{0: "pointer result", 1: "length result", 3: "name"}},
		"req_get_headers":     {[]uint32{o, o, 0}, map[int]string{0: "pointer result", 1: "length result"}},
		"req_get_method":      {[]uint32{o, o, 0}, map[int]string{0: "pointer result", 1: "length result"}},
		"req_get_body":        {[]uint32{o, o, 0}, map[int]string{0: "pointer result", 1: "length result"}},
		"req_get_path":        {[]uint32{o, o, 0}, map[int]string{0: "pointer result", 1: "length result"}},
		"resp_set_header":     {[]uint32{0, scratch, 4, 0x900, 1}, map[int]string{1: "name", 3: "values"}},
		"resp_set_body":       {[]uint32{0, 0, 4}, map[int]string{1: "body"}},
		"req_create":          {[]uint32{0, 4, 0, 4}, map[int]string{0: "method", 2: "url"}},
		"req_set_header":      {[]uint32{1, scratch, 4, 0x900, 1}, map[int]string{1: "name", 3: "values"}},
		"req_set_body":        {[]uint32{1, 0, 4}, map[int]string{1: "body"}},
		"pending_req_select":  {[]uint32{scratch, 1, o}, map[int]string{0: "pending requests", 2: "finished request"}},
		"resp_get_headers":    {[]uint32{o, o, 9}, map[int]string{0: "pointer result", 1: "length result"}},
		"resp_get_header":     {[]uint32{o, o, 9, 0, 4}, map[int]string{0: "pointer result", 1: "length result", 3: "name"}},
		"resp_get_body":       {[]uint32{o, o, 9}, map[int]string{0: "pointer result", 1: "length result"}},
		"kvstore_get":         {[]uint32{o, o, 0, 4}, map[int]string{0: "pointer result", 1: "length result", 2: "key"}},
		"kvstore_insert":      {[]uint32{0, 4, 0, 4}, map[int]string{0: "key", 2: "value"}},
		"kvstore_upsert":      {[]uint32{0, 4, 0, 4}, map[int]string{0: "key", 2: "value"}},
		"kvstore_append":      {[]uint32{0, 4, 0, 4}, map[int]string{0: "key", 2: "value"}},
		"kvstore_remove":      {[]uint32{0, 4}, map[int]string{0: "key"}},
		"time_now":            {[]uint32{4}, map[int]string{0: "nanoseconds"}},
		"dns_query_raw":       {[]uint32{o, o, 0, 4}, map[int]string{0: "pointer result", 1: "length result", 2: "query"}},
		"env_get":             {[]uint32{o, o, 0, 4}, map[int]string{0: "pointer result", 1: "length result", 2: "name"}},
		"edge_name":           {[]uint32{o, o}, map[int]string{0: "pointer result", 1: "length result"}},
		"edge_region":         {[]uint32{o, o}, map[int]string{0: "pointer result", 1: "length result"}},
		"request_id":          {[]uint32{o, o}, map[int]string{0: "pointer result", 1: "length result"}},
		"last_error":          {[]uint32{o, o}, map[int]string{0: "pointer result", 1: "length result"}},
		"log":                 {[]uint32{1, 0, 4}, map[int]string{1: "message"}},
		"kvstore_get_version": {[]uint32{o, o, o, 0, 4}, map[int]string{0: "pointer result", 1: "length result", 2: "version result", 3: "key"}},
		"kvstore_put":         {[]uint32{0, 4, 0, 4, 7, 0}, map[int]string{0: "key", 2: "value"}},
		"kvstore_increment":   {[]uint32{0x900, 4, 1, 0, o}, map[int]string{0: "key", 4: "result"}},
		"kvstore_list":        {[]uint32{o, o, 0x900, 4, 0x900, 4, 3}, map[int]string{0: "pointer result", 1: "length result", 2: "prefix", 4: "after"}},
		"resp_read":           {[]uint32{9, 0, 4}, map[int]string{1: "buffer"}},
		"resp_send_chunk":     {[]uint32{0, 0, 4}, map[int]string{1: "chunk"}},
		"publish":             {[]uint32{0, 4, 0, 4}, map[int]string{0: "subject", 2: "message"}},
		"request":             {[]uint32{0, 4, 0, 4}, map[int]string{0: "subject", 2: "message"}},
		"dns_query_ip":        {[]uint32{o, o, 0, 4, 0}, map[int]string{0: "pointer result", 1: "length result", 2: "name"}},
	}
	without := []string{"init_mm", "resp_set_response_code", "req_send", "req_send_async", "pending_req_wait", "pending_req_poll",
		"resp_get_response_code", "rng_next_u64", "abort", "req_set_timeout", "req_send_streaming"}
	b := newBench(t, &hostcalls.Tenant{KV: memorykv.New(hostcalls.Quota{})}, request())
	b.call("req_create", b.url("GET", "http://example.com/")...)
	for _, name := range names(b.funcs) {
		c, ok := calls[name]
		if !ok {
			if !slices.Contains(without, name) {
				t.Errorf("%s: no case", name)
			}
			continue
		}
		if _, err := b.try(name, c.args...); err != nil {
			t.Errorf("%s with good pointers: %v", name, err)
		}
		for i, what := range c.ptrs {
			for _, ptr := range []uint32{end - 3, end, end + 1, math.MaxInt32, math.MaxUint32 - 3, math.MaxUint32} {
				args := slices.Clone(c.args)
				args[i] = ptr
				_, err := b.try(name, args...)
				if err == nil || !strings.Contains(err.Error(), "hostcall_"+name+": "+what) {
					t.Errorf("%s, argument %d = %#x: got %v, want a trap that names %q", name, i, ptr, err, what)
				}
			}
			if i+1 < len(c.args) && c.args[i+1] == 4 {
				args := slices.Clone(c.args)
				args[i], args[i+1] = 8, math.MaxUint32-7 // wraps around to 0
				if _, err := b.try(name, args...); err == nil {
					t.Errorf("%s, argument %d: a length that wraps around went through", name, i)
				}
				args[i], args[i+1] = 0xffffff01, 0 // a dangling pointer of no length
				if _, err := b.try(name, args...); err != nil {
					t.Errorf("%s, argument %d: dangling pointer with length 0: %v", name, i, err)
				}
			}
		}
	}
}

// url puts the arguments of req_create.
func (b *bench) url(method, url string) []uint32 {
	m, ml := b.put(method)
	u, ul := b.put(url)
	return []uint32{m, ml, u, ul}
}

func TestElementsOutsideMemory(t *testing.T) {
	b := newBench(t, &hostcalls.Tenant{}, request())
	name, n := b.put("x-a")
	list, _ := b.list("ok", "")
	b.putU32(list+8, page-1)
	b.putU32(list+12, 2)
	if _, err := b.try("resp_set_header", 0, name, n, list, 2); err == nil || !strings.Contains(err.Error(), "values") {
		t.Errorf("got %v, want a trap", err)
	}
	if _, err := b.try("resp_set_header", 0, name, n, 0, math.MaxUint32/8); err == nil {
		t.Error("a list of half a billion elements went through")
	}
	if len(b.x.Response().Header) != 0 {
		t.Errorf("header set in passing: %v", b.x.Response().Header)
	}
}

func TestDiagnostics(t *testing.T) {
	b := newBench(t, &hostcalls.Tenant{}, request())
	p, n := b.put("to the log")
	b.call("debug", p, n)
	p, _ = b.put("until NUL\x00not this")
	b.call("debug", p, math.MaxUint32)
	copy(b.mem[page-3:], "end")
	b.call("debug", page-3, math.MaxUint32)
	p, n = b.put("panicked at 'x'")
	b.call("panic_hook", p, n)
	want := []string{"DEBUG to the log", "DEBUG until NUL", "DEBUG end", "ERROR panicked at 'x'"}
	if !slices.Equal(b.log.lines, want) {
		t.Errorf("got %q, want %q", b.log.lines, want)
	}
	if b.x.Panic() != "panicked at 'x'" {
		t.Errorf("panic: got %q", b.x.Panic())
	}
	for range 10_000 {
		b.call("debug", 0, 60_000)
	}
	size := 0
	for _, l := range b.log.lines {
		size += len(l)
	}
	if size > hostcalls.LogMax+2*hostcalls.LogLineMax {
		t.Errorf("one request logged %d bytes", size)
	}
}

func TestTimeAndRandomness(t *testing.T) {
	b := newBench(t, &hostcalls.Tenant{}, request())
	b.putU32(0, 0x55555555)
	if s := b.call("time_now", 0); s < 1_700_000_000 || s > 1<<33 {
		t.Errorf("time: %d", s)
	}
	if b.u32(0) != 0x55555555 {
		t.Error("time_now(0) wrote at 0")
	}
	b.putU32(outWord, math.MaxUint32)
	if b.call("time_now", outWord); b.u32(outWord) >= 1e9 {
		t.Errorf("nanoseconds: %d", b.u32(outWord))
	}
	seen := map[uint64]bool{}
	for range 100 {
		seen[b.call("rng_next_u64")] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d of 100 random numbers differ", len(seen))
	}
}
