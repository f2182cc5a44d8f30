//! Markdown to HTML: headings, paragraphs, lists, quotes, code, rules, links, images
//! and emphasis. HTML in the text is shown, not obeyed.

use terrane::escape;

/// The text of the first heading.
pub fn title(text: &str) -> Option<&str> {
    text.lines()
        .find_map(|line| line.strip_prefix("# "))
        .map(str::trim)
}

pub fn to_html(text: &str) -> String {
    let mut out = String::new();
    let lines: Vec<&str> = text.lines().collect();
    let mut rest = &lines[..];
    while let Some((line, after)) = rest.split_first() {
        rest = match Block::of(line) {
            Block::Blank => after,
            Block::Rule => {
                out.push_str("<hr>\n");
                after
            }
            Block::Heading(level, text) => {
                out.push_str(&format!("<h{0}>{1}</h{0}>\n", level, inline(text)));
                after
            }
            Block::Fence => {
                let end = after
                    .iter()
                    .position(|l| l.starts_with("```"))
                    .unwrap_or(after.len());
                out.push_str(&format!(
                    "<pre><code>{}\n</code></pre>\n",
                    escape(&after[..end].join("\n"))
                ));
                &after[(end + 1).min(after.len())..]
            }
            Block::Quote(_) => {
                let (texts, after) = run(rest, |b| {
                    if let Block::Quote(text) = b {
                        Some(text)
                    } else {
                        None
                    }
                });
                out.push_str(&format!(
                    "<blockquote>\n{}</blockquote>\n",
                    to_html(&texts.join("\n"))
                ));
                after
            }
            Block::Item(ordered, _) => {
                let (texts, after) = run(rest, |b| match b {
                    Block::Item(o, text) if o == ordered => Some(text),
                    _ => None,
                });
                let items: String = texts
                    .iter()
                    .map(|t| format!("<li>{}\n", inline(t)))
                    .collect();
                let tag = if ordered { "ol" } else { "ul" };
                out.push_str(&format!("<{0}>\n{1}</{0}>\n", tag, items));
                after
            }
            Block::Text(_) => {
                let (texts, after) = run(rest, |b| {
                    if let Block::Text(text) = b {
                        Some(text)
                    } else {
                        None
                    }
                });
                out.push_str(&format!("<p>{}</p>\n", inline(&texts.join("\n"))));
                after
            }
        };
    }
    out
}

enum Block<'a> {
    Blank,
    Rule,
    Fence,
    Heading(usize, &'a str),
    Quote(&'a str),
    Item(bool, &'a str),
    Text(&'a str),
}

impl Block<'_> {
    fn of(line: &str) -> Block<'_> {
        let line = line.trim_end();
        let hashes = line.bytes().take_while(|b| *b == b'#').count();
        if line.is_empty() {
            Block::Blank
        } else if line.starts_with("```") {
            Block::Fence
        } else if line == "---" || line == "***" {
            Block::Rule
        } else if (1..=6).contains(&hashes) && line[hashes..].starts_with(' ') {
            Block::Heading(hashes, line[hashes..].trim())
        } else if let Some(text) = line.strip_prefix('>') {
            Block::Quote(text.strip_prefix(' ').unwrap_or(text))
        } else if let Some(text) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")) {
            Block::Item(false, text)
        } else {
            match line.split_once(". ") {
                Some((n, text)) if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => {
                    Block::Item(true, text)
                }
                _ => Block::Text(line),
            }
        }
    }
}

/// Splits off the lines at the start that are of one kind.
fn run<'a, 'l>(
    lines: &'l [&'a str],
    kind: impl Fn(Block<'a>) -> Option<&'a str>,
) -> (Vec<&'a str>, &'l [&'a str]) {
    let texts: Vec<&str> = lines.iter().map_while(|l| kind(Block::of(l))).collect();
    let after = &lines[texts.len()..];
    (texts, after)
}

fn inline(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c| "`*![\\".contains(c)) {
        out.push_str(&escape(&rest[..at]));
        rest = &rest[at..];
        let (html, used) = span(rest).unwrap_or_else(|| (escape(&rest[..1]), 1));
        out.push_str(&html);
        rest = &rest[used..];
    }
    out + &escape(rest)
}

/// The span at the start of the text, and how many bytes it has.
fn span(text: &str) -> Option<(String, usize)> {
    let between = |mark: &str| {
        let inner = text.strip_prefix(mark)?.split_once(mark)?.0;
        if inner.is_empty() {
            None
        } else {
            Some((inner, inner.len() + 2 * mark.len()))
        }
    };
    if let Some(c) = text.strip_prefix('\\').and_then(|t| t.chars().next()) {
        if c.is_ascii_punctuation() {
            return Some((escape(&c.to_string()), 2));
        }
    }
    if let Some((code, used)) = between("`") {
        return Some((format!("<code>{}</code>", escape(code)), used));
    }
    if let Some((strong, used)) = between("**") {
        return Some((format!("<strong>{}</strong>", inline(strong)), used));
    }
    if let Some((em, used)) = between("*") {
        return Some((format!("<em>{}</em>", inline(em)), used));
    }
    let image = text.starts_with('!');
    let link = &text[image as usize..];
    let (label, target) = link.strip_prefix('[')?.split_once("](")?;
    let url = target.split_once(')')?.0;
    if !safe(url) {
        return None;
    }
    let html = if image {
        format!("<img src=\"{}\" alt=\"{}\">", escape(url), escape(label))
    } else {
        format!("<a href=\"{}\">{}</a>", escape(url), inline(label))
    };
    Some((html, image as usize + label.len() + url.len() + 4))
}

/// Links lead to the web or to a place of this site, and run no script.
fn safe(url: &str) -> bool {
    match url.find(|c| ":/?#".contains(c)) {
        Some(at) if url[at..].starts_with(':') => {
            ["http", "https", "mailto"].contains(&url[..at].to_ascii_lowercase().as_str())
        }
        _ => true,
    }
}
