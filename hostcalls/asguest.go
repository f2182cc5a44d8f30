package hostcalls

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/terrane/terrane/hostcalls/asheap"
)

// moduleAS is the import module of AssemblyScript guests: the compiler named it
// after the library's file.
const moduleAS = "http_guest"

// asFunctions is the dialect of AssemblyScript 0.5 and 0.6: the names of env, with
// heap objects in natural order, and results returned.
func asFunctions() []Func {
	f := func(name, sig string, do impl) Func { return define(moduleAS, "hostcall_"+name, sig, do) }
	return []Func{
		define(moduleEnv, "abort", "iiii", asAbort),

		f("init_mm", "ii", initMM),

		f("req_get_header", "ii:i", asReqGetHeader),
		f("req_get_headers", "i:i", asReqGetHeaders),
		f("req_get_method", "i:i", asIncomingString(func(r *Request) string { return r.Method })),
		f("req_get_body", "i:i", asReqGetBody),
		f("req_get_path", "i:i", asIncomingString(func(r *Request) string { return r.Path })),

		f("resp_set_header", "iii:i", asRespSetHeader),
		f("resp_set_body", "ii:i", asRespSetBody),
		f("resp_set_response_code", "ii:i", respSetResponseCode),

		f("req_create", "ii:i", asReqCreate),
		f("req_set_header", "iii:i", asReqSetHeader),
		f("req_set_body", "ii:i", asReqSetBody),
		f("req_send", "i:i", reqSend),
		f("req_send_async", "i:i", reqSendAsync),
		f("pending_req_wait", "i:i", pendingReqWait),
		f("pending_req_poll", "i:i", pendingReqPoll),
		f("pending_req_select", "ii:i", asPendingReqSelect),
		f("resp_get_headers", "i:i", asRespGetHeaders),
		f("resp_get_header", "ii:i", asRespGetHeader),
		f("resp_get_body", "i:i", asRespGetBody),
		f("resp_get_response_code", "i:i", respGetResponseCode),

		f("kvstore_get", "i:i", asKVGet),
		f("kvstore_insert", "ii:i", asKVWriter(insert)),
		f("kvstore_upsert", "ii:i", asKVWriter(upsert)),
		f("kvstore_append", "ii:i", asKVWriter(appending)),
		f("kvstore_remove", "i:i", asKVRemove),

		f("rng_next_u64", ":I", rngNextU64),
		f("time_now", "i:I", timeNow),
		f("dns_query_raw", "i:i", asDNSQueryRaw),
		f("dns_query_ip", "ii:i", asDNSQueryIP),
		f("utf16_to_utf8_lossy", "i:i", asToUTF8),
		f("utf8_to_utf16_lossy", "i:i", asToUTF16),
	}
}

func asIncomingString(of func(*Request) string) impl {
	return func(ctx context.Context, x *Exchange, g Guest, a args) error {
		s := ""
		if a.Handle(0) == requestIncoming {
			s = of(x.req)
		}
		return a.ReturnPointer(asheap.NewString(ctx, &x.mm, g, s, false))
	}
}

func asReqGetBody(ctx context.Context, x *Exchange, g Guest, a args) error {
	var body []byte
	if a.Handle(0) == requestIncoming {
		body = x.req.Body
	}
	return a.ReturnPointer(asheap.NewBytes(ctx, &x.mm, g, body))
}

func asReqGetHeaders(ctx context.Context, x *Exchange, g Guest, a args) error {
	var names []string
	if a.Handle(0) == requestIncoming {
		names = x.incomingNames()
	}
	return a.ReturnPointer(asheap.NewStrings(ctx, &x.mm, g, names, true))
}

func asReqGetHeader(ctx context.Context, x *Exchange, g Guest, a args) error {
	name, err := asheap.String(g, a.U32(1), "name")
	if err != nil {
		return err
	}
	var values []string
	if a.Handle(0) == requestIncoming {
		values = x.incomingValues(name)
	}
	return a.ReturnPointer(asheap.NewStrings(ctx, &x.mm, g, values, false))
}

func asRespSetHeader(_ context.Context, x *Exchange, g Guest, a args) error {
	if a.Handle(0) != responseOutgoing || x.tooLate() {
		a.ReturnStatus(false)
		return nil
	}
	ok, err := asSetHeaderTo(x, g, a, x.resp.Header, &x.refused)
	x.answered = x.answered || ok
	a.ReturnStatus(ok)
	return err
}

func asSetHeaderTo(x *Exchange, g Guest, a args, h http.Header, refused *refusals) (bool, error) {
	name, err := asheap.String(g, a.U32(1), "name")
	if err != nil {
		return false, err
	}
	values, err := asheap.Strings(g, a.U32(2), "values")
	if err != nil {
		return false, err
	}
	return x.setHeader(h, refused, name, values)
}

func asRespSetBody(_ context.Context, x *Exchange, g Guest, a args) error {
	body, err := asheap.Array(g, a.U32(1), 1, "body")
	if err != nil {
		return err
	}
	a.ReturnStatus(a.Handle(0) == responseOutgoing && x.setBody(body))
	return nil
}

