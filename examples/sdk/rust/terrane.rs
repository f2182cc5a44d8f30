//! terrane for guests in Rust: the crate of this folder's files, without
//! dependencies, for Rust 1.59 or later.
//!
//! A guest is one function from a request to a response:
//!
//! ```
//! use terrane::{Request, Response};
//!
//! terrane::handler!(handle);
//!
//! fn handle(req: &Request) -> Response {
//!     Response::text(200, format!("hello from {}\n", req.path))
//! }
//! ```
//!
//! Each request runs in an instance of its own: statics do not outlive it, and
//! `kv` is what does. A panic answers 500 and its message is in the tenant's log; so
//! does a response that exceeds a limit or is not valid.

pub mod crypto;
pub mod json;

mod abi;
mod memory;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// Exports `run`, the entry that terrane calls once for each request.
#[macro_export]
macro_rules! handler {
    ($handle:path) => {
        #[no_mangle]
        pub extern "C" fn run() {
            $crate::serve($handle)
        }
    };
}

/// Answers the request with what `handle` returns. `handler!` calls it.
pub fn serve(handle: fn(&Request) -> Response) {
    unsafe { abi::hostcall_init_mm(memory::malloc, memory::free) };
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        unsafe { abi::hostcall_panic_hook(text.as_ptr(), text.len()) };
    }));
    if let Err(why) = handle(&Request::incoming()).answer() {
        panic!("the response was refused: {}", why);
    }
}

/// The request that this instance answers.
pub struct Request {
    pub method: String,
    /// Without the query, percent-escapes as the client sent them.
    pub path: String,
    /// What follows the `?`; empty if there is none.
    pub query: String,
}

impl Request {
    fn incoming() -> Request {
        let method = memory::bytes(|p, n| unsafe { abi::hostcall_req_get_method(p, n, 0) });
        let target = memory::bytes(|p, n| unsafe { abi::hostcall_req_get_path(p, n, 0) });
        let target = text(target.unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        Request {
            method: text(method.unwrap_or_default()),
            path: path.to_string(),
            query: query.to_string(),
        }
    }

    /// The first value of a header; its name in any case.
    pub fn header(&self, name: &str) -> Option<String> {
        let values = memory::list(|p, n| unsafe {
            abi::hostcall_req_get_header(p, n, 0, name.as_ptr(), name.len())
        });
        values.into_iter().next().map(text)
    }

    /// All headers, one pair for each value, names in lower case.
    pub fn headers(&self) -> Vec<(String, String)> {
        headers(
            |p, n| unsafe { abi::hostcall_req_get_headers(p, n, 0) },
            |p, n, name| unsafe {
                abi::hostcall_req_get_header(p, n, 0, name.as_ptr(), name.len())
            },
        )
    }

    /// The whole body.
    pub fn body(&self) -> Vec<u8> {
        memory::bytes(|p, n| unsafe { abi::hostcall_req_get_body(p, n, 0) }).unwrap_or_default()
    }

    /// The first query parameter of that name, decoded.
    pub fn param(&self, name: &str) -> Option<String> {
        param(&self.query, name)
    }
}

/// A response: the guest's own, or an upstream's.
#[derive(Default)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// A part of the body was sent: see `send`.
    pub sent: bool,
}

