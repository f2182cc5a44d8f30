package hostcallstest

import (
	"net/http"
	"time"

	"github.com/terrane/terrane/hostcalls"
)

// envTests are the tests of the dialect env.
func envTests() []test {
	return []test{
		{name: "nothing", guest: "nothing"},
		{name: "C: request", guest: "kit", body: "ok", req: hostcalls.Request{
			Method: "POST", Path: "/request?q=a%20b", Body: []byte("the body"),
			Header: http.Header{"X-Many": {"one", "two"}, "X-Empty": {""}},
		}},
		{name: "C: no body", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/nobody"}},
		{name: "C: wrong handles", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/handles"}},
		{name: "C: response", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/response"},
			code: http.StatusTeapot, header: http.Header{"X-Five": {"1", "2", "3", "", "5"}, "X-Gone": nil, "X-Bad": nil}},
		{name: "C: kv", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/kv"}},
		{name: "C: kv without a store", guest: "kit", req: hostcalls.Request{Path: "/kv"}, trap: "hostcall_kvstore_get",
			setup: func(_ *env, tn *hostcalls.Tenant, _ *hostcalls.Request) { tn.KV = nil }},
		{name: "C: fetch", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/fetch"}, setup: (*env).upstream},
		{name: "C: async", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/async"}, setup: (*env).upstream},
		{name: "C: fetch fails", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/fetchfail"}, setup: (*env).upstream,
			logs: []string{"WARN", "closed the connection too early", "exceeds the limit of 1048576 bytes"}},
		{name: "C: subrequests", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/count"}, logs: []string{"more than 5 subrequests"},
			setup: func(e *env, tn *hostcalls.Tenant, r *hostcalls.Request) {
				e.upstream(tn, r)
				tn.Limits.Subrequests = 5
			}},
		{name: "C: time", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/time"}},
		{name: "C: randomness", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/rng"}},
		{name: "C: DNS", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/dns"}, setup: (*env).dns},
		{name: "C: log", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/log"},
			logs: []string{"DEBUG debug line", "DEBUG until NUL", "ERROR panic line"}},
		{name: "C: panic", guest: "kit", req: hostcalls.Request{Path: "/panic"}, trap: "unreachable", logs: []string{"panicked at 'kit'"}},

		{name: "Rust: reflect", guest: "kit-rust", code: http.StatusCreated, body: "PUT /a?b data", req: hostcalls.Request{
			Method: "PUT", Path: "/a?b", Body: []byte("data"), Header: http.Header{"X-Many": {"one", "two"}, "X-Empty": {""}},
		}, header: http.Header{
			"Saw-X-Many": {"one", "two"}, "Saw-X-Empty": {""}, "Saw-Host": {"kit.example"}, "Saw-Fastly-Client-Ip": {"192.0.2.99"},
		}},
		{name: "Rust: panic", guest: "kit-rust", req: hostcalls.Request{Path: "/panic"}, trap: "unreachable", logs: []string{"ERROR panicked at", "kit of GET"}},

		{name: "malloc returns 0", guest: "malloc", req: hostcalls.Request{Path: "/0"}, trap: "hostcall_req_get_method"},
		{name: "malloc traps", guest: "malloc", req: hostcalls.Request{Path: "/1"}, trap: "unreachable"},
		{name: "malloc grows the memory", guest: "malloc", req: hostcalls.Request{Path: "/2"}, body: "GET"},
		{name: "malloc lies", guest: "malloc", req: hostcalls.Request{Path: "/3"}, trap: "hostcall_req_get_method"},
		{name: "malloc reenters", guest: "malloc", req: hostcalls.Request{Path: "/4"}, trap: "hostcall_req_get_path"},
		{name: "malloc works", guest: "malloc", req: hostcalls.Request{Path: "/5"}, body: "GET"},
		{name: "malloc talks", guest: "malloc", req: hostcalls.Request{Path: "/6"}, body: "GET", logs: []string{"in malloc"}},
		{name: "malloc of another type", guest: "malloc", req: hostcalls.Request{Path: "/7"}, body: "GET"},
		{name: "malloc index out of the table", guest: "malloc", req: hostcalls.Request{Path: "/9"}, body: "GET"},
		{name: "exported malloc", guest: "export", req: hostcalls.Request{Header: http.Header{"X-Empty": {""}}}, header: http.Header{"X-Empty": {""}}},
		{name: "no memory", guest: "nomemory", trap: "hostcall_req_get_path: pointer result"},

		{name: "last bytes", guest: "range", req: hostcalls.Request{Method: "A"}, body: "\x00\x00\x00\x00"},
		{name: "one byte over", guest: "range", req: hostcalls.Request{Method: "B"}, trap: "hostcall_resp_set_body: body"},
		{name: "wrap around", guest: "range", req: hostcalls.Request{Method: "C"}, trap: "hostcall_resp_set_body: body"},
		{name: "result over the end", guest: "range", req: hostcalls.Request{Method: "D"}, trap: "hostcall_req_get_path: length result"},
		{name: "endless list", guest: "range", req: hostcalls.Request{Method: "E"}, trap: "hostcall_resp_set_header: values"},
		{name: "element outside", guest: "range", req: hostcalls.Request{Method: "F"}, trap: "hostcall_resp_set_header: values"},

		{name: "start section", guest: "start", req: hostcalls.Request{Path: "/start"}, body: "/start"},
		{name: "start section that loops", guest: "startloop", time: 300 * time.Millisecond, trap: "deadline"},
	}
}

// asTests are the tests of the dialect http_guest.
func asTests() []test {
	return []test{
		{name: "AssemblyScript: request", guest: "kit-as", body: "ok", code: http.StatusAccepted, req: hostcalls.Request{
			Method: "POST", Path: "/request", Body: []byte("grüße 𝄞"), Header: http.Header{"X-Many": {"one", "two"}},
		}, header: http.Header{"X-Back": {"a", "b"}}},
		{name: "AssemblyScript: kv", guest: "kit-as", body: "ok", req: hostcalls.Request{Path: "/kv"}},
		{name: "AssemblyScript: fetch", guest: "kit-as", body: "ok", req: hostcalls.Request{Path: "/fetch"}, setup: (*env).upstream},
		{name: "AssemblyScript: system", guest: "kit-as", body: "ok", req: hostcalls.Request{Path: "/system"}, setup: (*env).dns},
		{name: "AssemblyScript: throw", guest: "kit-as", trap: "no such test", logs: []string{"ERROR abort: no such test at kit-as.ts:"}},
	}
}

// newerTests are the tests of functions that Terrarium did not have.
func newerTests() []test {
	return []test{
		{name: "extras: environment and place", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/where", ID: "id-1"},
			setup: func(_ *env, tn *hostcalls.Tenant, _ *hostcalls.Request) {
				tn.Env = map[string]string{"GREETING": "hello", "EMPTY": ""}
			},
			logs: []string{"DEBUG level 0", "INFO level 1", "WARN level 2", "ERROR level 3", "ERROR level -1"}},
		{name: "extras: kv versions, counters, lists", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/versions"}},
		{name: "extras: kv expiry", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/expiry"}, setup: (*env).upstream},
		{name: "extras: timeout and last error", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/timeout"}, setup: (*env).upstream,
			logs: []string{"DEBUG fetch http://", "did not answer in time"}},
		{name: "extras: reading by and by", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/read"}, setup: (*env).upstream},
		{name: "extras: chunks", guest: "kit", body: "zero one two ok", req: hostcalls.Request{Path: "/chunks"},
			code: http.StatusAccepted, header: http.Header{"X-A": {"v"}}},
		{name: "extras: messages", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/messages", Hops: 2},
			setup: func(_ *env, tn *hostcalls.Tenant, _ *hostcalls.Request) { tn.Messages = peers{} },
			logs:  []string{"WARN publish \"refused.new\": nobody is there", "a message may have 524288"}},
		{name: "extras: no messages", guest: "kit", body: "ok", req: hostcalls.Request{Path: "/nomessages"}, logs: []string{"there are no messages here"}},
		{name: "extras: a message outside the memory", guest: "kit", req: hostcalls.Request{Path: "/outside"}, trap: "hostcall_publish: message"},
	}
}
