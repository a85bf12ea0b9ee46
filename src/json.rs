//! Reads untrusted JSON, such as image configs, manifests and seccomp profiles. Each node knows its
//! path, so an error names the field. `null` means the same as a missing field, as in Go's
//! encoding/json.
//!
//! A document's size in memory is estimated before it is parsed: a parsed `[{"":0},…]` takes a
//! hundred times the bytes of its text.

use std::fmt::Write;

use miniserde::json::{self, Number, Value};

use crate::error::{Error, Result};

/// A value and its path from the document's root.
pub struct Node<'a> {
    value: &'a Value,
    step: Step<'a>,
    above: Option<&'a Node<'a>>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Document(&'a str),
    Key(&'a str),
    Index(usize),
}

/// The deepest nesting of arrays and objects. Usual documents have far fewer levels.
const MAX_DEPTH: usize = 100;
/// The maximum size of a parsed document in bytes, as `weigh` estimates it. A config with 65,536
/// short variables and 65,536 short labels fits.
const MAX_WEIGHT: usize = 24 << 20;

/// Parses `bytes`; errors call the document `document`. Fails if the document is too large or
/// nested too deeply, or is not JSON.
pub fn parse(document: &str, bytes: &[u8]) -> Result<Value> {
    if weigh(document, bytes)? > MAX_WEIGHT {
        return Err(Error::new(format!(
            "{document} has more values than any image needs; it is refused"
        )));
    }
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| Error::new(format!("{document} is not UTF-8 text")))?;
    json::from_str(text).map_err(|_| Error::new(format!("{document} is not valid JSON")))
}

/// Removes the fields that are `null`, because a missing field means the same. A container's record
/// has many such fields, and `ps` reads all records. `text` must be valid JSON without spaces, as
/// the encoder writes it.
pub fn without_nulls(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    // The position in `out` at which the last key starts.
    let mut key = None;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let start = at;
                at += 1;
                while bytes.get(at).is_some_and(|&byte| byte != b'"') {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                if bytes.get(at) == Some(&b':') {
                    key = Some(out.len());
                    at += 1;
                }
                out.extend_from_slice(&bytes[start..at.min(bytes.len())]);
                continue;
            }
            b'n' if out.ends_with(b":") => {
                let start = key.unwrap_or(out.len());
                out.truncate(start);
                at += "null".len();
                // Also remove one comma: the comma after the field, or for the last field the comma
                // before it.
                if bytes.get(at) == Some(&b',') {
                    at += 1;
                } else if out.last() == Some(&b',') {
                    out.pop();
                }
                key = None;
                continue;
            }
            _ => out.push(byte),
        }
        at += 1;
    }
    // Only whole characters are copied, so this is valid UTF-8.
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// Estimates the size of the parsed document in bytes; the estimate may be too high. Fails on
/// nesting beyond [`MAX_DEPTH`]. Reads only strings and punctuation, because the parser reports all
/// other errors.
pub fn weigh(document: &str, bytes: &[u8]) -> Result<usize> {
    /// The bytes of a value in a vector, whose capacity may be twice its length.
    const VALUE: usize = 2 * size_of::<Value>();
    /// The bytes of a B-tree's node, which has space for eleven fields.
    const OBJECT: usize = 12 * (size_of::<String>() + size_of::<Value>());
    /// The bytes of a field, in nodes that are half full.
    const FIELD: usize = 2 * (size_of::<String>() + size_of::<Value>());
    /// The bytes of the shortest string's allocation.
    const STRING: usize = 16;
    let (mut weight, mut depth, mut at) = (VALUE, 0, 0);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let start = at;
                while bytes.get(at).is_some_and(|&byte| byte != b'"') {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                weight += STRING + (at - start);
            }
            b'[' | b'{' => {
                depth += 1;
                weight += if byte == b'{' { OBJECT } else { VALUE };
                if depth > MAX_DEPTH {
                    return Err(Error::new(format!(
                        "{document} is nested more than {MAX_DEPTH} levels deep"
                    )));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => weight += VALUE,
            b':' => weight += FIELD,
            _ => {}
        }
    }
    Ok(weight)
}

