//! Uses what of the library no example does. The path says what.

use std::fmt::Write;
use terrane::{kv, select, Fetch, Pending, Request, Response};

terrane::handler!(handle);

fn handle(req: &Request) -> Response {
    let mut out = String::new();
    match req.path.as_str() {
        "/headers" => {
            for (name, value) in req.headers() {
                writeln!(out, "{}={}", name, value).unwrap();
            }
            return Response::text(200, out)
                .with("x-two", "1")
                .with("X-Two", "2");
        }
        "/kv" => {
            let writes = [
                kv::add("k", "a"),
                kv::add("k", "b"),
                kv::append("k", "c"),
                kv::set("k2", ""),
                kv::set("k2", "d"),
            ];
            let values = [kv::get("k"), kv::get("k2"), kv::get("k3")];
            let gone = [kv::remove("k"), kv::remove("k")];
            write!(out, "{:?} {:?} {:?}", writes, values, gone).unwrap();
        }
        "/large" => return Response::text(200, "x".repeat(200)),
        "/sent" => {
            let sent = Fetch::get("http://192.0.2.1/").header("x", "\n").send();
            write!(out, "{:?}", sent.err()).unwrap();
        }
        "/list" => {
            let keys = kv::list("k", "k", 2);
            let sums = [
                kv::increment("n", 5, 0),
                kv::increment("n", -7, 60),
                kv::increment("k2", 1, 0),
            ];
            write!(out, "{:?} {:?} {:?}", keys, sums, terrane::env("NONE")).unwrap();
        }
        "/messages" => {
            let kept = terrane::publish("orders.new", "7").is_ok();
            let answer = terrane::request("orders.ask", "8").unwrap();
            let body = String::from_utf8(answer.body.clone()).unwrap();
            write!(out, "{} {} {}", kept, answer.status, body).unwrap();
            for refused in [
                terrane::publish("refused", "").err(),
                terrane::request("refused", "").err(),
            ] {
                write!(out, " {}", refused.unwrap()).unwrap();
            }
        }
        "/select" => {
            let mut pending: Vec<Pending> =
                urls(req).map(|u| Fetch::get(u).start().unwrap()).collect();
            while !pending.is_empty() {
                let (place, response) = select(&mut pending);
                let response = response.unwrap();
                writeln!(out, "{} {}", place, response.status).unwrap();
            }
        }
        "/poll" => {
            let mut pending = Fetch::get(urls(req).next().unwrap()).start().unwrap();
            let response = loop {
                match pending.poll() {
                    Ok(response) => break response.unwrap(),
                    Err(again) => pending = again,
                }
            };
            for (name, value) in response.headers.iter().filter(|(n, _)| n == "x-two") {
                writeln!(out, "{}={}", name, value).unwrap();
            }
        }
        "/wait" => {
            let response = Fetch::get(urls(req).next().unwrap())
                .start()
                .unwrap()
                .wait();
            write!(out, "{:?}", response.map(|r| r.status)).unwrap();
        }
        "/dns" => {
            let name = req.param("name").unwrap();
            let addresses = (terrane::lookup(&name, false), terrane::lookup(&name, true));
            write!(out, "{:?}", addresses).unwrap();
        }
        "/time" => {
            let different = terrane::random() != terrane::random();
            write!(out, "{} {}", terrane::now().as_secs(), different).unwrap();
        }
        _ => panic!("no {}", req.path),
    }
    Response::text(200, out)
}

fn urls(req: &Request) -> impl Iterator<Item = &str> {
    req.query.split('&')
}
