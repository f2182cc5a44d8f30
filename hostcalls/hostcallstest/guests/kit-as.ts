// The kit's guest in AssemblyScript. It speaks the dialect http_guest, with the
// heap objects of AssemblyScript 0.5 and 0.6, which it makes and reads by hand:
// those compilers cannot be had from npm. Each path is one test, which answers
// "ok" or the text of the check that failed.

// @ts-ignore: decorator
@external("http_guest", "hostcall_init_mm") declare function init_mm(malloc: u32, free: u32): void;
// @ts-ignore: decorator
@external("http_guest", "hostcall_req_get_method") declare function req_get_method(req: i32): usize;
// @ts-ignore: decorator
@external("http_guest", "hostcall_req_get_path") declare function req_get_path(req: i32): usize;
// @ts-ignore: decorator
@external("http_guest", "hostcall_req_get_body") declare function req_get_body(req: i32): usize;
// @ts-ignore: decorator
@external("http_guest", "hostcall_req_get_headers") declare function req_get_headers(req: i32): usize;
// @ts-ignore: decorator
@external("http_guest", "hostcall_req_get_header") declare function req_get_header(req: i32, name: usize): usize;
// @ts-ignore: decorator
@external("http_guest", "hostcall_resp_set_header") declare function resp_set_header(resp: i32, name: usize, values: usize): i32;
// @ts-ignore: decorator
@external("http_guest", "hostcall_resp_set_body") declare function resp_set_body(resp: i32, body: usize): i32;
// @ts-ignore: decorator
@external("http_guest", "hostcall_resp_set_response_code") declare function resp_set_response_code(resp: i32, code: i32): i32;
// @ts-ignore: decorator
@external("http_guest", "hostcall_req_create") declare function req_create(method: usize, url: usize): i32;
// @ts-ignore: decorator
@external("http_guest", "hostcall_req_set_header") declare function req_set_header(req: i32, name: usize, values: usize): i32;
// @ts-ignore: decorator
@external("http_guest", "hostcall_req_set_body") declare function req_set_body(req: i32, body: usize): i32;
// @ts-ignore: decorator
@external("http_guest", "hostcall_req_send") declare function req_send(req: i32): i32;
// @ts-ignore: decorator
@external("http_guest", "hostcall_req_send_async") declare function req_send_async(req: i32): i32;
// @ts-ignore: decorator
@external("http_guest", "hostcall_pending_req_select") declare function pending_req_select(prs: usize, out: usize): i32;
// @ts-ignore: decorator
@external("http_guest", "hostcall_pending_req_wait") declare function pending_req_wait(pr: i32): i32;
// @ts-ignore: decorator
@external("http_guest", "hostcall_resp_get_body") declare function resp_get_body(resp: i32): usize;
// @ts-ignore: decorator
@external("http_guest", "hostcall_resp_get_header") declare function resp_get_header(resp: i32, name: usize): usize;
// @ts-ignore: decorator
@external("http_guest", "hostcall_resp_get_response_code") declare function resp_get_response_code(resp: i32): i32;
// @ts-ignore: decorator
@external("http_guest", "hostcall_kvstore_get") declare function kvstore_get(key: usize): usize;
// @ts-ignore: decorator
@external("http_guest", "hostcall_kvstore_insert") declare function kvstore_insert(key: usize, value: usize): i32;
// @ts-ignore: decorator
@external("http_guest", "hostcall_kvstore_upsert") declare function kvstore_upsert(key: usize, value: usize): i32;
// @ts-ignore: decorator
@external("http_guest", "hostcall_kvstore_remove") declare function kvstore_remove(key: usize): i32;
// @ts-ignore: decorator
@external("http_guest", "hostcall_dns_query_ip") declare function dns_query_ip(name: usize, ipv6: i32): usize;
// @ts-ignore: decorator
@external("http_guest", "hostcall_time_now") declare function time_now(nanos: usize): u64;
// @ts-ignore: decorator
@external("http_guest", "hostcall_rng_next_u64") declare function rng_next_u64(): u64;
// @ts-ignore: decorator
@external("http_guest", "hostcall_utf16_to_utf8_lossy") declare function utf16_to_utf8(s: usize): usize;
// @ts-ignore: decorator
@external("http_guest", "hostcall_utf8_to_utf16_lossy") declare function utf8_to_utf16(b: usize): usize;

function malloc(size: usize): usize {
  if (size == 0) unreachable();
  return heap.alloc(size);
}

function free(ptr: usize): void {
  heap.free(ptr);
}

// As the published library does: in the start section.
init_mm(malloc.index, free.index);

function str(s: string): usize {
  const ptr = heap.alloc(4 + 2 * s.length);
  store<u32>(ptr, s.length);
  for (let i = 0; i < s.length; i++) store<u16>(ptr + 4 + 2 * i, <u16>s.charCodeAt(i));
  return ptr;
}

