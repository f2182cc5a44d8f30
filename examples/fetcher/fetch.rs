//! Fetches the URL in ?url= and hands on its status, its type and its body; with
//! &show=length only the status and how long the body is.

use terrane::{Fetch, Request, Response};

terrane::handler!(handle);

fn handle(req: &Request) -> Response {
    let url = match req.param("url") {
        Some(url) => url,
        None => return Response::text(400, "usage: ?url=https://example.com/[&show=length]\n"),
    };
    let upstream = match Fetch::get(&url).send() {
        Ok(response) => response,
        Err(err) => return Response::text(502, format!("{}: {}\n", url, err)),
    };
    if req.param("show").as_deref() == Some("length") {
        let line = format!(
            "{} answered {}, {} bytes\n",
            url,
            upstream.status,
            upstream.body.len()
        );
        return Response::text(200, line);
    }
    let content_type = upstream
        .header("content-type")
        .unwrap_or("application/octet-stream")
        .to_string();
    Response::new(upstream.status, &content_type, upstream.body)
}
