package hostcalls_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/terrane/terrane/hostcalls"
)

// stuck is an outside that never answers; entered is what was asked of it. The methods of
// ready answer, so that what comes after them is asked.
type stuck struct {
	entered string
	ready   map[string]bool
}

func (s *stuck) wait(ctx context.Context, method string) error {
	if s.ready[method] {
		return nil
	}
	s.entered = method
	<-ctx.Done()
	return ctx.Err()
}

func (s *stuck) Get(ctx context.Context, _ string) (hostcalls.KVEntry, error) {
	return hostcalls.KVEntry{Value: []byte("1"), Version: 1}, s.wait(ctx, "Get")
}

func (s *stuck) Put(ctx context.Context, _ string, _ []byte, _ uint64, _ time.Time) (uint64, error) {
	return 2, s.wait(ctx, "Put")
}

func (s *stuck) Delete(ctx context.Context, _ string, _ uint64) error { return s.wait(ctx, "Delete") }

func (s *stuck) List(ctx context.Context, _, _ string, _ int) ([]string, error) {
	return nil, s.wait(ctx, "List")
}

func (s *stuck) Fetch(ctx context.Context, _ *hostcalls.FetchRequest) (*hostcalls.FetchResponse, error) {
	return &hostcalls.FetchResponse{Code: 200, Body: stuckBody{ctx, s}, Length: -1}, s.wait(ctx, "Fetch")
}

func (s *stuck) Query(ctx context.Context, _ []byte) ([]byte, error) {
	return nil, s.wait(ctx, "Query")
}

func (s *stuck) LookupIP(ctx context.Context, _ string, _ bool) ([]netip.Addr, error) {
	return nil, s.wait(ctx, "LookupIP")
}

func (s *stuck) Publish(ctx context.Context, _ *hostcalls.Message) error {
	return s.wait(ctx, "Publish")
}

func (s *stuck) Request(ctx context.Context, _ *hostcalls.Message) (*hostcalls.Response, error) {
	return nil, s.wait(ctx, "Request")
}

type stuckBody struct {
	ctx context.Context //nolint:containedctx // the fetch's, as an HTTP client's body has it
	*stuck
}

func (b stuckBody) Read([]byte) (int, error) { return 0, errors.Join(b.wait(b.ctx, "Read"), io.EOF) }
func (b stuckBody) Close() error             { return nil }

// TestEveryWaitEnds calls each function that asks somebody outside, who does not answer: the
// call ends with the request's time, and the guest with it. In synctest a wait without end is
// a deadlock, and ends the test.
func TestEveryWaitEnds(t *testing.T) {
	for _, tt := range []struct {
		function string
		ready    string // what answers
		waits    string // where it is stuck; empty: in the function itself
		args     func(b *bench) []uint32
	}{
		{"kvstore_get", "", "Get", func(b *bench) []uint32 { p, n := b.put("key"); return []uint32{outPtr, outLen, p, n} }},
		{"kvstore_get_version", "", "Get", func(b *bench) []uint32 { p, n := b.put("key"); return []uint32{outPtr, outLen, outWord &^ 7, p, n} }},
		{"kvstore_insert", "Get", "Put", keyValue},
		{"kvstore_upsert", "", "Get", keyValue},
		{"kvstore_append", "Get", "Put", keyValue},
		{"kvstore_put", "", "Put", func(b *bench) []uint32 { return append(keyValue(b), 1, 0) }},
		{"kvstore_remove", "Get", "Delete", func(b *bench) []uint32 { p, n := b.put("key"); return []uint32{p, n} }},
		{"kvstore_increment", "Get", "Put", func(b *bench) []uint32 { p, n := b.put("key"); return []uint32{p, n, 1, 0, outWord &^ 7} }},
		{"kvstore_list", "", "List", func(b *bench) []uint32 {
			p, n := b.put("k")
			return []uint32{outPtr, outLen, p, n, p, 0, 10}
		}},
		{"dns_query_raw", "", "Query", func(b *bench) []uint32 { p, n := b.put("question"); return []uint32{outPtr, outLen, p, n} }},
		{"dns_query_ip", "", "LookupIP", func(b *bench) []uint32 { p, n := b.put("a.example"); return []uint32{outPtr, outLen, p, n, 0} }},
		{"publish", "", "Publish", keyValue},
		{"request", "", "Request", keyValue},
		{"req_send", "", "Fetch", outbound},
		{"req_send", "Fetch", "Read", outbound},
		{"req_send_streaming", "", "Fetch", outbound},
		{"resp_read", "Fetch", "Read", func(b *bench) []uint32 {
			return []uint32{uint32(b.status("req_send_streaming", outbound(b)...)), 0x800, 16}
		}},
		{"pending_req_wait", "", "Fetch", func(b *bench) []uint32 { return []uint32{uint32(b.status("req_send_async", outbound(b)...))} }},
		{"pending_req_select", "Fetch", "Read", func(b *bench) []uint32 {
			b.putU32(0x900, uint32(b.status("req_send_async", outbound(b)...)))
			return []uint32{0x900, 1, outWord}
		}},
		{"poll_oneoff", "", "", func(b *bench) []uint32 {
			binary.LittleEndian.PutUint64(b.mem[0x800+24:], 1<<62)
			return []uint32{0x800, 0x900, 1, outWord}
		}},
	} {
		t.Run(tt.function+" "+tt.waits, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				out := &stuck{ready: map[string]bool{tt.ready: true}}
				b := newBench(t, &hostcalls.Tenant{KV: out, Fetcher: out, Resolver: out, Messages: out}, request())
				for _, f := range hostcalls.Functions() {
					if f.Name == "poll_oneoff" {
						b.funcs[f.Name] = f
					}
				}
				f := b.funcs[tt.function]
				b.ctx = ctx
				stack := make([]uint64, max(1, len(f.Params)))
				for i, v := range tt.args(b) {
					stack[i] = uint64(v)
				}
				began := time.Now()
				err := f.Call(ctx, b.x, b.memoryGuest, stack)
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
					t.Errorf("got %v after %v, want the deadline after a second; log %q", err, time.Since(began), b.log.lines)
				}
				synctest.Wait()
				if out.entered != tt.waits {
					t.Errorf("it was stuck in %q, want %q; log %q", out.entered, tt.waits, b.log.lines)
				}
			})
		})
	}
}

func keyValue(b *bench) []uint32 {
	k, kn := b.put("a.key")
	v, vn := b.put("value")
	return []uint32{k, kn, v, vn}
}

func outbound(b *bench) []uint32 { return []uint32{b.create("GET", "http://upstream.example/")} }
