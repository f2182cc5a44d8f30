//! A blog of Markdown files, as a CGI program: it reads its posts from the tenant's
//! folder, which WASI shows it as its root. A new post is a new file in posts/.

mod markdown;

use std::{env, fs};
use terrane::escape;

fn main() {
    let uri = env::var("REQUEST_URI").unwrap_or_default();
    let name = uri.split('?').next().unwrap_or_default().trim_matches('/');
    if name.is_empty() {
        return page("200 OK", "Blog", &contents());
    }
    match read(name) {
        Some(text) => {
            let title = markdown::title(&text).unwrap_or(name);
            let body = format!(
                "{}<p><a href=\"/\">All posts</a>\n",
                markdown::to_html(&text)
            );
            page("200 OK", title, &body)
        }
        None => page("404 Not Found", "Not found", "<h1>No such post</h1>\n"),
    }
}

/// Names are file names, and no paths.
fn read(name: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !name.chars().all(plain) {
        return None;
    }
    fs::read_to_string(format!("/posts/{}.md", name)).ok()
}

/// Links to all posts, by name: a name that starts with the date puts the newest first.
fn contents() -> String {
    let entries = fs::read_dir("/posts").into_iter().flatten().flatten();
    let files = entries.filter_map(|e| e.file_name().into_string().ok());
    let mut names: Vec<String> = files
        .filter_map(|f| Some(f.strip_suffix(".md")?.to_string()))
        .collect();
    names.sort_by(|a, b| b.cmp(a));
    let link = |name: &String| {
        let text = read(name)?;
        let title = markdown::title(&text).unwrap_or(name);
        Some(format!("<li><a href=\"/{}\">{}</a>\n", name, escape(title)))
    };
    let links: String = names.iter().filter_map(link).collect();
    format!("<h1>Blog</h1>\n<ul>\n{}</ul>\n", links)
}

fn page(status: &str, title: &str, body: &str) {
    println!(
        "Status: {}\nContent-Type: text/html; charset=utf-8\n",
        status
    );
    println!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{}</title>",
        escape(title)
    );
    print!("<link rel=\"stylesheet\" href=\"/style.css\">\n{}", body);
}
