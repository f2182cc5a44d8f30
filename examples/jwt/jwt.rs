//! Lets through who bears a valid token (RFC 7519, HS256), and each only so often.
//! The key is JWT_KEY in the manifest's [env].

use terrane::crypto::{base64url, equal, hmac_sha256};
use terrane::json::{object, Value};
use terrane::{kv, Request, Response};

terrane::handler!(handle);

const REQUESTS_PER_MINUTE: i64 = 10;

fn handle(req: &Request) -> Response {
    let key = match terrane::env("JWT_KEY") {
        Some(key) if key.len() >= 32 => key,
        _ => {
            return Response::text(
                500,
                "set JWT_KEY, 32 bytes or more, in [env] of terrane.toml\n",
            )
        }
    };
    let now = terrane::now().as_secs();
    let subject = match subject(req, key.as_bytes(), now as i64) {
        Ok(subject) => subject,
        Err(why) => {
            let challenge = format!(
                "Bearer error=\"invalid_token\", error_description=\"{}\"",
                why
            );
            return Response::text(401, format!("{}\n", why)).with("www-authenticate", &challenge);
        }
    };
    if count(&subject, now / 60) > REQUESTS_PER_MINUTE {
        let wait = (60 - now % 60).to_string();
        return Response::text(429, "too many requests\n").with("retry-after", &wait);
    }
    // Here a guest would answer, or ask an upstream; see the example proxy.
    Response::json(200, &object([("subject", subject.as_str().into())]))
}

fn subject(req: &Request, key: &[u8], now: i64) -> Result<String, &'static str> {
    let header = req.header("authorization").unwrap_or_default();
    let token = match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return Err("want a bearer token"),
    };
    let claims = verified(token, key).ok_or("the token is not genuine")?;
    let time = |name| claims.get(name).and_then(Value::as_i64);
    if now >= time("exp").ok_or("the token has no time at which it ends")? {
        return Err("the token has expired");
    }
    if time("nbf").map_or(false, |start| now < start) {
        return Err("the token is not valid yet");
    }
    let subject = claims
        .get("sub")
        .and_then(Value::as_str)
        .ok_or("the token names nobody")?;
    Ok(subject.to_string())
}

/// The claims of a token, if it was signed with the key.
fn verified(token: &str, key: &[u8]) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    // The token must not choose how it is checked: "none" is an algorithm too.
    if read(header)?.get("alg")?.as_str()? != "HS256" {
        return None;
    }
    if !equal(&hmac_sha256(key, signed.as_bytes()), &base64url(signature)?) {
        return None;
    }
    read(claims)
}

fn read(part: &str) -> Option<Value> {
    Value::parse(&String::from_utf8(base64url(part)?).ok()?).ok()
}

/// Counts a request, and returns how many there were in this minute.
fn count(subject: &str, minute: u64) -> i64 {
    kv::increment(&format!("rate/{}/{}", minute, subject), 1, 60).unwrap_or(i64::MAX)
}
