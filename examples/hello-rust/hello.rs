use terrane::{Request, Response};

terrane::handler!(handle);

fn handle(req: &Request) -> Response {
    let name = req.param("name").unwrap_or_else(|| "world".to_string());
    Response::text(200, format!("Hello, {} from Rust!\n", name))
}
