//! JSON as text: written, laid out for reading, and looked into by path.
//!
//! The engine gives whole objects as compact text whose order of fields is Docker's; working on the
//! text keeps that order. It comes from us, so the scanner trusts that it is well-formed, and stops
//! quietly where it isn't.

use miniserde::json::{self, Value};

/// Writes `text` as a JSON string.
pub fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' || c == '\u{7f}' => {
                out.push_str("\\u00");
                for nibble in [c as u32 >> 4, c as u32 & 15] {
                    out.extend(char::from_digit(nibble, 16));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Writes compact JSON with four spaces for each level, as `docker inspect` does.
pub fn push_pretty(out: &mut String, compact: &str, mut depth: usize) {
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", depth));
    };
    let bytes = compact.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let end = value_end(compact, at);
                out.push_str(&compact[at..end]);
                at = end;
                continue;
            }
            open @ (b'{' | b'[') => {
                out.push(open as char);
                let close = if open == b'{' { b'}' } else { b']' };
                if bytes.get(at + 1) == Some(&close) {
                    out.push(close as char);
                    at += 1;
                } else {
                    depth += 1;
                    newline(out, depth);
                }
            }
            close @ (b'}' | b']') => {
                depth = depth.saturating_sub(1);
                newline(out, depth);
                out.push(close as char);
            }
            b',' => {
                out.push(',');
                newline(out, depth);
            }
            b':' => out.push_str(": "),
            b' ' | b'\n' | b'\t' | b'\r' => {}
            byte => out.push(byte as char),
        }
        at += 1;
    }
}

/// The compact text of the value that `path` leads to.
pub fn lookup<'a>(object: &'a str, path: &[String]) -> Option<&'a str> {
    let Some((name, rest)) = path.split_first() else {
        return Some(object);
    };
    let mut found = None;
    members(object, |key, value| {
        if found.is_none() && key == name {
            found = Some(value);
        }
    });
    lookup(found?, rest)
}

/// Calls `each` with every key and value of an object.
fn members<'a>(object: &'a str, mut each: impl FnMut(&str, &'a str)) {
    let bytes = object.as_bytes();
    if bytes.first() != Some(&b'{') {
        return;
    }
    let mut at = 1;
    while bytes.get(at) == Some(&b'"') {
        let key_end = value_end(object, at);
        let Ok(key) = json::from_str::<String>(&object[at..key_end]) else { return };
        // One byte for the colon, one for the comma or the closing brace.
        let end = value_end(object, key_end + 1);
        let Some(value) = object.get(key_end + 1..end) else { return };
        each(&key, value);
        at = end + 1;
    }
}

/// Where the value that begins at `start` ends.
fn value_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (at, &byte) in bytes.iter().enumerate().skip(start) {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    quoted = false;
                    if depth == 0 {
                        return at + 1;
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

/// Writes a value as a Go template prints it: strings bare, `map[k:v]`, `[a b]`.
pub fn push_plain(out: &mut String, compact: &str) {
    match json::from_str::<Value>(compact) {
        Ok(value) => push_value(out, &value, compact),
        Err(_) => out.push_str(compact),
    }
}

fn push_value(out: &mut String, value: &Value, compact: &str) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                push_value(out, item, &json::to_string(item));
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push_str("map[");
            for (at, (key, item)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                out.push_str(key);
                out.push(':');
                push_value(out, item, &json::to_string(item));
            }
            out.push(']');
        }
        Value::Bool(_) | Value::Number(_) => out.push_str(compact),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str = r#"{"Id":"a\"b,}","State":{"Pid":42,"Running":true,"Error":null},"Env":["A=1","B={"],"E":{},"L":[]}"#;

    fn at(path: &str) -> Option<&'static str> {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        lookup(OBJECT, &path)
    }

    #[test]
    fn paths_lead_to_values() {
        assert_eq!(at("State.Pid"), Some("42"));
        assert_eq!(at("State.Running"), Some("true"));
        assert_eq!(at("Env"), Some(r#"["A=1","B={"]"#));
        assert_eq!(at("L"), Some("[]"));
        assert_eq!(at("State.Nope"), None);
        assert_eq!(at("Id.Nope"), None);
        assert_eq!(lookup("{\"a\":", &["a".to_owned()]), Some(""));
        assert_eq!(lookup("", &["a".to_owned()]), None);
    }

    #[test]
    fn values_print_as_in_go() {
        let plain = |path| {
            let mut out = String::new();
            push_plain(&mut out, at(path).unwrap());
            out
        };
        assert_eq!(plain("Id"), "a\"b,}");
        assert_eq!(plain("Env"), "[A=1 B={]");
        assert_eq!(plain("State"), "map[Error:<nil> Pid:42 Running:true]");
        assert_eq!(plain("State.Pid"), "42");
    }

    #[test]
    fn pretty_keeps_order_and_strings() {
        let mut out = String::new();
        push_pretty(&mut out, r#"{"b":[1,"x:,{"],"a":{},"c":[]}"#, 1);
        let expected = "{\n        \"b\": [\n            1,\n            \"x:,{\"\n        ],\n        \"a\": {},\n        \"c\": []\n    }";
        assert_eq!(out, expected);
    }

    #[test]
    fn strings_survive_a_round() {
        let text = "quote \" slash \\ tab\t nl\n bell\u{7} é";
        let mut out = String::new();
        push_string(&mut out, text);
        assert_eq!(json::from_str::<String>(&out).unwrap(), text);
    }
}
