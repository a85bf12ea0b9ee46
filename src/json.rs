//! Foreign JSON, walked with the path kept, so that an error names the field: image configs,
//! manifests and seccomp profiles come from anyone. `null` and a missing field are the same, as
//! Go's encoder has it.

use std::fmt::Write;

use miniserde::json::{self, Number, Value};

use crate::error::{Error, Result};

/// A value and the way to it from the document's root.
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

/// Parses `bytes`, which an error calls `document`.
pub fn parse(document: &str, bytes: &[u8]) -> Result<Value> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| Error::new(format!("{document} is not UTF-8 text")))?;
    json::from_str(text).map_err(|_| Error::new(format!("{document} is not valid JSON")))
}

impl<'a> Node<'a> {
    pub fn root(document: &'a str, value: &'a Value) -> Node<'a> {
        Node { value, step: Step::Document(document), above: None }
    }

    /// The field `key` of this object.
    pub fn get<'b>(&'b self, key: &'b str) -> Result<Option<Node<'b>>> {
        let Value::Object(object) = self.value else { return Err(self.wrong("an object")) };
        Ok(match object.get(key) {
            None | Some(Value::Null) => None,
            Some(value) => Some(Node { value, step: Step::Key(key), above: Some(self) }),
        })
    }

    /// As [`Node::get`], and it must be there.
    pub fn need<'b>(&'b self, key: &'b str) -> Result<Node<'b>> {
        let missing = || Error::new(format!("{} has no field '{key}'", self.path()));
        self.get(key)?.ok_or_else(missing)
    }

    pub fn string(&self) -> Result<String> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            _ => Err(self.wrong("a string")),
        }
    }

    pub fn boolean(&self) -> Result<bool> {
        match self.value {
            Value::Bool(truth) => Ok(*truth),
            _ => Err(self.wrong("true or false")),
        }
    }

    /// A number that is whole and not negative.
    pub fn unsigned(&self) -> Result<u64> {
        match self.value {
            Value::Number(Number::U64(number)) => Ok(*number),
            _ => Err(self.wrong("a whole number")),
        }
    }

    /// The elements of this array, at most `limit`.
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

    /// The fields of this object, at most `limit`, in the order of their names.
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

    /// The field `key` as text; empty if it isn't there.
    pub fn text(&self, key: &str) -> Result<String> {
        Ok(self.get(key)?.map(|node| node.string()).transpose()?.unwrap_or_default())
    }

    /// The field `key` as a list of texts.
    pub fn texts(&self, key: &str, limit: usize) -> Result<Option<Vec<String>>> {
        self.get(key)?.map(|node| node.each(limit, |text| text.string())).transpose()
    }

    /// An error about this value: `config.Env[3] should be a string`.
    pub fn wrong(&self, should_be: &str) -> Error {
        Error::new(format!("{} should be {should_be}", self.path()))
    }

    fn path(&self) -> String {
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
