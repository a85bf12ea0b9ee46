//! Lays out compact JSON for reading.
//!
//! `inspect` and `explain` write an object as compact JSON first, and this file adds the newlines
//! and spaces. mydocker itself has made the text, so the scanner does not check that it is
//! well-formed. On other text the output is undefined, but the scanner still ends.

/// Appends compact JSON with four spaces for each level, as `docker inspect` does. `depth` is the
/// level of the first line.
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

/// Returns the index after the value that starts at `start`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pretty_keeps_order_and_strings() {
        let mut out = String::new();
        push_pretty(&mut out, r#"{"b":[1,"x:,{"],"a":{},"c":[]}"#, 1);
        let expected = "{\n        \"b\": [\n            1,\n            \"x:,{\"\n        ],\n        \"a\": {},\n        \"c\": []\n    }";
        assert_eq!(out, expected);
    }
}
