package hostcalls

import (
	"context"
	"net/http"
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

// object returns the heap object at ptr, unless it could not be made.
func (a args) object(ptr uint32, err error) error {
	a[0] = uint64(ptr)
	return err
}

func asIncomingString(of func(*Request) string) impl {
	return func(ctx context.Context, x *Exchange, g Guest, a args) error {
		s := ""
		if a.handle(0) == requestIncoming {
			s = of(x.req)
		}
		return a.object(asNewString(ctx, x, g, s, false))
	}
}

func asReqGetBody(ctx context.Context, x *Exchange, g Guest, a args) error {
	var body []byte
	if a.handle(0) == requestIncoming {
		body = x.req.Body
	}
	return a.object(asNewBytes(ctx, x, g, body))
}

func asReqGetHeaders(ctx context.Context, x *Exchange, g Guest, a args) error {
	var names []string
	if a.handle(0) == requestIncoming {
		names = x.incomingNames()
	}
	return a.object(asNewStrings(ctx, x, g, names, true))
}

func asReqGetHeader(ctx context.Context, x *Exchange, g Guest, a args) error {
	name, err := asString(g, a.u32(1), "name")
	if err != nil {
		return err
	}
	var values []string
	if a.handle(0) == requestIncoming {
		values = x.incomingValues(name)
	}
	return a.object(asNewStrings(ctx, x, g, values, false))
}

func asRespSetHeader(_ context.Context, x *Exchange, g Guest, a args) error {
	if a.handle(0) != responseOutgoing || x.tooLate() {
		a.returnsStatus(false)
		return nil
	}
	ok, err := asSetHeaderTo(x, g, a, x.resp.Header, &x.refused)
	x.answered = x.answered || ok
	a.returnsStatus(ok)
	return err
}

func asSetHeaderTo(x *Exchange, g Guest, a args, h http.Header, refused *refusals) (bool, error) {
	name, err := asString(g, a.u32(1), "name")
	if err != nil {
		return false, err
	}
	values, err := asStrings(g, a.u32(2), "values")
	if err != nil {
		return false, err
	}
	return x.setHeader(h, refused, name, values)
}

func asRespSetBody(_ context.Context, x *Exchange, g Guest, a args) error {
	body, err := asArray(g, a.u32(1), 1, "body")
	if err != nil {
		return err
	}
	a.returnsStatus(a.handle(0) == responseOutgoing && x.setBody(body))
	return nil
}

func asReqCreate(_ context.Context, x *Exchange, g Guest, a args) error {
	method, err := asString(g, a.u32(0), "method")
	if err != nil {
		return err
	}
	rawURL, err := asString(g, a.u32(1), "url")
	if err != nil {
		return err
	}
	a.returns(x.createRequest(method, rawURL))
	return nil
}

func asReqSetHeader(_ context.Context, x *Exchange, g Guest, a args) error {
	r := x.at(a.handle(0)).request
	if r == nil {
		a.returnsStatus(false)
		return nil
	}
	ok, err := asSetHeaderTo(x, g, a, r.header, &r.refused)
	a.returnsStatus(ok && x.takeHost(r))
	return err
}

func asReqSetBody(_ context.Context, x *Exchange, g Guest, a args) error {
	body, err := asArray(g, a.u32(1), 1, "body")
	if err != nil {
		return err
	}
	a.returnsStatus(x.setRequestBody(a.handle(0), body))
	return nil
}

func asPendingReqSelect(ctx context.Context, x *Exchange, g Guest, a args) error {
	list, err := asArray(g, a.u32(0), 4, "pending requests")
	if err != nil {
		return err
	}
	return selectTo(ctx, x, g, a, list, a.u32(1))
}

func asRespGetHeaders(ctx context.Context, x *Exchange, g Guest, a args) error {
	return a.object(asNewStrings(ctx, x, g, x.responseNames(a.handle(0)), true))
}

func asRespGetHeader(ctx context.Context, x *Exchange, g Guest, a args) error {
	name, err := asString(g, a.u32(1), "name")
	if err != nil {
		return err
	}
	return a.object(asNewStrings(ctx, x, g, x.responseValues(a.handle(0), name), false))
}

func asRespGetBody(ctx context.Context, x *Exchange, g Guest, a args) error {
	return a.object(asNewBytes(ctx, x, g, x.responseBody(a.handle(0))))
}

// asKVGet returns null when the key is absent.
func asKVGet(ctx context.Context, x *Exchange, g Guest, a args) error {
	key, err := asString(g, a.u32(0), "key")
	if err != nil {
		return err
	}
	e, ok, err := x.entry(ctx, string(key))
	if err != nil || !ok {
		return a.object(0, err)
	}
	return a.object(asNewBytes(ctx, x, g, e.Value))
}

func asKVWriter(kind func(value []byte) change) impl {
	return func(ctx context.Context, x *Exchange, g Guest, a args) error {
		key, err := asString(g, a.u32(0), "key")
		if err != nil {
			return err
		}
		value, err := asArray(g, a.u32(1), 1, "value")
		if err != nil {
			return err
		}
		absent, err := x.update(ctx, string(key), kind(append([]byte{}, value...)))
		a.returnsBool(absent)
		return err
	}
}

func asKVRemove(ctx context.Context, x *Exchange, g Guest, a args) error {
	key, err := asString(g, a.u32(0), "key")
	if err != nil {
		return err
	}
	removed, err := x.remove(ctx, string(key))
	a.returnsBool(removed)
	return err
}

// The DNS functions return an empty array for no answer.

func asDNSQueryRaw(ctx context.Context, x *Exchange, g Guest, a args) error {
	query, err := asArray(g, a.u32(0), 1, "query")
	if err != nil {
		return err
	}
	answer := x.queryDNS(ctx, query)
	if err := ctx.Err(); err != nil {
		return err
	}
	return a.object(asNewBytes(ctx, x, g, answer))
}

func asDNSQueryIP(ctx context.Context, x *Exchange, g Guest, a args) error {
	name, err := asString(g, a.u32(0), "name")
	if err != nil {
		return err
	}
	addresses := x.lookupIP(ctx, name, a.u32(1) != 0)
	if err := ctx.Err(); err != nil {
		return err
	}
	return a.object(asNewList(ctx, x, g, addresses, func(ip string) (uint32, error) { return asNewBytes(ctx, x, g, ip) }))
}

func asToUTF8(ctx context.Context, x *Exchange, g Guest, a args) error {
	units, err := asUnits(g, a.u32(0), "string")
	if err != nil {
		return err
	}
	return a.object(asNewBytes(ctx, x, g, fromUTF16(units)))
}

func asToUTF16(ctx context.Context, x *Exchange, g Guest, a args) error {
	text, err := asArray(g, a.u32(0), 1, "bytes")
	if err != nil {
		return err
	}
	return a.object(asNewString(ctx, x, g, string(text), false))
}
