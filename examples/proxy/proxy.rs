//! A reverse proxy: sends each request on to UPSTREAM, which the manifest sets, and
//! rewrites headers on the way there and back.

use terrane::{Fetch, Request, Response};

terrane::handler!(handle);

fn handle(req: &Request) -> Response {
    let upstream = match terrane::env("UPSTREAM") {
        Some(url) => url,
        None => return Response::text(500, "set UPSTREAM in [env] of terrane.toml\n"),
    };
    match onward(req, &upstream).send() {
        Ok(response) => back(response),
        Err(err) => {
            terrane::log(&format!("{}: {}", upstream, err));
            Response::text(502, "the upstream did not answer\n")
        }
    }
}

fn onward(req: &Request, upstream: &str) -> Fetch {
    let mut url = format!("{}{}", upstream.trim_end_matches('/'), req.path);
    if !req.query.is_empty() {
        url = format!("{}?{}", url, req.query);
    }
    let mut out = Fetch::new(&req.method, &url).body(req.body());
    for (name, value) in req.headers() {
        // What a visitor claims about the way it came is not to be believed.
        let claim = name.starts_with("x-forwarded-") || name == "forwarded";
        if !claim && name != "host" && name != "fastly-client-ip" {
            out = out.header(&name, &value);
        }
    }
    out.header(
        "x-forwarded-for",
        &req.header("fastly-client-ip").unwrap_or_default(),
    )
    .header("x-forwarded-host", &req.header("host").unwrap_or_default())
    .header("x-forwarded-proto", "https")
}

/// Tells nothing of what runs behind, and keeps cookies on this domain.
fn back(response: Response) -> Response {
    let mut out = response
        .without("server")
        .without("x-powered-by")
        .without("x-content-type-options");
    for (name, value) in &mut out.headers {
        if name.eq_ignore_ascii_case("set-cookie") {
            let domain = |part: &&str| {
                !part
                    .trim_start()
                    .to_ascii_lowercase()
                    .starts_with("domain=")
            };
            *value = value
                .split(';')
                .filter(domain)
                .collect::<Vec<_>>()
                .join(";");
        }
    }
    out.with("x-content-type-options", "nosniff")
}
