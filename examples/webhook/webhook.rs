//! Receives webhooks as GitHub sends them: checks the signature over the body with
//! WEBHOOK_SECRET of the manifest's [env], and keeps each delivery once, however often
//! it comes. GET lists what came.

use terrane::crypto::{equal, hex, hmac_sha256};
use terrane::json::{object, Value};
use terrane::{kv, Request, Response};

terrane::handler!(handle);

const LARGEST: usize = 1 << 20;

fn handle(req: &Request) -> Response {
    match req.method.as_str() {
        "POST" => receive(req),
        "GET" | "HEAD" => list(),
        _ => Response::text(405, "GET or POST\n").with("allow", "GET, HEAD, POST"),
    }
}

fn receive(req: &Request) -> Response {
    let secret = match terrane::env("WEBHOOK_SECRET") {
        Some(secret) if !secret.is_empty() => secret,
        _ => return Response::text(500, "set WEBHOOK_SECRET in [env] of terrane.toml\n"),
    };
    let body = req.body();
    let want = format!("sha256={}", hex(&hmac_sha256(secret.as_bytes(), &body)));
    let got = req.header("x-hub-signature-256").unwrap_or_default();
    if !equal(want.as_bytes(), got.as_bytes()) {
        return Response::text(401, "the signature does not fit the body\n");
    }
    if body.len() > LARGEST {
        return Response::text(413, "more than the store holds under one key\n");
    }
    let id = match req.header("x-github-delivery") {
        Some(id) if id.bytes().all(|b| b.is_ascii_graphic()) => id,
        _ => return Response::text(400, "want X-GitHub-Delivery\n"),
    };
    if !kv::add(&format!("delivery/{}", id), &body) {
        return Response::text(200, "known already\n");
    }
    let event = req.header("x-github-event").unwrap_or_default();
    kv::append("deliveries", format!("{} {}\n", id, event));
    terrane::log(&format!("delivery {}: {}, {} bytes", id, event, body.len()));
    // Here a guest would act on it: start a build, tell a chat.
    Response::text(202, "taken\n")
}

fn list() -> Response {
    let lines = String::from_utf8(kv::get("deliveries").unwrap_or_default()).unwrap_or_default();
    let entry = |line: &str| {
        let (id, event) = line.split_once(' ')?;
        Some(object([("id", id.into()), ("event", event.into())]))
    };
    Response::json(
        200,
        &Value::Array(lines.lines().filter_map(entry).collect()),
    )
}
