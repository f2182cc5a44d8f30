//! JSON (RFC 8259), read and written.

use std::fmt;

/// A JSON text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// As it stands in the text, so that no digit is lost.
    Number(String),
    String(String),
    Array(Vec<Value>),
    /// In the order of the text, names as often as they stand there.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// Reads one text. The error is the byte at which it is no JSON.
    pub fn parse(text: &str) -> Result<Value, usize> {
        let mut p = Parser { text, at: 0 };
        let value = p.value(MAX_DEPTH)?;
        p.space();
        if p.at == text.len() {
            Ok(value)
        } else {
            Err(p.at)
        }
    }

    /// The member of that name, if this is an object that has one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Number(n) => n.parse().ok(),
            _ => None,
        }
    }
}

/// An object of the given members.
pub fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(
        members
            .into_iter()
            .map(|(name, v)| (name.to_string(), v))
            .collect(),
    )
}

impl From<&str> for Value {
    fn from(s: &str) -> Value {
        Value::String(s.to_string())
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Value {
        Value::Number(n.to_string())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => write!(f, "{}", b),
            Value::Number(n) => f.write_str(n),
            Value::String(s) => quote(f, s),
            Value::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{}", if i > 0 { "," } else { "" }, item)?;
                }
                f.write_str("]")
            }
            Value::Object(members) => {
                f.write_str("{")?;
                for (i, (name, value)) in members.iter().enumerate() {
                    f.write_str(if i > 0 { "," } else { "" })?;
                    quote(f, name)?;
                    write!(f, ":{}", value)?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quote(f: &mut fmt::Formatter, s: &str) -> fmt::Result {
    f.write_str("\"")?;
    let mut plain = 0; // where what is written as it is begins
    for (at, b) in s.bytes().enumerate() {
        if b >= b' ' && b != b'"' && b != b'\\' {
            continue;
        }
        f.write_str(&s[plain..at])?;
        plain = at + 1;
        match b {
            b'"' | b'\\' => write!(f, "\\{}", b as char)?,
            b'\n' => f.write_str("\\n")?,
            _ => write!(f, "\\u{:04x}", b)?,
        }
    }
    f.write_str(&s[plain..])?;
    f.write_str("\"")
}

/// How deep arrays and objects may lie in each other.
const MAX_DEPTH: usize = 64;

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> u8 {
        *self.text.as_bytes().get(self.at).unwrap_or(&0)
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// Steps over `word`, and over space before it, if it comes next.
    fn eat(&mut self, word: &str) -> bool {
        self.space();
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn expect(&mut self, word: &str) -> Result<(), usize> {
        if self.eat(word) {
            Ok(())
        } else {
            Err(self.at)
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, usize> {
        self.space();
        match self.peek() {
            b'"' => self.string().map(Value::String),
            b'-' | b'0'..=b'9' => self.number(),
            b'[' | b'{' if depth == 0 => Err(self.at),
            b'[' => self.array(depth - 1),
            b'{' => self.object(depth - 1),
            _ if self.eat("null") => Ok(Value::Null),
            _ if self.eat("true") => Ok(Value::Bool(true)),
            _ if self.eat("false") => Ok(Value::Bool(false)),
            _ => Err(self.at),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, usize> {
        let mut items = vec![];
        self.expect("[")?;
        if self.eat("]") {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if !self.eat(",") {
                self.expect("]")?;
                return Ok(Value::Array(items));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, usize> {
        let mut members = vec![];
        self.expect("{")?;
        if self.eat("}") {
            return Ok(Value::Object(members));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.expect(":")?;
            members.push((name, self.value(depth)?));
            if !self.eat(",") {
                self.expect("}")?;
                return Ok(Value::Object(members));
            }
        }
    }

    fn number(&mut self) -> Result<Value, usize> {
        let start = self.at;
        self.at += (self.peek() == b'-') as usize;
        match self.peek() {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += matches!(self.peek(), b'+' | b'-') as usize;
            self.digits()?;
        }
        Ok(Value::Number(self.text[start..self.at].to_string()))
    }

    fn digits(&mut self) -> Result<(), usize> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at > start {
            Ok(())
        } else {
            Err(start)
        }
    }

    fn string(&mut self) -> Result<String, usize> {
        if self.peek() != b'"' {
            return Err(self.at);
        }
        self.at += 1;
        let mut out = String::new();
        loop {
            let c = self.text[self.at..].chars().next().ok_or(self.at)?;
            match c {
                '"' => {
                    self.at += 1;
                    return Ok(out);
                }
                '\\' => out.push(self.escape()?),
                c if c < ' ' => return Err(self.at),
                c => {
                    self.at += c.len_utf8();
                    out.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, usize> {
        let start = self.at;
        let c = *self.text.as_bytes().get(self.at + 1).ok_or(start)?;
        self.at += 2;
        Ok(match c {
            b'"' | b'\\' | b'/' => c.into(),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut unit = self.hex4()?;
                if (0xd800..0xdc00).contains(&unit) && self.text[self.at..].starts_with("\\u") {
                    self.at += 2;
                    let low = self.hex4()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(start);
                    }
                    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                }
                char::from_u32(unit).ok_or(start)?
            }
            _ => return Err(start),
        })
    }

    fn hex4(&mut self) -> Result<u32, usize> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(self.at)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(self.at);
        }
        self.at += 4;
        Ok(u32::from_str_radix(digits, 16).unwrap_or_default())
    }
}
