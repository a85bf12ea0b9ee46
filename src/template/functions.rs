//! The functions that a template can call: those of Go's text/template, then Docker's own.
//!
//! `and` and `or` have only an entry here. `eval` runs these two, because they may leave their last
//! arguments unevaluated.

use std::cmp::Ordering;
use std::rc::Rc;

use super::printf::printf;
use super::value::Value;

/// A function that templates can call.
#[derive(Debug)]
pub struct Function {
    pub name: &'static str,
    /// The minimum and the maximum number of arguments.
    pub arguments: (usize, usize),
    /// The function itself. Its last argument is the maximum size of the result, in bytes.
    pub run: fn(&[Value], usize) -> Result<Value, String>,
    /// Whether the function leaves its first argument unchanged in a table's headers.
    pub keeps_headers: bool,
    /// Whether the function prints its arguments, by a Go type's method `String` if there is one.
    pub prints: bool,
}

const ANY: usize = usize::MAX;

/// The error of an output beyond the limit.
pub const TOO_MUCH: &str = "the output is too large";

/// The approximate bytes of an item of a list.
pub const ITEM_BYTES: usize = 32;

const fn function(
    name: &'static str,
    arguments: (usize, usize),
    run: fn(&[Value], usize) -> Result<Value, String>,
) -> Function {
    Function { name, arguments, run, keeps_headers: false, prints: false }
}

const fn printing(
    name: &'static str,
    arguments: (usize, usize),
    run: fn(&[Value], usize) -> Result<Value, String>,
) -> Function {
    Function { name, arguments, run, keeps_headers: false, prints: true }
}

const fn of_text(
    name: &'static str,
    arguments: (usize, usize),
    run: fn(&[Value], usize) -> Result<Value, String>,
) -> Function {
    Function { name, arguments, run, keeps_headers: true, prints: false }
}

