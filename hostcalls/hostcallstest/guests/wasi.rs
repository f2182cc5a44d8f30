//! The kit's CGI program in Rust.

use std::io::{Read, Write};
use std::{env, fs, io, time};

fn main() {
    let mut body = String::new();
    io::stdin().read_to_string(&mut body).expect("stdin");
    let file = fs::read_to_string("/hello.txt").expect("file");
    let mut names: Vec<_> = fs::read_dir("/").expect("folder").map(|e| e.expect("entry").file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(fs::write("/new.txt", "x").is_err() && fs::read("/../secret").is_err());
    assert!(time::SystemTime::now() > time::UNIX_EPOCH);
    eprintln!("rust on stderr");
    let answer = format!(
        "Content-Type: text/plain\n\n{} {} {} {:?} {}",
        env::var("REQUEST_METHOD").unwrap(), env::args().next().unwrap(), body, names, file
    );
    io::stdout().write_all(answer.as_bytes()).expect("stdout");
    if body == "panic" {
        panic!("on demand");
    }
}
