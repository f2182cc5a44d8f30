//! DNS over HTTPS (RFC 8484): the edge's resolver, for browsers and stub resolvers.

use terrane::{crypto, Request, Response};

terrane::handler!(handle);

const MESSAGE: &str = "application/dns-message";

fn handle(req: &Request) -> Response {
    let query = match req.method.as_str() {
        "GET" | "HEAD" => req.param("dns").and_then(|dns| crypto::base64url(&dns)),
        "POST" if req.header("content-type").as_deref() != Some(MESSAGE) => {
            return Response::text(415, format!("content-type: want {}\n", MESSAGE));
        }
        "POST" => Some(req.body()),
        _ => return Response::text(405, "GET or POST\n").with("allow", "GET, HEAD, POST"),
    };
    let query = match query {
        Some(query) if query.len() >= HEADER => query,
        _ => {
            return Response::text(
                400,
                "want a DNS message: ?dns=BASE64URL, or as the body of a POST\n",
            )
        }
    };
    match terrane::resolve(&query) {
        Some(answer) => {
            let age = format!("max-age={}", shortest_ttl(&answer).unwrap_or(0));
            Response::new(200, MESSAGE, answer).with("cache-control", &age)
        }
        None => Response::text(502, "the resolver did not answer\n"),
    }
}

const HEADER: usize = 12;

/// The answer may be cached for as long as its shortest-lived record (section 5.1).
/// None: there is no answer record, or the message ends too early.
fn shortest_ttl(message: &[u8]) -> Option<u32> {
    let mut at = HEADER;
    for _ in 0..u16_at(message, 4)? {
        at = after_name(message, at)? + 4; // type and class
    }
    let mut shortest = None;
    for _ in 0..u16_at(message, 6)? {
        at = after_name(message, at)?;
        let ttl = (u16_at(message, at + 4)? as u32) << 16 | u16_at(message, at + 6)? as u32;
        shortest = Some(shortest.map_or(ttl, |s: u32| s.min(ttl)));
        at += 10 + u16_at(message, at + 8)? as usize;
    }
    shortest
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([
        *message.get(at)?,
        *message.get(at + 1)?,
    ]))
}

fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer >= 0xc0 => return Some(at + 2),
            label => at += 1 + label as usize,
        }
    }
}
