//! The format of `.env` and of `env_file`: one `NAME=value` on a line.
//!
//! A line may start with `export`. `#` starts a comment at the start of a line. In a value without
//! quotes, `#` starts a comment at the start of the value and after a blank. A value in single
//! quotes is literal except for `\'`; a value in double quotes has escapes and variables. Quoted
//! values may have several lines. A value without quotes may have variables. The grammar follows
//! Docker Compose (docs.docker.com/compose/how-tos/environment-variables/variable-interpolation).
//! The files of `format: raw` and of `run --env-file` have literal values and are not read here.

use std::cell::RefCell;

use super::interpolate::Variables;
use crate::error::{Result, fail};

/// Returns the variables of `text` in order. A name without `=` or `:` has no value. A value may
/// use the variables that `find` returns and the variables of earlier lines; `find` overrides the
/// earlier lines. Errors name the file as `file`, and the line.
pub fn parse(
    file: &str,
    text: &str,
    find: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, Option<String>)>> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut line = 1;
    while !rest.is_empty() {
        let (first, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let place = line;
        line += 1;
        let typed = first.trim();
        let typed = typed.strip_prefix("export ").unwrap_or(typed).trim_start();
        if typed.is_empty() || typed.starts_with('#') {
            rest = after;
            continue;
        }
        let Some(at) = typed.find(['=', ':']) else {
            check_name(file, place, typed)?;
            found.push((typed.to_owned(), None));
            rest = after;
            continue;
        };
        let name = typed[..at].trim_end();
        check_name(file, place, name)?;
        let value = typed[at + 1..].trim_start();
        let value = match value.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                // The offset in `rest` of the first byte after the quote.
                let start = value.as_ptr() as usize - rest.as_ptr() as usize + 1;
                let Some(end) = closing(&rest[start..], quote) else {
                    fail!("{file}:{place}: the quote {quote} is not closed");
                };
                let quoted = &rest[start..start + end];
                line += quoted.matches('\n').count();
                let tail = &rest[start + end + 1..];
                let (tail, next) = tail.split_once('\n').unwrap_or((tail, ""));
                if !tail.trim().is_empty() && !tail.trim().starts_with('#') {
                    fail!("{file}:{place}: text after the closing quote");
                }
                rest = next;
                match quote {
                    '\'' => quoted.replace("\\'", "'"),
                    _ => expand(file, place, &unescape(quoted), find, &found)?,
                }
            }
            _ => {
                rest = after;
                let comments = [value.find(" #"), value.find("\t#")];
                let end = comments.into_iter().flatten().min().unwrap_or(value.len());
                let value = if value.starts_with('#') { "" } else { value[..end].trim_end() };
                expand(file, place, value, find, &found)?
            }
        };
        found.push((name.to_owned(), Some(value)));
    }
    Ok(found)
}

fn check_name(file: &str, line: usize, name: &str) -> Result<()> {
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || "'\"".contains(c)) {
        fail!("{file}:{line}: bad variable name '{name}'");
    }
    Ok(())
}

/// Returns the offset of the quote that closes the value, or `None` if the value is not closed.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let is_end = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        is_end.then_some(at)
    })
}

/// Replaces the escapes in a value of double quotes. `\$` becomes `$$`, which the interpolation
/// turns into a dollar.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('$') => out.push_str("$$"),
            Some(other @ ('"' | '\\' | '\'')) => out.push(other),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

fn expand(
    file: &str,
    line: usize,
    value: &str,
    find: &dyn Fn(&str) -> Option<String>,
    found: &[(String, Option<String>)],
) -> Result<String> {
    if !value.contains('$') {
        return Ok(value.to_owned());
    }
    let earlier = |name: &str| {
        let known = found.iter().rev().find(|(known, _)| known == name);
        known.and_then(|(_, value)| value.clone())
    };
    let find = |name: &str| find(name).or_else(|| earlier(name));
    let variables = Variables { find: &find, missing: RefCell::default() };
    match variables.expand(value) {
        Ok(value) => Ok(value),
        Err(error) => fail!("{file}:{line}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> String {
        let find = |name: &str| (name == "OUT").then(|| "out".to_owned());
        match parse("f", text, &find) {
            Ok(found) => found
                .iter()
                .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("<none>")))
                .collect::<Vec<_>>()
                .join("|"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_grammar() {
        for (text, expected) in [
            ("A=1\n\n# c\nexport B = two words # c\nC", "A=1|B=two words|C=<none>"),
            ("A='it\\'s a \\\\'", "A=it's a \\\\"),
            ("A='$x #\\n'\nB=\"a\\n$OUT \\$x\" # c", "A=$x #\\n|B=a\nout $x"),
            ("A=\"one\ntwo\"\nB=2\r\n", "A=one\ntwo|B=2"),
            ("A=1\nB=${A}2$OUT\nC=a#b\nD=#x\nE=", "A=1|B=12out|C=a#b|D=|E="),
            ("A: yaml", "A=yaml"),
            ("A=x\t# see #5\nB=y # \t#6", "A=x|B=y"),
        ] {
            assert_eq!(pairs(text), expected, "{text}");
        }
        assert_eq!(pairs("A=1\nB='x"), "f:2: the quote ' is not closed");
        assert_eq!(pairs("A='x' y"), "f:1: text after the closing quote");
        assert_eq!(pairs("a b=1"), "f:1: bad variable name 'a b'");
    }
}
