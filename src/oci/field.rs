//! Fields that several parts of config.json have: switches, absolute paths, words of a list.
//!
//! Each function takes the node of an object or a value and returns what it says; an error names the
//! field (`json::Node`). The parts themselves are `linux`, `mounts`, `process`, `resources` and
//! `scheduling`.

use crate::error::{Error, Result};
use crate::json::Node;

/// Most entries of any list in the file.
pub const MAX_ENTRIES: usize = 16 << 10;

/// The value as a path that begins with a slash.
pub fn absolute(node: &Node<'_>) -> Result<String> {
    let path = node.string()?;
    if path.starts_with('/') { Ok(path) } else { Err(node.wrong("an absolute path")) }
}

/// The field `key` as a boolean; false if it is missing.
pub fn flag(node: &Node<'_>, key: &str) -> Result<bool> {
    node.get(key)?.map_or(Ok(false), |node| node.boolean())
}

/// Fails if the field says something that is not supported.
pub fn refuse(node: &Node<'_>, key: &str) -> Result<()> {
    match node.get(key)? {
        Some(found) if !found.is_empty() => {
            Err(Error::new(format!("{} is not supported", found.path())))
        }
        _ => Ok(()),
    }
}

/// One of `words`, by its place.
pub fn one_of(node: &Node<'_>, words: &[&str]) -> Result<usize> {
    let text = node.string()?;
    let found = words.iter().position(|word| *word == text);
    found.ok_or_else(|| node.wrong(&format!("one of {}, not '{text}'", words.join(", "))))
}
