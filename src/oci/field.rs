//! Reads fields of a kind that several parts of config.json share: booleans, absolute paths, words
//! from a list. Also refuses fields that are not supported. An error names the field
//! (`json::Node`). The callers are `config` and the files that read a part of config.json, such as
//! `linux` and `process`.

use crate::error::{Error, Result};
use crate::json::Node;

/// The maximum number of entries of a list or an object in config.json. Lists in `seccomp` have a
/// smaller limit.
pub const MAX_ENTRIES: usize = 16 << 10;

/// The value as a path. Fails if the path does not start with a slash.
pub fn absolute(node: &Node<'_>) -> Result<String> {
    let path = node.string()?;
    if path.starts_with('/') { Ok(path) } else { Err(node.wrong("an absolute path")) }
}

/// The field `key` as a boolean; false if it is missing.
pub fn flag(node: &Node<'_>, key: &str) -> Result<bool> {
    node.get(key)?.map_or(Ok(false), |node| node.boolean())
}

/// Refuses a field that this runtime does not support. Accepts the values null, false and 0, and
/// empty values.
pub fn refuse(node: &Node<'_>, key: &str) -> Result<()> {
    match node.get(key)? {
        Some(found) if !found.is_empty() => {
            Err(Error::new(format!("{} is not supported", found.path())))
        }
        _ => Ok(()),
    }
}

/// The index of the value in `words`. Fails if the value is not one of them.
pub fn one_of(node: &Node<'_>, words: &[&str]) -> Result<usize> {
    let text = node.string()?;
    let found = words.iter().position(|word| *word == text);
    found.ok_or_else(|| node.wrong(&format!("one of {}, not '{text}'", words.join(", "))))
}
