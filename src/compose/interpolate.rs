//! Replaces the variables in a compose file's values (compose specification, "Interpolation").
//!
//! The forms are `$NAME` and `${NAME}`; with a default `${NAME:-x}` and `${NAME-x}`; with an error
//! `${NAME:?x}` and `${NAME?x}`; with a replacement `${NAME:+x}` and `${NAME+x}`. `x` may have
//! variables too. `$$` is a dollar. In the forms with a colon, an empty variable counts as unset.
//! Variables in keys are not replaced.

use std::cell::RefCell;

use super::node::{Node, Value};
use crate::error::{Result, fail};

/// The deepest nesting of variables.
const MAX_DEPTH: usize = 16;
/// The most bytes that a text may have after interpolation.
const MAX_TEXT: usize = 1 << 20;

/// The source of the variables, and the names of those that were missing.
pub struct Variables<'a> {
    /// Returns the value of a variable, or `None` if it is not set.
    pub find: &'a dyn Fn(&str) -> Option<String>,
    /// The variables that were used without a default and are not set.
    pub missing: RefCell<Vec<String>>,
}

impl Variables<'_> {
    /// Replaces the variables in each text of `node`. An error names the text's place.
    pub fn fill(&self, node: &mut Node) -> Result<()> {
        match &mut node.value {
            Value::Text(text) if text.contains('$') => {
                *text = self.expand(text).map_err(|error| node.place.wrong(error))?;
            }
            Value::List(elements) => elements.iter_mut().try_for_each(|node| self.fill(node))?,
            Value::Map(entries) => entries.iter_mut().try_for_each(|(_, node)| self.fill(node))?,
            _ => {}
        }
        Ok(())
    }

    /// Replaces the variables in `text`. A missing variable becomes an empty text. Fails for a bad
    /// form, for `${NAME:?x}` or `${NAME?x}` without a value, for too deep a nesting, and if the
    /// result is larger than `MAX_TEXT`.
    pub fn expand(&self, text: &str) -> Result<String> {
        let mut out = String::new();
        let rest = self.copy(text, false, 0, &mut out)?;
        debug_assert!(rest.is_empty(), "only a nested text ends early");
        Ok(out)
    }

    /// Copies `text` to `out` with its variables replaced. If `nested`, stops after the closing
    /// brace. Returns the rest.
    fn copy<'t>(
        &self,
        text: &'t str,
        nested: bool,
        depth: usize,
        out: &mut String,
    ) -> Result<&'t str> {
        if depth > MAX_DEPTH {
            fail!("more than {MAX_DEPTH} variables inside each other");
        }
        let mut rest = text;
        loop {
            check_length(out)?;
            let Some(at) = rest.find(['$', '}']) else {
                if nested {
                    fail!("bad variable in '{text}': a '}}' is missing");
                }
                out.push_str(rest);
                check_length(out)?;
                return Ok("");
            };
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if rest[at..].starts_with('}') {
                if nested {
                    return Ok(after);
                }
                out.push('}');
                rest = after;
                continue;
            }
            rest = match after.chars().next() {
                Some('$') => {
                    out.push('$');
                    &after[1..]
                }
                Some('{') => self.braced(&after[1..], depth, out)?,
                Some(first) if first.is_ascii_alphabetic() || first == '_' => {
                    let (name, after) = split_name(after);
                    out.push_str(&self.need(name));
                    after
                }
                _ => fail!("bad variable in '{text}': write $NAME, ${{NAME}}, or $$ for a dollar"),
            };
        }
    }

    /// Reads the rest of a variable after `${` and appends its value to `out`. Returns the text
    /// after the closing brace.
    fn braced<'t>(&self, text: &'t str, depth: usize, out: &mut String) -> Result<&'t str> {
        let (name, after) = split_name(text);
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            fail!("bad variable '${{{text}': its name is missing");
        }
        if let Some(after) = after.strip_prefix('}') {
            out.push_str(&self.need(name));
            return Ok(after);
        }
        let (colon, after) = match after.strip_prefix(':') {
            Some(after) => (true, after),
            None => (false, after),
        };
        let Some(operator @ ('-' | '?' | '+')) = after.chars().next() else {
            fail!("bad variable '${{{text}': after its name write '}}', ':-', ':?' or ':+'");
        };
        let value = (self.find)(name).filter(|value| !colon || !value.is_empty());
        let mut word = String::new();
        // If the word after the operator is not used, its variables must not be reported as
        // missing.
        let used = match operator {
            '+' => value.is_some(),
            _ => value.is_none(),
        };
        let rest = if used {
            self.copy(&after[1..], true, depth + 1, &mut word)?
        } else {
            skip(&after[1..])?
        };
        match (operator, value) {
            ('-', None) => out.push_str(&word),
            ('?', None) if word.is_empty() => fail!("required variable {name} is not set"),
            ('?', None) => fail!("required variable {name} is not set: {word}"),
            ('+', Some(_)) => out.push_str(&word),
            ('+', None) => {}
            (_, Some(value)) => out.push_str(&value),
            (_, None) => {}
        }
        Ok(rest)
    }

    /// Returns the value of a variable. If the variable is not set, adds its name to `missing` and
    /// returns an empty text.
    fn need(&self, name: &str) -> String {
        (self.find)(name).unwrap_or_else(|| {
            add_once(&mut self.missing.borrow_mut(), name);
            String::new()
        })
    }
}