impl Response {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        Response {
            status,
            headers: vec![],
            body: body.into(),
            sent: false,
        }
        .with("content-type", content_type)
    }

    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Response {
        Response::new(status, "text/plain; charset=utf-8", body)
    }

    pub fn html(status: u16, body: impl Into<Vec<u8>>) -> Response {
        Response::new(status, "text/html; charset=utf-8", body)
    }

    pub fn json(status: u16, body: &json::Value) -> Response {
        Response::new(status, "application/json", format!("{}\n", body))
    }

    /// Adds a header line.
    pub fn with(mut self, name: &str, value: &str) -> Response {
        self.headers.push((name.to_string(), value.to_string()));
        self
    }

    /// The first value of a header; its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Drops every line of a header.
    pub fn without(mut self, name: &str) -> Response {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    /// Sends a part of the body to the visitor at once; status, headers and the body so far go
    /// before the first one. From then on only `send` adds to the response, which the handler
    /// still returns.
    pub fn send(&mut self, chunk: impl AsRef<[u8]>) -> Result<(), Error> {
        if !self.sent {
            self.set()?;
            self.sent = true;
        }
        let c = chunk.as_ref();
        accepted(unsafe { abi::hostcall_resp_send_chunk(0, c.as_ptr(), c.len()) })
    }

    fn answer(self) -> Result<(), Error> {
        if self.sent {
            return Ok(());
        }
        self.set()
    }

    fn set(&self) -> Result<(), Error> {
        accepted(unsafe { abi::hostcall_resp_set_response_code(0, self.status.into()) })?;
        set_headers(&self.headers, |name, values, n| unsafe {
            abi::hostcall_resp_set_header(0, name.as_ptr(), name.len(), values, n)
        })?;
        accepted(unsafe { abi::hostcall_resp_set_body(0, self.body.as_ptr(), self.body.len()) })
    }

    fn received(handle: i32) -> Result<Response, Error> {
        if handle < 0 {
            return Err(Error::last());
        }
        let mut response = Response::head(handle);
        response.body = memory::bytes(|p, n| unsafe { abi::hostcall_resp_get_body(p, n, handle) })
            .unwrap_or_default();
        Ok(response)
    }

    fn head(handle: i32) -> Response {
        Response {
            status: unsafe { abi::hostcall_resp_get_response_code(handle) } as u16,
            headers: headers(
                |p, n| unsafe { abi::hostcall_resp_get_headers(p, n, handle) },
                |p, n, name| unsafe {
                    abi::hostcall_resp_get_header(p, n, handle, name.as_ptr(), name.len())
                },
            ),
            ..Response::default()
        }
    }
}

/// An outbound request.
pub struct Fetch {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    timeout: Duration,
}

impl Fetch {
    /// `url` is absolute, http or https.
    pub fn new(method: &str, url: &str) -> Fetch {
        Fetch {
            method: method.into(),
            url: url.into(),
            headers: vec![],
            body: vec![],
            timeout: Duration::ZERO,
        }
    }

    pub fn get(url: &str) -> Fetch {
        Fetch::new("GET", url)
    }

    pub fn header(mut self, name: &str, value: &str) -> Fetch {
        self.headers.push((name.to_string(), value.to_string()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Fetch {
        self.body = body.into();
        self
    }

    /// Bounds the time of the request, redirects and body included.
    pub fn timeout(mut self, limit: Duration) -> Fetch {
        self.timeout = limit;
        self
    }

    /// Sends it and waits. A status such as 404 or 500 is a Response, not an Error.
    pub fn send(&self) -> Result<Response, Error> {
        Response::received(unsafe { abi::hostcall_req_send(self.create()?) })
    }

    /// Sends it and returns once the header of the response has arrived. Its body is read from
    /// the Download.
    pub fn stream(&self) -> Result<Download, Error> {
        match unsafe { abi::hostcall_req_send_streaming(self.create()?) } {
            handle if handle < 0 => Err(Error::last()),
            handle => Ok(Download {
                response: Response::head(handle),
                handle,
            }),
        }
    }

    /// Sends it and returns at once.
    pub fn start(&self) -> Result<Pending, Error> {
        match unsafe { abi::hostcall_req_send_async(self.create()?) } {
            handle if handle < 0 => Err(Error::last()),
            handle => Ok(Pending(handle)),
        }
    }

    fn create(&self) -> Result<i32, Error> {
        let (method, url) = (&self.method, &self.url);
        let req = unsafe {
            abi::hostcall_req_create(method.as_ptr(), method.len(), url.as_ptr(), url.len())
        };
        if req < 0 {
            return Err(Error::last());
        }
        set_headers(&self.headers, |name, values, n| unsafe {
            abi::hostcall_req_set_header(req, name.as_ptr(), name.len(), values, n)
        })?;
        accepted(unsafe { abi::hostcall_req_set_body(req, self.body.as_ptr(), self.body.len()) })?;
        if !self.timeout.is_zero() {
            let ms = self.timeout.as_millis().clamp(1, u32::MAX.into()) as u32;
            unsafe { abi::hostcall_req_set_timeout(req, ms) };
        }
        Ok(req)
    }
}

/// A response whose body has not arrived yet. Reading it waits for more.
pub struct Download {
    /// Status and headers; the body is empty.
    pub response: Response,
    handle: i32,
}

impl io::Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match unsafe { abi::hostcall_resp_read(self.handle, buffer.as_mut_ptr(), buffer.len()) } {
            n if n < 0 => Err(io::Error::new(io::ErrorKind::Other, Error::last().0)),
            n => Ok(n as usize),
        }
    }
}

/// An outbound request under way.
pub struct Pending(i32);

impl Pending {
    pub fn wait(self) -> Result<Response, Error> {
        Response::received(unsafe { abi::hostcall_pending_req_wait(self.0) })
    }

