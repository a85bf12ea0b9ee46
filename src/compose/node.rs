//! A value of a compose file, with the file and line that it came from. All later steps
//! (interpolation, canonical forms, merging) turn trees of these into trees of these, so that every
//! error can name the place in the user's file.
//!
//! A map keeps the order of its keys. The place of a map's value is the place of its key.

use std::fmt;
use std::rc::Rc;

use crate::error::{Error, Result};

/// A file and a line in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: Rc<str>,
    pub line: usize,
}

/// Compose's own tags, which change how a value is merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tag {
    #[default]
    None,
    /// `!reset`: the key is removed.
    Reset,
    /// `!override`: the value replaces the other file's.
    Override,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    pub place: Place,
    pub tag: Tag,
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// As written in the file.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl PartialEq for Node {
    /// Places do not count: two files may say the same.
    fn eq(&self, other: &Node) -> bool {
        self.value == other.value
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Place {
    /// An error at this place.
    pub fn wrong(&self, message: impl fmt::Display) -> Error {
        Error::new(format!("{self}: {message}"))
    }
}

impl Node {
    /// A node at the same place.
    pub fn with(&self, value: Value) -> Node {
        Node { place: self.place.clone(), tag: Tag::None, value }
    }

    /// A text at the same place.
    pub fn text(&self, text: impl Into<String>) -> Node {
        self.with(Value::Text(text.into()))
    }

    /// An empty map at the same place.
    pub fn map(&self) -> Node {
        self.with(Value::Map(Vec::new()))
    }

    /// An error about this value.
    pub fn wrong(&self, message: impl fmt::Display) -> Error {
        self.place.wrong(message)
    }

    /// The value of `key`; `None` if this is no map or has no such key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(known, _)| known == key).map(|(_, node)| node)
    }

    /// As `get`, but a null counts as absent.
    pub fn given(&self, key: &str) -> Option<&Node> {
        self.get(key).filter(|node| node.value != Value::Null)
    }

    /// The entries of a map; none for any other value.
    pub fn entries(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list; none for any other value.
    pub fn elements(&self) -> &[Node] {
        match &self.value {
            Value::List(elements) => elements,
            _ => &[],
        }
    }

    /// Sets `key` of a map.
    pub fn set(&mut self, key: &str, node: Node) {
        if let Value::Map(entries) = &mut self.value {
            match entries.iter_mut().find(|(known, _)| known == key) {
                Some((_, old)) => *old = node,
                None => entries.push((key.to_owned(), node)),
            }
        }
    }

    /// Takes `key` out of a map.
    pub fn take(&mut self, key: &str) -> Option<Node> {
        let Value::Map(entries) = &mut self.value else { return None };
        let at = entries.iter().position(|(known, _)| known == key)?;
        Some(entries.remove(at).1)
    }

    /// A scalar as text. Fails for a list or a map.
    pub fn scalar(&self) -> Result<String> {
        Ok(match &self.value {
            Value::Null => String::new(),
            Value::Bool(value) => value.to_string(),
            Value::Number(text) | Value::Text(text) => text.clone(),
            Value::List(_) | Value::Map(_) => {
                return Err(
                    self.wrong(format_args!("a text should stand here, not {}", self.kind()))
                );
            }
        })
    }

    /// The scalar of `key` as text; `None` if it is absent or null.
    pub fn get_text(&self, key: &str) -> Result<Option<String>> {
        self.given(key).map(Node::scalar).transpose()
    }

    /// The value of `key` as a boolean; false if it is absent.
    pub fn get_bool(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Node { value: Value::Bool(true), .. }))
    }

    /// Converts this scalar; an error names the place.
    pub fn convert<T>(&self, parse: impl FnOnce(&str) -> Result<T>) -> Result<T> {
        parse(&self.scalar()?).map_err(|error| self.wrong(error))
    }

    /// What kind of value this is, for errors.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}
