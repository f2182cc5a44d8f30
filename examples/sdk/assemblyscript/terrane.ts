// terrane for guests in AssemblyScript 0.20 or later: this file, given to asc with
// --lib. A guest exports run, which terrane calls once for each request:
//
//     import { Request, Response, serve } from "terrane";
//
//     export function run(): void {
//       serve((req: Request): Response => Response.text(200, "hello from " + req.path));
//     }
//
// Each request runs in an instance of its own: globals do not outlive it, and the
// kv functions are what does. A throw answers 500; its message is in the tenant's log.
// So does a response that exceeds a limit or is not valid.

/** Answers the request with what handle returns. */
export function serve(handle: (req: Request) => Response): void {
  const get: (len: usize) => usize = malloc, drop: (ptr: usize) => void = free;
  init_mm(get.index, drop.index);
  const response = handle(new Request());
  let refused = resp_set_response_code(0, response.status);
  for (let i = 0; i < response.headers.length; i++) {
    const name = encode(response.headers[i].name);
    const values = linesOf(response.headers, i);
    if (values) refused |= resp_set_header(0, at(name), name.byteLength, values.dataStart, values.length >> 1);
  }
  refused |= resp_set_body(0, at(response.body), response.body.byteLength);
  if (refused) throw new Error("the response was refused: " + lastError());
}

export class Header {
  constructor(public name: string, public value: string) {}
}

/** The request that this instance answers. */
export class Request {
  method: string;
  /** Without the query, percent-escapes as the client sent them. */
  path: string;
  /** What follows the "?"; empty if there is none. */
  query: string;

  constructor() {
    req_get_method(out, out + 4, 0);
    this.method = decode(taken());
    req_get_path(out, out + 4, 0);
    const target = decode(taken());
    const mark = target.indexOf("?");
    this.path = mark < 0 ? target : target.substring(0, mark);
    this.query = mark < 0 ? "" : target.substring(mark + 1);
  }

  /** The first value of a header, its name in any case; null if there is none. */
  header(name: string): string | null {
    const n = encode(name);
    req_get_header(out, out + 4, 0, at(n), n.byteLength);
    const values = takenList();
    return values.length ? values[0] : null;
  }

  body(): ArrayBuffer {
    req_get_body(out, out + 4, 0);
    return taken();
  }

  text(): string {
    return decode(this.body());
  }

  /** The first query parameter of that name, decoded; null if there is none. */
  param(name: string): string | null {
    return param(this.query, name);
  }
}

/** A response: the guest's own, or an upstream's. */
export class Response {
  headers: Header[] = [];

  constructor(public status: i32, public body: ArrayBuffer) {}

  static text(status: i32, body: string): Response {
    return new Response(status, encode(body)).with("content-type", "text/plain; charset=utf-8");
  }

  static html(status: i32, body: string): Response {
    return new Response(status, encode(body)).with("content-type", "text/html; charset=utf-8");
  }

  static json(status: i32, body: string): Response {
    return new Response(status, encode(body)).with("content-type", "application/json");
  }

  /** Adds a header line. */
  with(name: string, value: string): Response {
    this.headers.push(new Header(name, value));
    return this;
  }

  /** The first value of a header, its name in any case; null if there is none. */
  header(name: string): string | null {
    for (let i = 0; i < this.headers.length; i++) {
      if (sameName(this.headers[i].name, name)) return this.headers[i].value;
    }
    return null;
  }

  text(): string {
    return decode(this.body);
  }
}

/**
 * Sends a request and waits. Null: there is no response, lastError says why. A status
 * such as 404 or 500 is a response.
 */
export function fetch(
  method: string,
  url: string,
  headers: Header[] = [],
  body: ArrayBuffer = new ArrayBuffer(0),
): Response | null {
  const m = encode(method), u = encode(url);
  const req = req_create(at(m), m.byteLength, at(u), u.byteLength);
  if (req < 0) return null;
  for (let i = 0; i < headers.length; i++) {
    const name = encode(headers[i].name);
    const values = linesOf(headers, i);
    if (values) req_set_header(req, at(name), name.byteLength, values.dataStart, values.length >> 1);
  }
  req_set_body(req, at(body), body.byteLength);
  return received(req_send(req));
}

function received(resp: i32): Response | null {
  if (resp < 0) return null;
  resp_get_body(out, out + 4, resp);
  const response = new Response(resp_get_response_code(resp), taken());
  resp_get_headers(out, out + 4, resp);
  const names = takenList();
  for (let i = 0; i < names.length; i++) {
    const name = encode(names[i]);
    resp_get_header(out, out + 4, resp, at(name), name.byteLength);
    const values = takenList();
    for (let j = 0; j < values.length; j++) response.with(names[i], values[j]);
  }
  return response;
}

