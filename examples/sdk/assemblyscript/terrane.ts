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
  if (!response.sent) response.set();
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

  /** All headers, one for each value, names in lower case. */
  headers(): Header[] {
    req_get_headers(out, out + 4, 0);
    const names = takenList(), all: Header[] = [];
    for (let i = 0; i < names.length; i++) {
      const name = encode(names[i]);
      req_get_header(out, out + 4, 0, at(name), name.byteLength);
      const values = takenList();
      for (let j = 0; j < values.length; j++) all.push(new Header(names[i], values[j]));
    }
    return all;
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
  /** A part of the body was sent. */
  sent: bool = false;

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

  /**
   * Sends a part of the body to the visitor at once; status, headers and the body so far go
   * before the first one. From then on only send adds to the response, which the handler still
   * returns. False: lastError says why.
   */
  send(chunk: ArrayBuffer): bool {
    if (!this.sent) {
      this.set();
      this.sent = true;
    }
    return resp_send_chunk(0, at(chunk), chunk.byteLength) == 0;
  }

  /** Hands the response to the host. serve calls it. */
  set(): void {
    let refused = resp_set_response_code(0, this.status);
    for (let i = 0; i < this.headers.length; i++) {
      const name = encode(this.headers[i].name);
      const values = linesOf(this.headers, i);
      if (values) refused |= resp_set_header(0, at(name), name.byteLength, values.dataStart, values.length >> 1);
    }
    refused |= resp_set_body(0, at(this.body), this.body.byteLength);
    if (refused) throw new Error("the response was refused: " + lastError());
  }
}

/**
 * Sends a request and waits. Null: there is no response, lastError says why. A status
 * such as 404 or 500 is a response. timeout is in milliseconds, redirects and body included;
 * 0 is the host's own.
 */
export function fetch(
  method: string,
  url: string,
  headers: Header[] = [],
  body: ArrayBuffer = new ArrayBuffer(0),
  timeout: u32 = 0,
): Response | null {
  const req = created(method, url, headers, body, timeout);
  return req < 0 ? null : received(req_send(req));
}

/** fetch, which returns once the header of the response has arrived. */
export function download(
  method: string,
  url: string,
  headers: Header[] = [],
  body: ArrayBuffer = new ArrayBuffer(0),
  timeout: u32 = 0,
): Download | null {
  const req = created(method, url, headers, body, timeout);
  const resp = req < 0 ? req : req_send_streaming(req);
  return resp < 0 ? null : new Download(head(resp), resp);
}

/** A response whose body has not arrived yet. */
export class Download {
  /** response has status and headers, and no body. */
  constructor(public response: Response, private handle: i32) {}

  /**
   * Reads what has arrived of the body, at least one byte, and returns how many; waits for it.
   * 0: the body has ended; below 0: it broke off, lastError says why.
   */
  read(buffer: ArrayBuffer): i32 {
    return resp_read(this.handle, at(buffer), buffer.byteLength);
  }
}

/** fetch, which returns at once. */
export function start(
  method: string,
  url: string,
  headers: Header[] = [],
  body: ArrayBuffer = new ArrayBuffer(0),
  timeout: u32 = 0,
): Pending | null {
  const req = created(method, url, headers, body, timeout);
  const pending = req < 0 ? req : req_send_async(req);
  return pending < 0 ? null : new Pending(pending);
}

/** A request under way. */
export class Pending {
  constructor(public handle: i32) {}

  /** Null: there is no response, lastError says why. */
  wait(): Response | null {
    return received(pending_req_wait(this.handle));
  }

  /** Whether wait would not wait. The request has ended then, and response is its answer. */
  ready(): bool {
    const resp = pending_req_poll(this.handle);
    if (resp == -2) return false;
    this.response = received(resp);
    return true;
  }

  /** Set by ready and firstOf. */
  response: Response | null = null;
}