static FUNCTIONS: &[Function] = &[
    function("and", (1, ANY), |_, _| Ok(Value::Nil)),
    function("or", (1, ANY), |_, _| Ok(Value::Nil)),
    function("not", (1, 1), |values, _| Ok(Value::Bool(!values[0].is_true()))),
    function("eq", (2, ANY), |values, _| {
        for other in &values[1..] {
            if equal(&values[0], other)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }),
    function("ne", (2, 2), |values, _| Ok(Value::Bool(!equal(&values[0], &values[1])?))),
    function("lt", (2, 2), |values, _| ordered(values, |order| order == Ordering::Less)),
    function("le", (2, 2), |values, _| ordered(values, |order| order != Ordering::Greater)),
    function("gt", (2, 2), |values, _| ordered(values, |order| order == Ordering::Greater)),
    function("ge", (2, 2), |values, _| ordered(values, |order| order != Ordering::Less)),
    function("index", (1, ANY), |values, _| index(values)),
    function("slice", (1, 4), |values, _| slice(values)),
    function("len", (1, 1), |values, _| match &values[0] {
        Value::Text(text) => Ok(Value::Int(text.len() as i64)),
        Value::List(items) => Ok(Value::Int(items.len() as i64)),
        Value::Map(items) => Ok(Value::Int(items.len() as i64)),
        Value::NilList | Value::NilMap => Ok(Value::Int(0)),
        Value::Nil | Value::Missing => Err("len of nil pointer".to_owned()),
        other => Err(format!("len of type {}", other.type_name().trim_start_matches('*'))),
    }),
    printing("print", (0, ANY), |values, limit| Ok(Value::text(&print(values, limit)?))),
    printing("println", (0, ANY), |values, limit| {
        let mut out = String::new();
        for (at, value) in values.iter().enumerate() {
            out.push_str(if at > 0 { " " } else { "" });
            push_within(&mut out, value, limit)?;
        }
        Ok(Value::text(&(out + "\n")))
    }),
    printing("printf", (1, ANY), |values, limit| {
        let text = printf(string(&values[0])?, &values[1..], limit);
        Ok(Value::text(&text.ok_or(TOO_MUCH)?))
    }),
    printing("html", (0, ANY), |values, limit| {
        Ok(Value::text(&escape(&print(values, limit)?, html)))
    }),
    printing("js", (0, ANY), |values, limit| Ok(Value::text(&escape(&print(values, limit)?, js)))),
    printing("urlquery", (0, ANY), |values, limit| {
        Ok(Value::text(&url_query(&print(values, limit)?)))
    }),
    function("call", (1, ANY), |values, _| match &values[0] {
        Value::Nil | Value::Missing => Err("call of nil".to_owned()),
        other => Err(format!("non-function of type {}", other.type_name())),
    }),
    of_text("json", (1, 1), |values, _| {
        let mut out = String::new();
        values[0].push_json(&mut out);
        Ok(Value::text(&out))
    }),
    of_text("split", (2, 2), |values, limit| {
        let (text, separator) = (string(&values[0])?, string(&values[1])?);
        let most = limit / ITEM_BYTES;
        let parts: Vec<Value> = match separator {
            "" => {
                let chars = text.chars().take(most + 1);
                chars.map(|c| Value::text(c.encode_utf8(&mut [0; 4]))).collect()
            }
            separator => text.split(separator).take(most + 1).map(Value::text).collect(),
        };
        if parts.len() > most {
            return Err(TOO_MUCH.to_owned());
        }
        Ok(Value::List(Rc::new(parts)))
    }),
    of_text("join", (2, 2), |values, limit| {
        let separator = string(&values[1])?;
        let items = match &values[0] {
            Value::Nil => &[],
            other => other.items().ok_or_else(|| expected("[]string", other))?,
        };
        let items = items.iter().map(string).collect::<Result<Vec<&str>, String>>()?;
        let length: usize = items.iter().map(|item| item.len() + separator.len()).sum();
        if length > limit {
            return Err(TOO_MUCH.to_owned());
        }
        Ok(Value::text(&items.join(separator)))
    }),
    of_text("lower", (1, 1), |values, _| {
        let text = string(&values[0])?;
        Ok(Value::text(&text.chars().map(|c| single(c, c.to_lowercase())).collect::<String>()))
    }),
    of_text("upper", (1, 1), |values, _| {
        let text = string(&values[0])?;
        Ok(Value::text(&text.chars().map(|c| single(c, c.to_uppercase())).collect::<String>()))
    }),
    of_text("title", (1, 1), |values, _| {
        let mut starts = true;
        let mut out = String::new();
        for c in string(&values[0])?.chars() {
            out.push(if starts { single(c, c.to_uppercase()) } else { c });
            // As in Go: of the characters beyond ASCII only a space separates words.
            starts = match c {
                '_' => false,
                c if c.is_ascii() => !c.is_ascii_alphanumeric(),
                c => c.is_whitespace(),
            };
        }
        Ok(Value::text(&out))
    }),
    function("pad", (3, 3), |values, limit| {
        let text = string(&values[0])?;
        let (before, after) = (whole(&values[1])?, whole(&values[2])?);
        if text.is_empty() {
            return Ok(values[0].clone());
        }
        if before.saturating_add(after).saturating_add(text.len()) > limit {
            return Err(TOO_MUCH.to_owned());
        }
        Ok(Value::text(&format!("{}{text}{}", " ".repeat(before), " ".repeat(after))))
    }),
    of_text("truncate", (2, 2), |values, _| {
        let (text, length) = (string(&values[0])?, whole(&values[1])?);
        Ok(Value::text(&text.chars().take(length).collect::<String>()))
    }),
];

/// Returns the function with this name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Returns the letter in its other case. As in Go, a letter whose other case is several letters,
/// such as `ß`, stays as it is.
fn single(c: char, mut other: impl Iterator<Item = char>) -> char {
    match (other.next(), other.next()) {
        (Some(other), None) => other,
        _ => c,
    }
}

fn expected(kind: &str, value: &Value) -> String {
    match value {
        Value::Nil | Value::Missing => format!("invalid value; expected {kind}"),
        value => format!("wrong type for value; expected {kind}; got {}", value.type_name()),
    }
}

fn string(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(expected("string", other)),
    }
}

fn whole(value: &Value) -> Result<usize, String> {
    match value {
        Value::Int(number) => usize::try_from(*number).map_err(|_| format!("bad length: {number}")),
        other => Err(expected("int", other)),
    }
}

fn equal(one: &Value, other: &Value) -> Result<bool, String> {
    Ok(match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::Int(one), Value::Int(other)) => one == other,
        (Value::Float(one), Value::Float(other)) => one == other,
        (Value::Text(one), Value::Text(other)) => one == other,
        (Value::Nil | Value::Missing, Value::Nil | Value::Missing) => true,
        (Value::Nil | Value::Missing, _) | (_, Value::Nil | Value::Missing) => false,
        (Value::List(_) | Value::Map(_) | Value::Struct(_) | Value::NilList | Value::NilMap, _)
        | (_, Value::List(_) | Value::Map(_) | Value::Struct(_)) => {
            return Err("non-comparable type".to_owned());
        }
        _ => return Err("incompatible types for comparison".to_owned()),
    })
}

/// Whether the type is one of Go's basic types: booleans, numbers and strings.
fn is_basic(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_))
}