fn check_length(text: &str) -> Result<()> {
    if text.len() > MAX_TEXT {
        fail!("a value is larger than {MAX_TEXT} bytes after its variables are replaced");
    }
    Ok(())
}

/// Adds `name` to a list, unless the list already has this name.
pub fn add_once(names: &mut Vec<String>, name: &str) {
    if names.iter().all(|known| known != name) {
        names.push(name.to_owned());
    }
}

/// Skips a word that is not used. Returns the text after its closing brace.
fn skip(text: &str) -> Result<&str> {
    let (mut level, mut rest) = (0, text);
    loop {
        let Some(at) = rest.find(['$', '}']) else {
            fail!("bad variable in '{text}': a '}}' is missing");
        };
        if let Some(after) = rest[at..].strip_prefix("$$") {
            rest = after;
            continue;
        }
        let (opens, closes) = (rest[at..].starts_with("${"), rest[at..].starts_with('}'));
        rest = &rest[at + 1..];
        if closes && level == 0 {
            return Ok(rest);
        }
        if closes {
            level -= 1;
        } else if opens {
            level += 1;
        }
    }
}

fn split_name(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> String {
        let find = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let variables = Variables { find: &find, missing: RefCell::default() };
        variables.expand(text).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn every_form() {
        for (text, expected) in [
            ("x", "x"),
            ("$A.${A}$$A}", "a.a$A}"),
            ("${NO}|$NO", "|"),
            ("${NO-d}${NO:-e}${A-d}${EMPTY-d}${EMPTY:-e}", "deae"),
            ("${A+x}${NO+x}${EMPTY+y}${EMPTY:+z}", "xy"),
            ("${A:?err}${EMPTY?err}", "a"),
            ("${NO:-${A}${NO2:-n}}!", "an!"),
            ("${A:-${NO}}", "a"),
            ("${NO:-a:b-c}", "a:b-c"),
            ("${NO:-$$x}", "$x"),
            ("${NO:-$${x}|${A:-$${x}|", "${x|a|"),
        ] {
            assert_eq!(expand(text), expected, "{text}");
        }
    }

    #[test]
    fn nesting_and_length_are_limited() {
        let deep = "${NO:-".repeat(17) + &"}".repeat(17);
        assert_eq!(expand(&deep), "more than 16 variables inside each other");
        let large = "${BIG}".repeat(9);
        let find = |_: &str| Some("x".repeat(1 << 17));
        let variables = Variables { find: &find, missing: RefCell::default() };
        assert_eq!(variables.expand(&large[..6 * 8]).unwrap().len(), 1 << 20);
        let error = variables.expand(&(large.clone() + "${BIG}")).unwrap_err().to_string();
        assert!(error.contains("larger than 1048576 bytes"), "{error}");
        let error = variables.expand(&(large[..6 * 8].to_owned() + "tail")).unwrap_err();
        assert!(error.to_string().contains("larger than 1048576 bytes"), "{error}");
    }

    #[test]
    fn errors() {
        assert_eq!(expand("${NO:?give it}"), "required variable NO is not set: give it");
        assert_eq!(expand("${NO?}"), "required variable NO is not set");
        for (text, part) in [
            ("${A", "after its name"),
            ("${A:x}", "after its name"),
            ("${A:-x", "'}' is missing"),
            ("${NO:-x", "'}' is missing"),
            ("${}", "name is missing"),
            ("$1", "write $NAME"),
            ("a$", "write $NAME"),
        ] {
            assert!(expand(text).contains(part), "{text}: {}", expand(text));
        }
    }
}