/** Waits for the first of several requests and returns its place in the list; its response is set. */
export function firstOf(list: Pending[]): i32 {
  const handles = new StaticArray<i32>(list.length);
  for (let i = 0; i < list.length; i++) handles[i] = list[i].handle;
  const resp = pending_req_select(changetype<usize>(handles), list.length, out);
  const place = handles.indexOf(load<i32>(out));
  if (place >= 0) list[place].response = received(resp);
  return place;
}

/** The handle of a new request, below 0 if there is none. */
function created(method: string, url: string, headers: Header[], body: ArrayBuffer, timeout: u32): i32 {
  const m = encode(method), u = encode(url);
  const req = req_create(at(m), m.byteLength, at(u), u.byteLength);
  if (req < 0) return req;
  for (let i = 0; i < headers.length; i++) {
    const name = encode(headers[i].name);
    const values = linesOf(headers, i);
    if (values) req_set_header(req, at(name), name.byteLength, values.dataStart, values.length >> 1);
  }
  req_set_body(req, at(body), body.byteLength);
  if (timeout) req_set_timeout(req, timeout);
  return req;
}

function received(resp: i32): Response | null {
  if (resp < 0) return null;
  const response = head(resp);
  resp_get_body(out, out + 4, resp);
  response.body = taken();
  return response;
}

/** Status and headers. */
function head(resp: i32): Response {
  const response = new Response(resp_get_response_code(resp), new ArrayBuffer(0));
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

  /** The version by which put overwrites whatever is there. That of an absent key is 0. */
  export const ANY: u64 = u64.MAX_VALUE;

  /** The value and its version; null when absent. */
  export function getVersion(key: string): Versioned | null {
    const k = encode(key);
    if (!kvstore_get_version(out, out + 4, out + 8, at(k), k.byteLength)) return null;
    const version = load<u64>(out, 8);
    return new Versioned(decode(taken()), version);
  }

  /**
   * Sets the value if the key has the version, and returns the new one; 0: it has another. Unless
   * ttl is 0, the key is gone again that many seconds later.
   */
  export function put(key: string, value: string, version: u64, ttl: u32 = 0): u64 {
    const k = encode(key), v = encode(value);
    return kvstore_put(at(k), k.byteLength, at(v), v.byteLength, version, ttl);
  }

  /**
   * Adds to a number, atomically; sum then has it. A key that is absent counts as 0 and, unless ttl
   * is 0, is gone again that many seconds later. False: the value is no number, or the sum has more
   * than 64 bits.
   */
  export function increment(key: string, delta: i64, ttl: u32 = 0): bool {
    const k = encode(key);
    if (kvstore_increment(at(k), k.byteLength, delta, ttl, out)) return false;
    sum = load<i64>(out);
    return true;
  }

  /** What the last increment made. */
  export let sum: i64 = 0;

  /** The first keys, at most limit and 1000, that begin with prefix and sort behind after. */
  export function list(prefix: string, after: string = "", limit: u32 = 1000): string[] {
    const p = encode(prefix), a = encode(after);
    kvstore_list(out, out + 4, at(p), p.byteLength, at(a), a.byteLength, limit);
    return takenList();
  }

  /** Tells whether there was something to remove. */
  export function remove(key: string): bool {
    const k = encode(key);
    return kvstore_remove(at(k), k.byteLength) != 0;
  }
}

/** What kv.getVersion returns. */
export class Versioned {
  constructor(public value: string, public version: u64) {}
}

/** A value of the manifest's [env]; null if it is not set. */
export function env(name: string): string | null {
  const n = encode(name);
  return env_get(out, out + 4, at(n), n.byteLength) ? decode(taken()) : null;
}

/** The name of the edge that runs this instance. */
export function edge(): string {
  edge_name(out, out + 4);
  return decode(taken());
}

/** Its region; empty if it has none. */
export function region(): string {
  edge_region(out, out + 4);
  return decode(taken());
}

/** The request's id, as in the log and in the header Terrane-Request-Id. */
export function requestId(): string {
  request_id(out, out + 4);
  return decode(taken());
}

/** The addresses of a name: of 16 bytes each if ipv6, else of 4. */
export function lookup(name: string, ipv6: bool = false): ArrayBuffer[] {
  const n = encode(name);
  dns_query_ip(out, out + 4, at(n), n.byteLength, ipv6);
  return takenBytes();
}