impl<'a> Node<'a> {
    /// The root of a document; errors call it `document`.
    pub fn root(document: &'a str, value: &'a Value) -> Node<'a> {
        Node { value, step: Step::Document(document), above: None }
    }

    /// The field `key` of this object; `None` if it is missing or null. Fails if this is not an
    /// object.
    pub fn get<'b>(&'b self, key: &'b str) -> Result<Option<Node<'b>>> {
        let Value::Object(object) = self.value else { return Err(self.wrong("an object")) };
        Ok(match object.get(key) {
            None | Some(Value::Null) => None,
            Some(value) => Some(Node { value, step: Step::Key(key), above: Some(self) }),
        })
    }

    /// As [`Node::get`], but fails if the field is missing or null.
    pub fn need<'b>(&'b self, key: &'b str) -> Result<Node<'b>> {
        let missing = || Error::new(format!("{} has no field '{key}'", self.path()));
        self.get(key)?.ok_or_else(missing)
    }

    /// Whether the value is null.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The value as a string. Fails if it is not a string; the error has the path.
    pub fn string(&self) -> Result<String> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            _ => Err(self.wrong("a string")),
        }
    }

    /// The value as a boolean. Fails if it is not a boolean; the error has the path.
    pub fn boolean(&self) -> Result<bool> {
        match self.value {
            Value::Bool(truth) => Ok(*truth),
            _ => Err(self.wrong("true or false")),
        }
    }

    /// The value as an integer that is not negative. Fails for other values.
    pub fn unsigned(&self) -> Result<u64> {
        match self.value {
            Value::Number(Number::U64(number)) => Ok(*number),
            _ => Err(self.wrong("a whole number")),
        }
    }

    /// The value as a signed integer of 64 bits. Fails for other values.
    pub fn signed(&self) -> Result<i64> {
        match self.value {
            Value::Number(Number::U64(number)) => {
                i64::try_from(*number).map_err(|_| self.wrong("a smaller number"))
            }
            Value::Number(Number::I64(number)) => Ok(*number),
            _ => Err(self.wrong("a whole number")),
        }
    }

    /// The value as an integer of 32 bits that is not negative. Fails for other values.
    pub fn id(&self) -> Result<u32> {
        u32::try_from(self.unsigned()?).map_err(|_| self.wrong("a number of 32 bits"))
    }

    /// Whether the value is null, false, 0, or empty.
    pub fn is_empty(&self) -> bool {
        match self.value {
            Value::Null | Value::Bool(false) | Value::Number(Number::U64(0)) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(array) => array.is_empty(),
            Value::Object(object) => object.is_empty(),
            _ => false,
        }
    }

    /// Reads the elements of this array. Fails if this is not an array or has more than `limit`
    /// elements, or if `parse` fails.
    pub fn each<T>(
        &self,
        limit: usize,
        mut parse: impl FnMut(&Node<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let Value::Array(array) = self.value else { return Err(self.wrong("an array")) };
        if array.len() > limit {
            return Err(Error::new(format!("{} has more than {limit} elements", self.path())));
        }
        let node = |(i, value)| Node { value, step: Step::Index(i), above: Some(self) };
        array.iter().enumerate().map(|numbered| parse(&node(numbered))).collect()
    }

    /// Reads the fields of this object, sorted by key. Fails if this is not an object or has more
    /// than `limit` fields, or if `parse` fails.
    pub fn fields<T>(
        &self,
        limit: usize,
        mut parse: impl FnMut(&str, &Node<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let Value::Object(object) = self.value else { return Err(self.wrong("an object")) };
        if object.len() > limit {
            return Err(Error::new(format!("{} has more than {limit} fields", self.path())));
        }
        let mut parsed = Vec::with_capacity(object.len());
        for (key, value) in object {
            parsed.push(parse(key, &Node { value, step: Step::Key(key), above: Some(self) })?);
        }
        Ok(parsed)
    }

    /// The field `key` as a string; empty if it is missing.
    pub fn text(&self, key: &str) -> Result<String> {
        Ok(self.get(key)?.map(|node| node.string()).transpose()?.unwrap_or_default())
    }

    /// Reads the elements of the array in the field `key`; empty if the field is missing. Fails as
    /// [`Node::each`] does.
    pub fn list<T>(
        &self,
        key: &str,
        limit: usize,
        parse: impl FnMut(&Node<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.get(key)?.map_or(Ok(Vec::new()), |array| array.each(limit, parse))
    }

    /// The field `key` as a list of strings; `None` if the field is missing. Fails if an element is
    /// not a string, and as [`Node::each`] does.
    pub fn texts(&self, key: &str, limit: usize) -> Result<Option<Vec<String>>> {
        self.get(key)?.map(|node| node.each(limit, |text| text.string())).transpose()
    }

    /// An error about this value, such as `x.json: config.Env[3] should be a string`.
    pub fn wrong(&self, should_be: &str) -> Error {
        Error::new(format!("{} should be {should_be}", self.path()))
    }

    /// The path of this value from the document's root, for errors.
    pub fn path(&self) -> String {
        let mut path = self.above.map(Node::path).unwrap_or_default();
        // Writing to a String can't fail.
        let _ = match self.step {
            Step::Document(name) => write!(path, "{name}:"),
            Step::Key(key) if path.ends_with(':') => write!(path, " {key}"),
            Step::Key(key) => write!(path, ".{key}"),
            Step::Index(index) => write!(path, "[{index}]"),
        };
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_fields_are_left_out() {
        for (text, expected) in [
            (r#"{"a":null}"#, "{}"),
            (r#"{"a":null,"b":1,"c":null,"d":null}"#, r#"{"b":1}"#),
            (r#"{"a":{"b":null},"c":[null,{"d":null}]}"#, r#"{"a":{},"c":[null,{}]}"#),
            (
                r#"{"a\":":"null","b":"x:null,","é":null,"c":[]}"#,
                r#"{"a\":":"null","b":"x:null,","c":[]}"#,
            ),
            (r#"{"a":[],"b":null}"#, r#"{"a":[]}"#),
            (r#"[null,"a",true]"#, r#"[null,"a",true]"#),
            ("null", "null"),
            ("", ""),
        ] {
            assert_eq!(without_nulls(text), expected);
        }
    }

    #[test]
    fn depth_and_weight_are_bounded() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(parse("x", deep(MAX_DEPTH).as_bytes()).is_ok());
        let error = parse("x", deep(MAX_DEPTH + 1).as_bytes()).unwrap_err().to_string();
        assert!(error.contains("more than 100 levels"), "{error}");
        // Brackets in strings do not count as nesting.
        let text = format!(r#"["\"{}"]"#, "[".repeat(500));
        assert!(parse("x", text.as_bytes()).is_ok());
        let objects = |count: usize| format!("[{}0]", r#"{"":0},"#.repeat(count));
        assert!(parse("x", objects(10_000).as_bytes()).is_ok());
        let error = parse("x", objects(100_000).as_bytes()).unwrap_err().to_string();
        assert!(error.contains("more values than"), "{error}");
        // The largest lists that a config may have.
        let list: Vec<String> = (0..1 << 16).map(|at| format!(r#""NAME{at}=value{at}""#)).collect();
        let fields: Vec<String> = (0..1 << 16).map(|at| format!(r#""k{at}":"v{at}""#)).collect();
        let large = format!(r#"{{"a":[{}],"b":{{{}}}}}"#, list.join(","), fields.join(","));
        assert!(parse("x", large.as_bytes()).is_ok(), "{}", weigh("x", large.as_bytes()).unwrap());
        for broken in [r#"""#, r#"["\"#, "]]]][", "{:,}"] {
            assert!(parse("x", broken.as_bytes()).is_err());
        }
    }

    #[test]
    fn an_error_names_the_field() {
        let value = parse("x.json", br#"{"config":{"Env":["a=b",3]},"n":null}"#).unwrap();
        let root = Node::root("x.json", &value);
        let config = root.need("config").unwrap();
        let error = config.texts("Env", 9).unwrap_err().to_string();
        assert_eq!(error, "x.json: config.Env[1] should be a string");
        assert!(root.get("n").unwrap().is_none());
        assert!(config.texts("Env", 1).unwrap_err().to_string().contains("more than 1"));
        assert!(root.need("rootfs").is_err());
        assert!(parse("x.json", b"{\"a\":").is_err());
    }
}