/**
 * Hands a message to the modules of this folder whose [[subscribe]] takes the
 * subject. True: it is kept, and will be handled at least once; else lastError says why.
 */
export function publish(subject: string, message: ArrayBuffer): bool {
  const s = encode(subject);
  return publish_(at(s), s.byteLength, at(message), message.byteLength) == 0;
}

/**
 * Sends a message to a module that subscribes to it, at the nearest edge, and waits
 * for what it answers. Null: lastError says why.
 */
export function request(subject: string, message: ArrayBuffer): Response | null {
  const s = encode(subject);
  return received(request_(at(s), s.byteLength, at(message), message.byteLength));
}

/** Why the last call that failed did. */
export function lastError(): string {
  last_error(out, out + 4);
  return decode(taken());
}

/**
 * The tenant's key-value store, shared by all its requests. The functions that write
 * tell whether the key was absent before.
 */
export namespace kv {
  export function get(key: string): string | null {
    const k = encode(key);
    return kvstore_get(out, out + 4, at(k), k.byteLength) ? decode(taken()) : null;
  }

  /** Sets the value, whatever was there. (The host's name for it is "insert".) */
  export function set(key: string, value: string): bool {
    const k = encode(key), v = encode(value);
    return kvstore_insert(at(k), k.byteLength, at(v), v.byteLength) != 0;
  }

  /** Sets the value unless there is one. (The host's name for it is "upsert".) */
  export function add(key: string, value: string): bool {
    const k = encode(key), v = encode(value);
    return kvstore_upsert(at(k), k.byteLength, at(v), v.byteLength) != 0;
  }

  /** Adds to the value's end. */
  export function append(key: string, value: string): bool {
    const k = encode(key), v = encode(value);
    return kvstore_append(at(k), k.byteLength, at(v), v.byteLength) != 0;
  }

  /** Tells whether there was something to remove. */
  export function remove(key: string): bool {
    const k = encode(key);
    return kvstore_remove(at(k), k.byteLength) != 0;
  }
}

/** Seconds since 1970, UTC. */
export function now(): i64 {
  return time_now(0);
}

/** Random bits of cryptographic quality. */
export function random(): u64 {
  return rng_next_u64();
}

/** A line in the tenant's log. */
export function log(line: string): void {
  const l = encode(line);
  debug(at(l), l.byteLength);
}

/** The first value of that name in a query string or an urlencoded form. */
export function param(form: string, name: string): string | null {
  const pairs = form.split("&");
  for (let i = 0; i < pairs.length; i++) {
    const eq = pairs[i].indexOf("=");
    const key = eq < 0 ? pairs[i] : pairs[i].substring(0, eq);
    if (unescape(key) == name) return eq < 0 ? "" : unescape(pairs[i].substring(eq + 1));
  }
  return null;
}

/** Decodes %41 and +, as forms and query strings write them. */
export function unescape(text: string): string {
  const bytes = Uint8Array.wrap(encode(text));
  let n = 0;
  for (let i = 0; i < bytes.length; i++) {
    const high = i + 2 < bytes.length ? hex(bytes[i + 1]) : -1;
    const low = i + 2 < bytes.length ? hex(bytes[i + 2]) : -1;
    if (bytes[i] == 0x25 && high >= 0 && low >= 0) {
      bytes[n++] = <u8>((high << 4) | low);
      i += 2;
    } else {
      bytes[n++] = bytes[i] == 0x2b ? 0x20 : bytes[i];
    }
  }
  return String.UTF8.decode(bytes.buffer.slice(0, n));
}

/** Makes text safe between tags and within quoted attributes of HTML. */
export function escape(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}

/** What asc calls for a failed assert or a throw (--use abort=~lib/terrane/abort). */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const m = encode(`${message || "abort"} at ${file || "?"}:${line}:${column}`);
  panic_hook(at(m), m.byteLength);
  unreachable();
}

function hex(c: u8): i32 {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  c |= 0x20;
  return c >= 0x61 && c <= 0x66 ? c - 0x61 + 10 : -1;
}

function encode(text: string): ArrayBuffer {
  return String.UTF8.encode(text);
}

function decode(bytes: ArrayBuffer): string {
  return String.UTF8.decode(bytes);
}

function at(bytes: ArrayBuffer): usize {
  return changetype<usize>(bytes);
}

function sameName(a: string, b: string): bool {
  return a.toLowerCase() == b.toLowerCase();
}

/** Keeps the bytes that the slices of linesOf point at. */
const kept: ArrayBuffer[] = [];

/**
 * The values of the i-th header's name as pairs of pointer and length: the host
 * replaces all lines of a name at once. Null: the name came earlier in the list.
 */
