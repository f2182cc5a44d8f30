//! Notes over JSON, kept in the tenant's key-value store.
//!
//!     GET    /api/notes       all notes
//!     POST   /api/notes       {"text": "..."} makes one
//!     GET    /api/notes/ID    one note
//!     DELETE /api/notes/ID    removes it

use terrane::json::{object, Value};
use terrane::{kv, Request, Response};

terrane::handler!(handle);

fn handle(req: &Request) -> Response {
    let path: Vec<&str> = req.path.trim_matches('/').split('/').collect();
    match (req.method.as_str(), &path[..]) {
        ("GET", ["api", "notes"]) => list(),
        ("POST", ["api", "notes"]) => create(&req.body()),
        ("GET", ["api", "notes", id]) => show(id),
        ("DELETE", ["api", "notes", id]) => delete(id),
        (_, ["api", "notes"]) => fault(405, "GET or POST").with("allow", "GET, POST"),
        (_, ["api", "notes", _]) => fault(405, "GET or DELETE").with("allow", "GET, DELETE"),
        _ => fault(404, "no such resource"),
    }
}

fn fault(status: u16, why: &str) -> Response {
    Response::json(status, &object([("error", why.into())]))
}

const NOTE: &str = "note/";

fn key(id: &str) -> String {
    format!("{}{}", NOTE, id)
}

fn read(id: &str) -> Option<Value> {
    let text = String::from_utf8(kv::get(&key(id))?).ok()?;
    Some(object([("id", id.into()), ("text", text.as_str().into())]))
}

fn list() -> Response {
    let keys = kv::list(NOTE, "", 1000);
    let ids = keys.iter().filter_map(|k| k.strip_prefix(NOTE));
    let notes = ids.filter_map(read).collect();
    Response::json(200, &object([("notes", Value::Array(notes))]))
}

fn create(body: &[u8]) -> Response {
    let body = match std::str::from_utf8(body)
        .ok()
        .and_then(|text| Value::parse(text).ok())
    {
        Some(value) => value,
        None => return fault(400, "the body is not JSON"),
    };
    let text = match body.get("text").and_then(Value::as_str) {
        Some(text) if !text.trim().is_empty() => text,
        _ => return fault(422, "want a member \"text\" that is not empty"),
    };
    let id = format!("{:016x}", terrane::random());
    kv::set(&key(&id), text);
    let note = object([("id", id.as_str().into()), ("text", text.into())]);
    Response::json(201, &note).with("location", &format!("/api/notes/{}", id))
}

fn show(id: &str) -> Response {
    match read(id) {
        Some(note) => Response::json(200, &note),
        None => fault(404, "no such note"),
    }
}

fn delete(id: &str) -> Response {
    match kv::remove(&key(id)) {
        true => Response {
            status: 204,
            ..Default::default()
        },
        false => fault(404, "no such note"),
    }
}