fn ordered(values: &[Value], holds: fn(Ordering) -> bool) -> Result<Value, String> {
    let order = match (&values[0], &values[1]) {
        (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
        (Value::Float(one), Value::Float(other)) => one.partial_cmp(other),
        (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
        (one, other)
            if is_basic(one) && is_basic(other) && one.type_name() != other.type_name() =>
        {
            return Err("incompatible types for comparison".to_owned());
        }
        _ => return Err("invalid type for comparison".to_owned()),
    };
    Ok(Value::Bool(order.is_some_and(holds)))
}

/// The error for an index that is out of range. Go's template package accepts an index that equals
/// the length, and the package `reflect` then reports the error.
fn out_of_range(kind: &str, at: i64, length: usize) -> String {
    if usize::try_from(at) == Ok(length) {
        format!("reflect: {kind} index out of range")
    } else {
        format!("index out of range: {at}")
    }
}

fn index(values: &[Value]) -> Result<Value, String> {
    let mut value = values[0].clone();
    for key in &values[1..] {
        value = match (&value, key) {
            (Value::Nil | Value::Missing, _) => return Err("index of untyped nil".to_owned()),
            (Value::Map(items), Value::Text(key)) => items.get(key).cloned().unwrap_or_else(|| {
                // As in Go, a map of strings has an empty string for a missing key.
                match items.values().next() {
                    None | Some(Value::Text(_)) => Value::text(""),
                    _ => Value::Missing,
                }
            }),
            (Value::NilMap, Value::Text(_)) => Value::text(""),
            (Value::List(_) | Value::NilList, Value::Int(at)) => {
                let items = value.items().unwrap_or_default();
                let found = usize::try_from(*at).ok().and_then(|at| items.get(at));
                found.cloned().ok_or_else(|| out_of_range("slice", *at, items.len()))?
            }
            (Value::Text(text), Value::Int(at)) => {
                let found = usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at));
                let found = found.ok_or_else(|| out_of_range("string", *at, text.len()))?;
                Value::Int(i64::from(*found))
            }
            (Value::List(_) | Value::NilList | Value::Text(_), key) => {
                return Err(format!("cannot index slice/array with type {}", key.type_name()));
            }
            (Value::Map(_) | Value::NilMap, key) => {
                return Err(format!("value has type {}; should be string", key.type_name()));
            }
            (other, _) => {
                let kind = other.type_name().trim_start_matches('*');
                return Err(format!("can't index item of type {kind}"));
            }
        };
    }
    Ok(value)
}

fn slice(values: &[Value]) -> Result<Value, String> {
    let length = match &values[0] {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::NilList => 0,
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    if matches!(values[0], Value::Text(_)) && values.len() > 3 {
        return Err("cannot 3-index slice a string".to_owned());
    }
    let bound = |at: usize, default: usize| match values.get(at) {
        Some(Value::Int(number)) => {
            usize::try_from(*number).map_err(|_| format!("index out of range: {number}"))
        }
        Some(other) => whole(other),
        None => Ok(default),
    };
    let (start, end) = (bound(1, 0)?, bound(2, length)?);
    if let Some(wrong) = [start, end].into_iter().find(|bound| *bound > length) {
        return Err(format!("index out of range: {wrong}"));
    }
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    Ok(match &values[0] {
        Value::List(items) => Value::List(Rc::new(items[start..end].to_vec())),
        Value::Text(text) => Value::text(&String::from_utf8_lossy(&text.as_bytes()[start..end])),
        other => other.clone(),
    })
}

/// Joins values as Go's `print` does: with a space between two values unless one is a string.
/// Fails if the text is longer than `limit` bytes.
fn print(values: &[Value], limit: usize) -> Result<String, String> {
    let mut out = String::new();
    for (at, value) in values.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if at > 0 && !is_text(value) && !is_text(&values[at - 1]) {
            out.push(' ');
        }
        push_within(&mut out, value, limit)?;
    }
    Ok(out)
}

/// Appends a value as `print` prints it. Fails if `out` then has more than `limit` bytes.
fn push_within(out: &mut String, value: &Value, limit: usize) -> Result<(), String> {
    match value {
        Value::Missing => out.push_str("<nil>"),
        value => value.push(out),
    }
    if out.len() > limit { Err(TOO_MUCH.to_owned()) } else { Ok(()) }
}

fn escape(text: &str, escape: fn(char) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match escape(c) {
            Some(escaped) => out.push_str(&escaped),
            None => out.push(c),
        }
    }
    out
}

fn html(c: char) -> Option<String> {
    match c {
        '\0' => Some("\u{fffd}".to_owned()),
        '"' | '\'' | '&' | '<' | '>' => Some(match c {
            '"' => "&#34;".to_owned(),
            '\'' => "&#39;".to_owned(),
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            _ => "&gt;".to_owned(),
        }),
        _ => None,
    }
}

fn js(c: char) -> Option<String> {
    match c {
        '\\' | '\'' | '"' => Some(format!("\\{c}")),
        '<' | '>' | '&' | '=' => Some(format!("\\u{:04X}", u32::from(c))),
        c if c.is_control() => Some(format!("\\u{:04X}", u32::from(c))),
        _ => None,
    }
}

fn url_query(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