    /// The response, or the request again while there is none yet.
    pub fn poll(self) -> Result<Result<Response, Error>, Pending> {
        match unsafe { abi::hostcall_pending_req_poll(self.0) } {
            NOT_READY => Err(self),
            handle => Ok(Response::received(handle)),
        }
    }
}

const NOT_READY: i32 = -2;

/// Waits for the first of several requests and takes it from the list, which must
/// not be empty. Returns its place in the list and its response.
pub fn select(pending: &mut Vec<Pending>) -> (usize, Result<Response, Error>) {
    let handles: Vec<i32> = pending.iter().map(|p| p.0).collect();
    let mut done = 0;
    let handle =
        unsafe { abi::hostcall_pending_req_select(handles.as_ptr(), handles.len(), &mut done) };
    let at = handles
        .iter()
        .position(|h| *h == done)
        .expect("select: no such request");
    pending.remove(at);
    (at, Response::received(handle))
}

/// Hands a message to the modules of this folder whose [[subscribe]] takes the
/// subject. Ok: it is kept, and will be handled at least once, at whichever edge.
pub fn publish(subject: &str, message: impl AsRef<[u8]>) -> Result<(), Error> {
    let m = message.as_ref();
    accepted(unsafe {
        abi::hostcall_publish(subject.as_ptr(), subject.len(), m.as_ptr(), m.len())
    })
}

/// Sends a message to a module that subscribes to it, at the nearest edge, and waits
/// for what it answers.
pub fn request(subject: &str, message: impl AsRef<[u8]>) -> Result<Response, Error> {
    let m = message.as_ref();
    Response::received(unsafe {
        abi::hostcall_request(subject.as_ptr(), subject.len(), m.as_ptr(), m.len())
    })
}

/// Why an outbound request has no response, or a message was not taken.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    fn last() -> Error {
        let why = memory::bytes(|p, n| unsafe { abi::hostcall_last_error(p, n) });
        Error(text(why.unwrap_or_default()))
    }
}

