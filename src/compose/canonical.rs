//! Converts a compose file to its canonical form, the only form that later steps accept.
//!
//! `schema` says which keys have short forms, lists of `KEY=VALUE` or paths. Short forms become
//! long ones, such lists become maps, and relative paths become absolute. An unknown key or a wrong
//! type is an error, which names the file and the line. Keys that start with `x-` are dropped
//! (compose specification, "Extension"), except names that the user chooses, such as those of
//! services and labels. `merge` merges the canonical forms of several files.

use super::node::{Node, Tag, Value};
use super::schema::{Key, Kind, ListOf, ROOT};
use super::scope::Scope;
use crate::error::Result;
use crate::suggest::hint;

/// Returns the canonical form of a whole file. Fails if a key is unknown, or if a name or a value
/// has a wrong form.
pub fn check(node: &Node, scope: &Scope) -> Result<Node> {
    canonical(node, &ROOT, scope, "")
}

/// Returns the canonical form of `node`. Errors name the node by `path`, its key in the file, such
/// as `services.web.ports`.
pub fn canonical(node: &Node, kind: &Kind, scope: &Scope, path: &str) -> Result<Node> {
    if node.tag == Tag::Reset || node.value == Value::Null {
        return Ok(Node { value: Value::Null, ..node.clone() });
    }
    let should =
        |what: &str| node.wrong(format_args!("{path} should be {what}, not {}", node.kind()));
    let value = match kind {
        Kind::Text => match &node.value {
            Value::List(_) | Value::Map(_) => return Err(should("a text")),
            _ => Value::Text(node.as_text().to_owned()),
        },
        Kind::Path => match &node.value {
            Value::Text(text) => Value::Text(scope.path(text)),
            _ => return Err(should("a path")),
        },
        Kind::Number => match &node.value {
            Value::Number(number) => Value::Number(number.clone()),
            Value::Text(text) if text.trim().parse::<f64>().is_ok() => {
                Value::Number(text.trim().to_owned())
            }
            _ => return Err(should("a number")),
        },
        Kind::Bool => match &node.value {
            Value::Bool(value) => Value::Bool(*value),
            Value::Text(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "y" | "1" => Value::Bool(true),
                "false" | "no" | "off" | "n" | "0" => Value::Bool(false),
                _ => return Err(should("true or false")),
            },
            _ => return Err(should("true or false")),
        },
        Kind::Words => match &node.value {
            Value::List(words) => list(words, path)?,
            Value::Map(_) => return Err(should("a text or a list")),
            _ => {
                let Some(words) = split_words(node.as_text()) else {
                    return Err(node.wrong(format_args!("{path}: a quote is not closed")));
                };
                Value::List(words.into_iter().map(|word| node.text(word)).collect())
            }
        },
        Kind::List | Kind::ListBy(_) => match &node.value {
            Value::List(elements) => list(elements, path)?,
            Value::Map(_) => return Err(should("a list")),
            _ => Value::List(vec![node.text(node.as_text())]),
        },
        Kind::Dict => dict(node, path)?,
        Kind::Object(keys) | Kind::Driver(keys) => object(node, keys, scope, path)?,
        Kind::Named(kind) => {
            let Value::Map(entries) = &node.value else { return Err(should("a map")) };
            let mut named = Vec::with_capacity(entries.len());
            for (name, value) in entries {
                check_name(value, name, path)?;
                let below = format!("{path}.{name}");
                named.push((name.clone(), canonical(value, kind, scope, &below)?));
            }
            Value::Map(named)
        }
        Kind::Entries(ListOf { long, keys, .. }) => {
            let alone = std::slice::from_ref(node);
            let elements = match &node.value {
                Value::List(elements) => elements.as_slice(),
                // Of the keys of this kind, only `env_file` may be a text.
                Value::Text(_) if path.ends_with(".env_file") => alone,
                _ => return Err(should("a list")),
            };
            let mut found = Vec::new();
            for element in elements {
                for entry in long(element, scope)? {
                    let value = object(&entry, keys, scope, path)?;
                    found.push(Node { value, ..entry });
                }
            }
            Value::List(found)
        }
        Kind::Short(long, kind) => canonical(&long(node, scope)?, kind, scope, path)?.value,
        Kind::Any | Kind::Refused(_) => node.value.clone(),
    };
    Ok(Node { value, ..node.clone() })
}