/** Sends a DNS message (RFC 1035) and returns the resolver's; null if there is none. */
export function resolve(message: ArrayBuffer): ArrayBuffer | null {
  return dns_query_raw(out, out + 4, at(message), message.byteLength) ? taken() : null;
}

/** Seconds since 1970, UTC. */
export function now(): i64 {
  return time_now(0);
}

/** Random bits of cryptographic quality. */
export function random(): u64 {
  return rng_next_u64();
}

/** A line in the tenant's log, for debugging. */
export function log(line: string): void {
  const l = encode(line);
  debug(at(l), l.byteLength);
}

export enum Level {
  Debug,
  Info,
  Warning,
  Error,
}

/** A line in the tenant's log. */
export function logAt(level: Level, line: string): void {
  const l = encode(line);
  log_(level, at(l), l.byteLength);
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

/** Where the host leaves a pointer and a length, or a number, and a version after them. */
const out = memory.data(16, 8);

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

function takenBytes(): ArrayBuffer[] {
  const list = load<usize>(out), len = load<usize>(out, 4);
  const items: ArrayBuffer[] = [];
  if (!list) return items;
  for (let i: usize = 0; i < len; i++) items.push(take(list + i * 8));
  heap.free(list);
  return items;
}

function takenList(): string[] {
  return takenBytes().map<string>((item) => decode(item));
}

// The functions of terrane as they are in the ABI; docs/hostcalls.md describes them.

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
@external("env", "hostcall_log")
declare function log_(level: i32, msg: usize, len: usize): void;
@external("env", "hostcall_env_get")
declare function env_get(out: usize, len: usize, name: usize, nameLen: usize): i32;
@external("env", "hostcall_edge_name")
declare function edge_name(out: usize, len: usize): void;
@external("env", "hostcall_edge_region")
declare function edge_region(out: usize, len: usize): void;
@external("env", "hostcall_request_id")
declare function request_id(out: usize, len: usize): void;
@external("env", "hostcall_req_get_headers")
declare function req_get_headers(out: usize, len: usize, req: i32): void;
@external("env", "hostcall_resp_send_chunk")
declare function resp_send_chunk(resp: i32, chunk: usize, len: usize): i32;
@external("env", "hostcall_req_set_timeout")
declare function req_set_timeout(req: i32, milliseconds: u32): i32;
@external("env", "hostcall_req_send_streaming")
declare function req_send_streaming(req: i32): i32;
@external("env", "hostcall_req_send_async")
declare function req_send_async(req: i32): i32;
@external("env", "hostcall_pending_req_wait")
declare function pending_req_wait(pending: i32): i32;
@external("env", "hostcall_pending_req_poll")
declare function pending_req_poll(pending: i32): i32;
@external("env", "hostcall_pending_req_select")
declare function pending_req_select(pending: usize, len: usize, done: usize): i32;
@external("env", "hostcall_resp_read")
declare function resp_read(resp: i32, buffer: usize, len: usize): i32;
@external("env", "hostcall_kvstore_get_version")
declare function kvstore_get_version(out: usize, len: usize, version: usize, key: usize, keyLen: usize): i32;
@external("env", "hostcall_kvstore_put")
declare function kvstore_put(key: usize, keyLen: usize, value: usize, len: usize, version: u64, ttl: u32): u64;
@external("env", "hostcall_kvstore_increment")
declare function kvstore_increment(key: usize, keyLen: usize, delta: i64, ttl: u32, sum: usize): i32;
@external("env", "hostcall_kvstore_list")
declare function kvstore_list(out: usize, len: usize, prefix: usize, prefixLen: usize, after: usize, afterLen: usize, limit: u32): void;
@external("env", "hostcall_dns_query_ip")
declare function dns_query_ip(out: usize, len: usize, name: usize, nameLen: usize, ipv6: i32): i32;
@external("env", "hostcall_dns_query_raw")
declare function dns_query_raw(out: usize, len: usize, query: usize, queryLen: usize): i32;
