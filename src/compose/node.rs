//! A value of a compose file with its place: the file and the line.
//!
//! Interpolation, canonical forms and merging convert trees of nodes to trees of nodes, so that
//! each error can name the place in the user's file. A map keeps the order of its keys. The place
//! of a value in a map is the place of its key. `yaml` parses a file into nodes.

use std::fmt;
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::order;

/// A file, as errors name it, and a line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: Rc<str>,
    pub line: usize,
}

/// The tags of the compose specification, which change how a value is merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tag {
    #[default]
    /// No tag.
    None,
    /// `!reset`: the value is removed.
    Reset,
    /// `!override`: the value replaces the earlier file's value.
    Override,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    pub place: Place,
    pub tag: Tag,
    pub value: Value,
}

/// The value of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// A number as the file has it.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl PartialEq for Node {
    /// Compares only the values, because the same value may be in two places.
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
    /// Returns an error that names this place.
    pub fn wrong(&self, message: impl fmt::Display) -> Error {
        Error::new(format!("{self}: {message}"))
    }
}

impl Node {
    /// Returns a node with `value` at the same place.
    pub fn with(&self, value: Value) -> Node {
        Node { place: self.place.clone(), tag: Tag::None, value }
    }

    /// Returns a text at the same place.
    pub fn text(&self, text: impl Into<String>) -> Node {
        self.with(Value::Text(text.into()))
    }

    /// Returns an empty map at the same place.
    pub fn map(&self) -> Node {
        self.with(Value::Map(Vec::new()))
    }

    /// Returns an error that names the place of this value.
    pub fn wrong(&self, message: impl fmt::Display) -> Error {
        self.place.wrong(message)
    }

    /// Returns the value of `key`, or `None` if the node is no map or has no such key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(known, _)| known == key).map(|(_, node)| node)
    }

    /// Like [`Node::get`], but returns `None` for a null too.
    pub fn given(&self, key: &str) -> Option<&Node> {
        self.get(key).filter(|node| node.value != Value::Null)
    }

    /// Fails if the map has a key that is not in `known` and is no extension (`x-…`). `path` is the
    /// place of the map in the file, for the error.
    pub fn refuse_unknown(&self, path: &str, known: &[&str]) -> Result<()> {
        let is_known = |key: &str| known.contains(&key) || key.starts_with("x-");
        let unknown = self.entries().iter().find(|(key, _)| !is_known(key));
        let Some((key, node)) = unknown else { return Ok(()) };
        let known = known.join(" ");
        Err(node.wrong(format_args!("unknown key {path}.{key}; known: {known}")))
    }

    /// Returns the entries of a map, and an empty slice for any other value.
    pub fn entries(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the entries of the map `key`, and an empty slice if it is absent or no map.
    pub fn entries_of(&self, key: &str) -> &[(String, Node)] {
        self.get(key).map(Node::entries).unwrap_or_default()
    }

    /// Returns the elements of a list, and an empty slice for any other value.
    pub fn elements(&self) -> &[Node] {
        match &self.value {
            Value::List(elements) => elements,
            _ => &[],
        }
    }

    /// Returns the elements of the list `key`, and an empty slice if it is absent or no list.
    pub fn elements_of(&self, key: &str) -> &[Node] {
        self.get(key).map(Node::elements).unwrap_or_default()
    }

    /// Sets `key` of a map. Does nothing for any other value.
    pub fn set(&mut self, key: &str, node: Node) {
        if let Value::Map(entries) = &mut self.value {
            match entries.iter_mut().find(|(known, _)| known == key) {
                Some((_, old)) => *old = node,
                None => entries.push((key.to_owned(), node)),
            }
        }
    }

    /// Sorts a map by its keys.
    pub fn sort(&mut self) {
        if let Value::Map(entries) = &mut self.value {
            order::sort_by(entries, |one, other| one.0.cmp(&other.0));
        }
    }

    /// Removes `key` from a map and returns its value.
    pub fn take(&mut self, key: &str) -> Option<Node> {
        let Value::Map(entries) = &mut self.value else { return None };
        let at = entries.iter().position(|(known, _)| known == key)?;
        Some(entries.remove(at).1)
    }

    /// Returns a scalar as text; a null is an empty text. Fails for a list or a map.
    pub fn scalar(&self) -> Result<&str> {
        match self.value {
            Value::List(_) | Value::Map(_) => {
                Err(self.wrong(format_args!("a text should stand here, not {}", self.kind())))
            }
            _ => Ok(self.as_text()),
        }
    }

    /// Returns a scalar as text; a null, a list or a map is an empty text. Use this in a canonical
    /// tree, where `canonical` has already refused a list or a map in place of a scalar.
    pub fn as_text(&self) -> &str {
        match &self.value {
            Value::Null | Value::List(_) | Value::Map(_) => "",
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            Value::Number(text) | Value::Text(text) => text,
        }
    }

    /// Returns the scalar `key` of a canonical tree, or `None` if it is absent or null.
    pub fn get_text(&self, key: &str) -> Option<&str> {
        self.given(key).map(Node::as_text)
    }

    /// Returns the value of `key` as a boolean: false if it is absent or no boolean.
    pub fn get_bool(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Node { value: Value::Bool(true), .. }))
    }

    /// Converts this scalar by `parse`. An error names the place.
    pub fn convert<T>(&self, parse: impl FnOnce(&str) -> Result<T>) -> Result<T> {
        parse(self.scalar()?).map_err(|error| self.wrong(error))
    }

    /// Returns the type of the value, for errors.
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
