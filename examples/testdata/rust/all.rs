//! Uses what of the library no example does. The path says what.

use std::fmt::Write;
use std::io::Read;
use std::time::Duration;
use terrane::{kv, select, Fetch, Level, Pending, Request, Response};

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
        "/where" => {
            let (edge, region) = (terrane::edge(), terrane::region());
            write!(out, "{} {} {}", edge, region, terrane::request_id()).unwrap();
            terrane::log_at(Level::Warning, "careful");
        }
        "/versions" => {
            let first = kv::put("v", "one", kv::ABSENT, 0);
            let again = kv::put("v", "two", kv::ABSENT, 0);
            let (value, version) = kv::get_version("v").unwrap();
            let value = String::from_utf8(value).unwrap();
            let same = first == Some(version);
            let second = kv::put("v", "two", version, 0).is_some();
            let third = kv::put("v", "three", kv::ANY, 60).is_some();
            let last = String::from_utf8(kv::get_version("v").unwrap().0).unwrap();
            let none = kv::get_version("w").is_none();
            write!(
                out,
                "{} {} {} {} {} {} {}",
                again.is_none(),
                value,
                same,
                second,
                third,
                last,
                none
            )
            .unwrap();
        }
        "/timeout" => {
            let limit = Duration::from_millis(50);
            match Fetch::get(&req.query).timeout(limit).send() {
                Ok(_) => out.push_str("an answer"),
                Err(_) => out.push_str("none in time"),
            }
        }
        "/stream" => {
            let mut from = Fetch::get(&req.query).stream().unwrap();
            let mut to = Response::text(201, "").with("x-b", from.response.header("x-a").unwrap());
            let mut buffer = [0; 64];
            loop {
                match from.read(&mut buffer).unwrap() {
                    0 => return to,
                    n => to.send(&buffer[..n]).unwrap(),
                }
            }
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
