//! A guest of some 80 KB that greets, for benchmarks: it brings what programs of that size
//! bring (maps, sorting, text in capitals, JSON) and does a little with each.

use std::collections::{BTreeMap, HashMap};
use terrane::json::Value;
use terrane::{Request, Response};

terrane::handler!(handle);

const WORDS: &str = r#"{"de": ["Hallo", 25], "en": ["Hello", 50], "fr": ["Bonjour", 12]}"#;

fn handle(req: &Request) -> Response {
    let name = req.param("name").unwrap_or_else(|| "world".to_string());
    let language = req.param("in").unwrap_or_else(|| "en".to_string());
    let mut words = HashMap::new();
    let mut weights = BTreeMap::new();
    if let Ok(Value::Object(all)) = Value::parse(WORDS) {
        for (key, value) in all {
            if let Value::Array(pair) = value {
                if let [Value::String(word), Value::Number(weight)] = &pair[..] {
                    weights.insert(key.clone(), weight.parse::<u64>().unwrap_or(0));
                    words.insert(key, word.to_uppercase());
                }
            }
        }
    }
    let mut order: Vec<_> = weights.iter().collect();
    order.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let word = words.get(&language).map(String::as_str).unwrap_or("?");
    Response::text(200, format!("{word}, {name} from Rust! {order:?}\n"))
}