/// What a status of the host says.
fn accepted(status: i32) -> Result<(), Error> {
    match status {
        0 => Ok(()),
        _ => Err(Error::last()),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The tenant's key-value store, shared by all its requests. `set`, `add` and `append`
/// tell whether the key was absent before.
pub mod kv {
    use super::{abi, memory, text};

    pub fn get(key: &str) -> Option<Vec<u8>> {
        memory::bytes(|p, n| unsafe {
            abi::hostcall_kvstore_get(p, n, key.as_ptr(), key.len());
        })
    }

    /// Sets the value, whatever was there. (The host's name for it is "insert".)
    pub fn set(key: &str, value: impl AsRef<[u8]>) -> bool {
        let v = value.as_ref();
        unsafe { abi::hostcall_kvstore_insert(key.as_ptr(), key.len(), v.as_ptr(), v.len()) != 0 }
    }

    /// Sets the value unless there is one. (The host's name for it is "upsert".)
    pub fn add(key: &str, value: impl AsRef<[u8]>) -> bool {
        let v = value.as_ref();
        unsafe { abi::hostcall_kvstore_upsert(key.as_ptr(), key.len(), v.as_ptr(), v.len()) != 0 }
    }

    /// Adds to the value's end.
    pub fn append(key: &str, value: impl AsRef<[u8]>) -> bool {
        let v = value.as_ref();
        unsafe { abi::hostcall_kvstore_append(key.as_ptr(), key.len(), v.as_ptr(), v.len()) != 0 }
    }

    /// The version of a key that is absent.
    pub const ABSENT: u64 = 0;
    /// The version by which `put` overwrites whatever is there.
    pub const ANY: u64 = u64::MAX;

    /// The value and its version.
    pub fn get_version(key: &str) -> Option<(Vec<u8>, u64)> {
        let mut version = ABSENT;
        let value = memory::bytes(|p, n| unsafe {
            abi::hostcall_kvstore_get_version(p, n, &mut version, key.as_ptr(), key.len());
        });
        value.map(|v| (v, version))
    }

    /// Sets the value if the key still has a version, and returns the new one; None if it has
    /// another. Unless ttl is 0, the key is gone again that many seconds later.
    pub fn put(key: &str, value: impl AsRef<[u8]>, version: u64, ttl: u32) -> Option<u64> {
        let v = value.as_ref();
        let (key, len) = (key.as_ptr(), key.len());
        match unsafe { abi::hostcall_kvstore_put(key, len, v.as_ptr(), v.len(), version, ttl) } {
            0 => None,
            new => Some(new),
        }
    }

    /// The first keys, at most `limit` and 1000, that begin with prefix and sort behind
    /// `after`.
    pub fn list(prefix: &str, after: &str, limit: usize) -> Vec<String> {
        let keys = memory::list(|p, n| unsafe {
            let (prefix_len, after_len) = (prefix.len(), after.len());
            abi::hostcall_kvstore_list(
                p,
                n,
                prefix.as_ptr(),
                prefix_len,
                after.as_ptr(),
                after_len,
                limit,
            )
        });
        keys.into_iter().map(text).collect()
    }

    /// Adds to a number, atomically, and returns the sum. A key that is absent
    /// counts as 0 and, unless ttl is 0, is gone again that many seconds later.
    /// None: the value is no number, or the sum has more than 64 bits.
    pub fn increment(key: &str, delta: i64, ttl: u32) -> Option<i64> {
        let mut sum = 0;
        let status = unsafe {
            abi::hostcall_kvstore_increment(key.as_ptr(), key.len(), delta, ttl, &mut sum)
        };
        if status == 0 {
            Some(sum)
        } else {
            None
        }
    }

    /// Tells whether there was something to remove.
    pub fn remove(key: &str) -> bool {
        unsafe { abi::hostcall_kvstore_remove(key.as_ptr(), key.len()) != 0 }
    }
}

/// A value of the manifest's [env].
pub fn env(name: &str) -> Option<String> {
    let value = memory::bytes(|p, n| unsafe {
        abi::hostcall_env_get(p, n, name.as_ptr(), name.len());
    });
    value.map(text)
}

/// Time since 1970, UTC.
pub fn now() -> Duration {
    let mut nanos = 0;
    let seconds = unsafe { abi::hostcall_time_now(&mut nanos) };
    Duration::new(seconds as u64, nanos)
}

/// Random bits of cryptographic quality.
pub fn random() -> u64 {
    unsafe { abi::hostcall_rng_next_u64() }
}

/// A line in the tenant's log, for debugging.
pub fn log(line: &str) {
    unsafe { abi::hostcall_debug(line.as_ptr(), line.len()) }
}

#[derive(Clone, Copy)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

/// A line in the tenant's log.
pub fn log_at(level: Level, line: &str) {
    unsafe { abi::hostcall_log(level as i32, line.as_ptr(), line.len()) }
}

/// The name of the edge that runs this instance.
pub fn edge() -> String {
    text(memory::bytes(|p, n| unsafe { abi::hostcall_edge_name(p, n) }).unwrap_or_default())
}

/// Its region; empty if it has none.
pub fn region() -> String {
    text(memory::bytes(|p, n| unsafe { abi::hostcall_edge_region(p, n) }).unwrap_or_default())
}

/// The request's id, as in the log and in the header Terrane-Request-Id.
pub fn request_id() -> String {
    text(memory::bytes(|p, n| unsafe { abi::hostcall_request_id(p, n) }).unwrap_or_default())
}

/// The addresses of a name: IPv6 if so asked, else IPv4.
pub fn lookup(name: &str, ipv6: bool) -> Vec<IpAddr> {
    let answers = memory::list(|p, n| unsafe {
        abi::hostcall_dns_query_ip(p, n, name.as_ptr(), name.len(), ipv6.into());
    });
    answers.into_iter().filter_map(address).collect()
}

fn address(bytes: Vec<u8>) -> Option<IpAddr> {
    match <[u8; 4]>::try_from(&bytes[..]) {
        Ok(v4) => Some(v4.into()),
        Err(_) => <[u8; 16]>::try_from(&bytes[..]).ok().map(IpAddr::from),
    }
}

/// Sends a DNS message (RFC 1035) and returns the resolver's.
pub fn resolve(message: &[u8]) -> Option<Vec<u8>> {
    memory::bytes(|p, n| unsafe {
        abi::hostcall_dns_query_raw(p, n, message.as_ptr(), message.len());
    })
}

/// The first value of that name in a query string or an urlencoded form.
pub fn param(form: &str, name: &str) -> Option<String> {
    let mut pairs = form
        .split('&')
        .map(|p| p.split_once('=').unwrap_or((p, "")));
    pairs
        .find(|(key, _)| unescape(key) == name)
        .map(|(_, value)| unescape(value))
}

/// Decodes `%41` and `+`, as forms and query strings write them.
pub fn unescape(s: &str) -> String {
    let mut out = Vec::with_capacity(s.len());
    let mut rest = s.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = if first == b'%' { tail.get(..2) } else { None };
        let byte = escape
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| !hex.starts_with('+'))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        rest = if byte.is_some() { &tail[2..] } else { tail };
        out.push(byte.unwrap_or(if first == b'+' { b' ' } else { first }));
    }
    text(out)
}

/// Makes text safe between tags and within quoted attributes of HTML.
pub fn escape(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn headers(
    names: impl FnOnce(*mut *mut memory::Slice, *mut usize),
    values: impl Fn(*mut *mut memory::Slice, *mut usize, &str),
) -> Vec<(String, String)> {
    let mut all = vec![];
    for name in memory::list(names).into_iter().map(text) {
        for value in memory::list(|p, n| values(p, n, &name)) {
            all.push((name.clone(), text(value)));
        }
    }
    all
}

/// The host replaces all lines of a name at once, so the values go name by name.
fn set_headers(
    all: &[(String, String)],
    set: impl Fn(&str, *const memory::Slice, usize) -> i32,
) -> Result<(), Error> {
    for (i, (name, _)) in all.iter().enumerate() {
        let same = |n: &str| n.eq_ignore_ascii_case(name);
        if all[..i].iter().any(|(n, _)| same(n)) {
            continue;
        }
        let lines = all.iter().filter(|(n, _)| same(n));
        let values: Vec<_> = lines.map(|(_, v)| memory::Slice::of(v)).collect();
        accepted(set(name, values.as_ptr(), values.len()))?;
    }
    Ok(())
}