function text(ptr: usize): string {
  let s = "";
  for (let i: u32 = 0; i < load<u32>(ptr); i++) s += String.fromCharCode(load<u16>(ptr + 4 + 2 * i));
  return s;
}

function array(bytes: u32, length: u32): usize {
  const buffer = heap.alloc(8 + bytes), ptr = heap.alloc(8);
  store<u32>(buffer, bytes);
  store<u32>(ptr, <u32>buffer);
  store<u32>(ptr + 4, length);
  return ptr;
}

function list(items: string[]): usize {
  const ptr = array(4 * items.length, items.length);
  for (let i = 0; i < items.length; i++) store<u32>(load<u32>(ptr) + 8 + 4 * i, <u32>str(items[i]));
  return ptr;
}

function strings(ptr: usize): string[] {
  const items: string[] = [];
  for (let i = 0; i < load<i32>(ptr + 4); i++) items.push(text(load<u32>(load<u32>(ptr) + 8 + 4 * i)));
  return items;
}

function bytes(s: string): usize {
  return utf16_to_utf8(str(s));
}

function ofBytes(ptr: usize): string {
  return text(utf8_to_utf16(ptr));
}

let fault = "";

function check(ok: bool, what: string): void {
  if (!ok && fault == "") fault = what;
}

function request(): void {
  check(text(req_get_method(0)) == "POST", "method");
  check(ofBytes(req_get_body(0)) == "grüße 𝄞", "body");
  check(strings(req_get_headers(0)).includes("x-many"), "names");
  check(strings(req_get_header(0, str("X-Many"))).join() == "one,two", "values");
  check(strings(req_get_header(0, str("x-absent"))).length == 0, "absent");
  check(strings(req_get_header(0, str("host"))).join() == "kit.example", "host");
  check(text(req_get_path(7)) == "" && load<i32>(req_get_body(7) + 4) == 0, "another handle");
  check(resp_set_header(0, str("X-Back"), list(["a", "b"])) == 0, "set header");
  check(resp_set_header(0, str("x y"), list(["a"])) == 1, "bad name");
  check(resp_set_response_code(0, 1000) == 1 && resp_set_response_code(0, 202) == 0, "code");
}

function kv(): void {
  const key = str("kit");
  check(kvstore_get(key) == 0, "absent");
  check(kvstore_upsert(key, bytes("one")) == 1 && kvstore_upsert(key, bytes("two")) == 0, "upsert");
  check(ofBytes(kvstore_get(key)) == "one", "one");
  check(kvstore_insert(key, bytes("")) == 0 && kvstore_get(key) != 0, "empty");
  check(kvstore_remove(key) == 1 && kvstore_remove(key) == 0, "remove");
}

function create(path: string): i32 {
  return req_create(str("PUT"), str(ofBytes(req_get_body(0)) + path));
}

function fetch(): void {
  check(req_create(str("GET"), str("/relative")) == -1, "relative");
  const req = create("/echo");
  check(req_set_header(req, str("x-many"), list(["a", "b"])) == 0, "header");
  check(req_set_header(req, str("user-agent"), list(["kit"])) == 0, "agent");
  check(req_set_header(req, str("host"), list(["h.example"])) == 0, "host");
  check(req_set_body(req, bytes("data")) == 0, "body");
  const resp = req_send(req);
  check(resp > 0 && resp_get_response_code(resp) == 418, "response");
  check(ofBytes(resp_get_body(resp)) == "PUT /echo h.example kit [a b] data", "body of the response");
  check(strings(resp_get_header(resp, str("X-MANY"))).join() == "a,b", "header of the response");
  const a = req_send_async(create("/meet?a")), b = req_send_async(create("/meet?b"));
  const prs = array(8, 2), out = heap.alloc(4);
  store<i32>(load<u32>(prs) + 8, a);
  store<i32>(load<u32>(prs) + 12, b);
  check(pending_req_select(prs, out) > 0, "select");
  const done = load<i32>(out);
  check(done == a || done == b, "selected");
  check(pending_req_wait(done == a ? b : a) > 0, "the other");
}

function system(): void {
  const out = heap.alloc(4);
  check(time_now(out) > 1700000000 && load<u32>(out) < 1000000000, "time");
  check(rng_next_u64() != rng_next_u64(), "randomness");
  const found = dns_query_ip(str("four.example"), 0);
  check(load<i32>(found + 4) == 1, "one address");
  check(load<i32>(load<u32>(load<u32>(found) + 8) + 4) == 4, "of four bytes");
  check(load<i32>(dns_query_ip(str("absent.example"), 0) + 4) == 0, "absent name");
}

export function run(): void {
  const path = text(req_get_path(0));
  if (path == "/request") request();
  else if (path == "/kv") kv();
  else if (path == "/fetch") fetch();
  else if (path == "/system") system();
  else throw new Error("no such test");
  resp_set_body(0, bytes(fault == "" ? "ok" : fault));
}
