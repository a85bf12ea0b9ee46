//! `config`: writes a tree as YAML or JSON.
//!
//! The hash of a service's configuration (`project`) is made from JSON with sorted keys, so that
//! the order of keys and the style of a file do not count. A text that looks like another type of
//! YAML, such as `yes` or `1.5`, is quoted. Comments and anchors of the user's file are not kept.

use super::node::{Node, Value};
use crate::order;

/// Doubles the `$` in all texts, so that a command that reads them finds no variables. Keys stay as
/// they are, because variables in keys are not replaced.
pub fn escape(node: &mut Node) {
    match &mut node.value {
        Value::Text(text) => *text = text.replace('$', "$$"),
        Value::List(elements) => elements.iter_mut().for_each(escape),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, node)| escape(node)),
        _ => {}
    }
}

/// Returns the tree as YAML with two spaces of indentation. Ends with a newline.
pub fn yaml(node: &Node) -> String {
    let mut out = String::new();
    push_yaml(&mut out, node, 0, false);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out.trim_start_matches('\n').to_owned()
}

fn push_yaml(out: &mut String, node: &Node, depth: usize, in_list: bool) {
    let indent = |out: &mut String, depth: usize| out.extend(std::iter::repeat_n(' ', 2 * depth));
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            for (at, (key, value)) in entries.iter().enumerate() {
                if at > 0 || !in_list {
                    if !out.is_empty() && !out.ends_with('\n') {
                        out.push('\n');
                    }
                    indent(out, depth);
                }
                push_text(out, key);
                out.push(':');
                push_value(out, value, depth);
            }
        }
        Value::List(elements) if !elements.is_empty() => {
            for element in elements {
                if !out.ends_with('\n') {
                    out.push('\n');
                }
                indent(out, depth);
                out.push_str("- ");
                push_yaml(out, element, depth + 1, true);
                if !out.ends_with('\n') {
                    out.push('\n');
                }
            }
        }
        _ => push_scalar(out, node),
    }
}

fn push_value(out: &mut String, node: &Node, depth: usize) {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            push_yaml(out, node, depth + 1, false);
        }
        Value::List(elements) if !elements.is_empty() => {
            out.push('\n');
            push_yaml(out, node, depth + 1, false);
        }
        _ => {
            out.push(' ');
            push_scalar(out, node);
        }
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

fn push_scalar(out: &mut String, node: &Node) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(number),
        Value::Text(text) => push_text(out, text),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
}

/// Writes a text without quotes only if it looks like no other type of YAML. Otherwise writes the
/// text in JSON's quotes, which YAML has too.
fn push_text(out: &mut String, text: &str) {
    let first = |c: char| c.is_ascii_alphabetic() || "/._".contains(c);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@ =,()".contains(c);
    let word = text.to_ascii_lowercase();
    let reserved =
        ["null", "true", "false", "yes", "no", "on", "off", "y", "n", ".", ".inf", ".nan"];
    let is_plain = text.starts_with(first)
        && text.chars().all(plain)
        && !text.ends_with(' ')
        && !reserved.contains(&word.as_str())
        && text.parse::<f64>().is_err();
    if is_plain { out.push_str(text) } else { push_quoted(out, text) }
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Returns the tree as JSON on one line. `sorted` sorts the keys of maps.
pub fn json(node: &Node, sorted: bool) -> String {
    let mut out = String::new();
    push_json(&mut out, node, sorted);
    out
}

fn push_json(out: &mut String, node: &Node, sorted: bool) {
    match &node.value {
        Value::List(elements) => {
            out.push('[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_json(out, element, sorted);
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            let mut entries: Vec<&(String, Node)> = entries.iter().collect();
            if sorted {
                order::sort_by(&mut entries, |one, other| one.0.cmp(&other.0));
            }
            for (at, (key, value)) in entries.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_quoted(out, key);
                out.push(':');
                push_json(out, value, sorted);
            }
            out.push('}');
        }
        Value::Text(text) => push_quoted(out, text),
        Value::Number(number) if !is_json(number) => push_quoted(out, number),
        _ => push_scalar(out, node),
    }
}

/// Reports whether a number of YAML is a number of JSON too.
fn is_json(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    let integer = digits.split(['.', 'e', 'E']).next().unwrap_or_default();
    let has_digits = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    has_digits(digits)
        && (integer == "0" || !integer.starts_with('0'))
        && digits.split_once('.').is_none_or(|(_, part)| has_digits(part))
        && number.parse::<f64>().is_ok()
}
