package hostcalls

const moduleEnv = "env"

// envFunctions is the dialect of Rust, C and WAT: pointers and lengths, results
// through out-pointers, which come first.
func envFunctions() []Func {
	f := func(name, sig string, do impl) Func { return define(moduleEnv, "hostcall_"+name, sig, do) }
	return []Func{
		// Memory and diagnostics.
		f("init_mm", "ii", initMM),
		f("panic_hook", "ii", panicHook),
		f("debug", "ii", debug),
		f("log", "iii", logLine),
		f("last_error", "ii", giveText(func(x *Exchange) string { return x.reason })),

		// Where the guest runs.
		f("env_get", "iiii:i", envGet),
		f("edge_name", "ii", giveText(func(x *Exchange) string { return x.t.Edge })),
		f("edge_region", "ii", giveText(func(x *Exchange) string { return x.t.Region })),
		f("request_id", "ii", giveText(func(x *Exchange) string { return x.req.ID })),

		// The inbound request.
		f("req_get_header", "iiiii", reqGetHeader),
		f("req_get_headers", "iii", reqGetHeaders),
		f("req_get_method", "iii", reqGetMethod),
		f("req_get_body", "iii", reqGetBody),
		f("req_get_path", "iii", reqGetPath),

		// The response.
		f("resp_set_header", "iiiii:i", respSetHeader),
		f("resp_set_body", "iii:i", respSetBody),
		f("resp_set_response_code", "ii:i", respSetResponseCode),
		f("resp_send_chunk", "iii:i", respSendChunk),

		// Outbound requests.
		f("req_create", "iiii:i", reqCreate),
		f("req_set_header", "iiiii:i", reqSetHeader),
		f("req_set_body", "iii:i", reqSetBody),
		f("req_set_timeout", "ii:i", reqSetTimeout),
		f("req_send", "i:i", reqSend),
		f("req_send_streaming", "i:i", reqSendStreaming),
		f("req_send_async", "i:i", reqSendAsync),
		f("pending_req_wait", "i:i", pendingReqWait),
		f("pending_req_poll", "i:i", pendingReqPoll),
		f("pending_req_select", "iii:i", pendingReqSelect),
		f("resp_get_headers", "iii", respGetHeaders),
		f("resp_get_header", "iiiii", respGetHeader),
		f("resp_get_body", "iii", respGetBody),
		f("resp_read", "iii:i", respRead),
		f("resp_get_response_code", "i:i", respGetResponseCode),

		// The key-value store.
		f("kvstore_get", "iiii:i", kvstoreGet),
		f("kvstore_insert", "iiii:i", kvWriter(insert)),
		f("kvstore_upsert", "iiii:i", kvWriter(upsert)),
		f("kvstore_append", "iiii:i", kvWriter(appending)),
		f("kvstore_remove", "ii:i", kvstoreRemove),
		f("kvstore_get_version", "iiiii:i", kvstoreGetVersion),
		f("kvstore_put", "iiiiIi:I", kvstorePut),
		f("kvstore_increment", "iiIii:i", kvstoreIncrement),
		f("kvstore_list", "iiiiiii", kvstoreList),

		// Messages to other modules of the tenant.
		f("publish", "iiii:i", publish),
		f("request", "iiii:i", ask),

		// Randomness, time, DNS.
		f("rng_next_u64", ":I", rngNextU64),
		f("time_now", "i:I", timeNow),
		f("dns_query_raw", "iiii:i", dnsQueryRaw),
		f("dns_query_ip", "iiiii:i", dnsQueryIP),
	}
}