/// Fails if the merged tree has a key that mydocker does not support. A single file may have such a
/// key, because a later file can remove the key with `!reset`.
pub fn refuse(node: &Node, kind: &Kind, path: &str) -> Result<()> {
    let below = |(name, value): &(String, Node), kind| {
        let dot = if path.is_empty() { "" } else { "." };
        refuse(value, kind, &format!("{path}{dot}{name}"))
    };
    match kind {
        Kind::Refused(reason) if node.value != Value::Null => {
            Err(node.wrong(format_args!("{path} is not supported: {reason}")))
        }
        Kind::Short(_, kind) => refuse(node, kind, path),
        Kind::Named(kind) => node.entries().iter().try_for_each(|entry| below(entry, kind)),
        Kind::Object(keys) => node.entries().iter().try_for_each(|entry| {
            let kind = keys.iter().find(|(key, _)| *key == entry.0).map(|(_, kind)| kind);
            kind.map_or(Ok(()), |kind| below(entry, kind))
        }),
        _ => Ok(()),
    }
}

/// Checks the characters of a name that the user chose, because the names of containers and
/// networks contain such names.
fn check_name(node: &Node, name: &str, path: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        Err(node.wrong(format_args!(
            "{path}: bad name '{name}': use letters, digits, '.', '_' and '-'"
        )))
    } else {
        Ok(())
    }
}

fn object(node: &Node, keys: &[Key], scope: &Scope, path: &str) -> Result<Value> {
    let Value::Map(entries) = &node.value else {
        let place = if path.is_empty() { "the file" } else { path };
        return Err(node.wrong(format_args!("{place} should be a map, not {}", node.kind())));
    };
    let mut found = Vec::with_capacity(entries.len());
    for (name, value) in entries.iter().filter(|(name, _)| !name.starts_with("x-")) {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let Some((_, kind)) = keys.iter().find(|(key, _)| key == name) else {
            let hint = hint(name, keys.iter().map(|(key, _)| *key));
            return Err(value.wrong(format_args!("unknown key {below}{hint}")));
        };
        found.push((name.clone(), canonical(value, kind, scope, &below)?));
    }
    Ok(Value::Map(found))
}

fn list(elements: &[Node], path: &str) -> Result<Value> {
    let mut texts = Vec::with_capacity(elements.len());
    for element in elements {
        match &element.value {
            Value::List(_) | Value::Map(_) => {
                return Err(element.wrong(format_args!("{path} should be a list of texts")));
            }
            _ => texts.push(element.text(element.as_text())),
        }
    }
    Ok(Value::List(texts))
}

/// Converts a map or a list of `KEY=VALUE` to a map of texts. A key without a value gets null.
fn dict(node: &Node, path: &str) -> Result<Value> {
    let mut found = node.map();
    match &node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                let text = match &value.value {
                    Value::Null => value.clone(),
                    Value::List(_) | Value::Map(_) => {
                        return Err(value.wrong(format_args!("{path}.{key} should be a text")));
                    }
                    _ => Node { tag: value.tag, ..value.text(value.as_text()) },
                };
                found.set(key, text);
            }
        }
        Value::List(elements) => {
            for element in elements {
                let pair = element.scalar()?;
                match pair.split_once('=') {
                    Some((key, value)) => found.set(key.trim_end(), element.text(value)),
                    None => found.set(pair, element.with(Value::Null)),
                }
            }
        }
        _ => {
            return Err(node.wrong(format_args!("{path} should be a map or a list of KEY=VALUE")));
        }
    }
    Ok(found.value)
}

/// Splits a command line at blanks. Quotes and backslashes have much the same meaning as in sh(1).
/// Returns `None` if a quote is not closed or nothing follows a backslash. Variables are not
/// replaced.
pub fn split_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}