function linesOf(headers: Header[], i: i32): usize[] | null {
  const name = headers[i].name;
  for (let j = 0; j < i; j++) {
    if (sameName(headers[j].name, name)) return null;
  }
  const slices = new Array<usize>();
  for (let j = i; j < headers.length; j++) {
    if (!sameName(headers[j].name, name)) continue;
    const value = encode(headers[j].value);
    kept.push(value);
    slices.push(at(value));
    slices.push(value.byteLength);
  }
  return slices;
}

// The host writes into memory that it gets from malloc; the guest frees it.

function malloc(len: usize): usize {
  return heap.alloc(len);
}

function free(ptr: usize): void {
  heap.free(ptr);
}

/** Where the host leaves a pointer and a length. */
const out = memory.data(8);

/** The bytes of a slice, copied; the slice's are freed. */
function take(slice: usize): ArrayBuffer {
  const ptr = load<usize>(slice), len = load<usize>(slice, 4);
  const bytes = new ArrayBuffer(<i32>len);
  if (ptr) {
    memory.copy(at(bytes), ptr, len);
    heap.free(ptr);
  }
  return bytes;
}

function taken(): ArrayBuffer {
  return take(out);
}

function takenList(): string[] {
  const list = load<usize>(out), len = load<usize>(out, 4);
  const items: string[] = [];
  if (!list) return items;
  for (let i: usize = 0; i < len; i++) items.push(decode(take(list + i * 8)));
  heap.free(list);
  return items;
}

// The functions of terrane as they stand in the ABI; docs/hostcalls.md describes them.

@external("env", "hostcall_init_mm")
declare function init_mm(malloc: u32, free: u32): void;
@external("env", "hostcall_panic_hook")
declare function panic_hook(msg: usize, len: usize): void;
@external("env", "hostcall_debug")
declare function debug(msg: usize, len: usize): void;
@external("env", "hostcall_req_get_method")
declare function req_get_method(out: usize, len: usize, req: i32): void;
@external("env", "hostcall_req_get_path")
declare function req_get_path(out: usize, len: usize, req: i32): void;
@external("env", "hostcall_req_get_body")
declare function req_get_body(out: usize, len: usize, req: i32): void;
@external("env", "hostcall_req_get_header")
declare function req_get_header(out: usize, len: usize, req: i32, name: usize, nameLen: usize): void;
@external("env", "hostcall_resp_set_header")
declare function resp_set_header(resp: i32, name: usize, nameLen: usize, values: usize, len: usize): i32;
@external("env", "hostcall_resp_set_body")
declare function resp_set_body(resp: i32, body: usize, len: usize): i32;
@external("env", "hostcall_resp_set_response_code")
declare function resp_set_response_code(resp: i32, code: i32): i32;
@external("env", "hostcall_req_create")
declare function req_create(method: usize, methodLen: usize, url: usize, urlLen: usize): i32;
@external("env", "hostcall_req_set_header")
declare function req_set_header(req: i32, name: usize, nameLen: usize, values: usize, len: usize): i32;
@external("env", "hostcall_req_set_body")
declare function req_set_body(req: i32, body: usize, len: usize): i32;
@external("env", "hostcall_req_send")
declare function req_send(req: i32): i32;
@external("env", "hostcall_resp_get_response_code")
declare function resp_get_response_code(resp: i32): i32;
@external("env", "hostcall_resp_get_headers")
declare function resp_get_headers(out: usize, len: usize, resp: i32): void;
@external("env", "hostcall_resp_get_header")
declare function resp_get_header(out: usize, len: usize, resp: i32, name: usize, nameLen: usize): void;
@external("env", "hostcall_resp_get_body")
declare function resp_get_body(out: usize, len: usize, resp: i32): void;
@external("env", "hostcall_kvstore_get")
declare function kvstore_get(out: usize, len: usize, key: usize, keyLen: usize): i32;
@external("env", "hostcall_kvstore_insert")
declare function kvstore_insert(key: usize, keyLen: usize, value: usize, len: usize): i32;
@external("env", "hostcall_kvstore_upsert")
declare function kvstore_upsert(key: usize, keyLen: usize, value: usize, len: usize): i32;
@external("env", "hostcall_kvstore_append")
declare function kvstore_append(key: usize, keyLen: usize, value: usize, len: usize): i32;
@external("env", "hostcall_kvstore_remove")
declare function kvstore_remove(key: usize, keyLen: usize): i32;
@external("env", "hostcall_publish")
declare function publish_(subject: usize, subjectLen: usize, message: usize, len: usize): i32;
@external("env", "hostcall_request")
declare function request_(subject: usize, subjectLen: usize, message: usize, len: usize): i32;
@external("env", "hostcall_last_error")
declare function last_error(out: usize, len: usize): void;
@external("env", "hostcall_rng_next_u64")
declare function rng_next_u64(): u64;
@external("env", "hostcall_time_now")
declare function time_now(nanos: usize): i64;