func asReqCreate(_ context.Context, x *Exchange, g Guest, a args) error {
	method, err := asheap.String(g, a.U32(0), "method")
	if err != nil {
		return err
	}
	rawURL, err := asheap.String(g, a.U32(1), "url")
	if err != nil {
		return err
	}
	a.Return(x.createRequest(method, rawURL))
	return nil
}

func asReqSetHeader(_ context.Context, x *Exchange, g Guest, a args) error {
	r := x.at(a.Handle(0)).request
	if r == nil {
		a.ReturnStatus(false)
		return nil
	}
	ok, err := asSetHeaderTo(x, g, a, r.header, &r.refused)
	a.ReturnStatus(ok && x.takeHost(r))
	return err
}

func asReqSetBody(_ context.Context, x *Exchange, g Guest, a args) error {
	body, err := asheap.Array(g, a.U32(1), 1, "body")
	if err != nil {
		return err
	}
	a.ReturnStatus(x.setRequestBody(a.Handle(0), body))
	return nil
}

func asPendingReqSelect(ctx context.Context, x *Exchange, g Guest, a args) error {
	list, err := asheap.Array(g, a.U32(0), 4, "pending requests")
	if err != nil {
		return err
	}
	return selectTo(ctx, x, g, a, list, a.U32(1))
}

func asRespGetHeaders(ctx context.Context, x *Exchange, g Guest, a args) error {
	return a.ReturnPointer(asheap.NewStrings(ctx, &x.mm, g, x.responseNames(a.Handle(0)), true))
}

func asRespGetHeader(ctx context.Context, x *Exchange, g Guest, a args) error {
	name, err := asheap.String(g, a.U32(1), "name")
	if err != nil {
		return err
	}
	return a.ReturnPointer(asheap.NewStrings(ctx, &x.mm, g, x.responseValues(a.Handle(0), name), false))
}

func asRespGetBody(ctx context.Context, x *Exchange, g Guest, a args) error {
	return a.ReturnPointer(asheap.NewBytes(ctx, &x.mm, g, x.responseBody(a.Handle(0))))
}

// asKVGet returns null when the key is absent.
func asKVGet(ctx context.Context, x *Exchange, g Guest, a args) error {
	key, err := asheap.String(g, a.U32(0), "key")
	if err != nil {
		return err
	}
	e, ok, err := x.entry(ctx, string(key))
	if err != nil || !ok {
		return a.ReturnPointer(0, err)
	}
	return a.ReturnPointer(asheap.NewBytes(ctx, &x.mm, g, e.Value))
}

func asKVWriter(kind func(value []byte) change) impl {
	return func(ctx context.Context, x *Exchange, g Guest, a args) error {
		key, err := asheap.String(g, a.U32(0), "key")
		if err != nil {
			return err
		}
		value, err := asheap.Array(g, a.U32(1), 1, "value")
		if err != nil {
			return err
		}
		absent, err := x.update(ctx, string(key), kind(append([]byte{}, value...)))
		a.ReturnBool(absent)
		return err
	}
}

func asKVRemove(ctx context.Context, x *Exchange, g Guest, a args) error {
	key, err := asheap.String(g, a.U32(0), "key")
	if err != nil {
		return err
	}
	removed, err := x.remove(ctx, string(key))
	a.ReturnBool(removed)
	return err
}

// The DNS functions return an empty array for no answer.

func asDNSQueryRaw(ctx context.Context, x *Exchange, g Guest, a args) error {
	query, err := asheap.Array(g, a.U32(0), 1, "query")
	if err != nil {
		return err
	}
	answer := x.queryDNS(ctx, query)
	if err := ctx.Err(); err != nil {
		return err
	}
	return a.ReturnPointer(asheap.NewBytes(ctx, &x.mm, g, answer))
}

func asDNSQueryIP(ctx context.Context, x *Exchange, g Guest, a args) error {
	name, err := asheap.String(g, a.U32(0), "name")
	if err != nil {
		return err
	}
	addresses := x.lookupIP(ctx, name, a.U32(1) != 0)
	if err := ctx.Err(); err != nil {
		return err
	}
	return a.ReturnPointer(asheap.NewList(ctx, &x.mm, g, addresses, func(ip string) (uint32, error) { return asheap.NewBytes(ctx, &x.mm, g, ip) }))
}

func asToUTF8(ctx context.Context, x *Exchange, g Guest, a args) error {
	units, err := asheap.Units(g, a.U32(0), "string")
	if err != nil {
		return err
	}
	return a.ReturnPointer(asheap.NewBytes(ctx, &x.mm, g, asheap.FromUTF16(units)))
}

func asToUTF16(ctx context.Context, x *Exchange, g Guest, a args) error {
	text, err := asheap.Array(g, a.U32(0), 1, "bytes")
	if err != nil {
		return err
	}
	return a.ReturnPointer(asheap.NewString(ctx, &x.mm, g, string(text), false))
}

// asAbort is how AssemblyScript of any version ends with an error.
func asAbort(_ context.Context, x *Exchange, g Guest, a args) error {
	x.panic = fmt.Sprintf("abort: %s at %s:%d:%d", asheap.AbortText(g, a.U32(0)), asheap.AbortText(g, a.U32(1)), a.U32(2), a.U32(3))
	x.log(slog.LevelError, x.panic)
	return errors.New(x.panic)
}
