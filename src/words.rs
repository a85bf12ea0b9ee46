//! Words of a Dockerfile's line: quotes, escapes and variables.
//!
//! The rules are those of BuildKit's package `shell`, documented in the Dockerfile reference under
//! "Environment replacement". Single quotes keep all characters. Double quotes keep white space.
//! `${a:-b}`, `${a:+b}`, `${a:?b}`, `${a#p}`, `${a%p}`, `${a/p/r}` and their variants are replaced
//! outside of single quotes. Commands are never run. `MAX_EXPANDED` bounds an expansion, so that
//! lines such as `ENV a=$a$a` can't grow without limit.

use crate::error::{Result, fail};
use crate::glob::Glob;

/// The longest result of an expansion in bytes: the kernel accepts no longer variable
/// (MAX_ARG_STRLEN).
const MAX_EXPANDED: usize = 128 << 10;
/// The longest heredoc after its expansion, in bytes. A heredoc may be longer than a variable.
const MAX_HEREDOC: usize = 4 << 20;
/// The longest value, in bytes, that a pattern is matched against.
const MAX_MATCHED: usize = 4096;
/// The deepest nesting of `${a:-${b:-…}}`.
const MAX_DEPTH: usize = 32;

/// The settings of an expansion: the escape character and the variables.
#[derive(Clone, Copy)]
pub struct Expander<'a> {
    pub escape: char,
    /// The value of a variable; `None` if it is not set.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Expander<'_> {
    /// Expands the text as one word: removes quotes and escapes and replaces variables.
    pub fn word(&self, text: &str) -> Result<String> {
        let mut scan = Scan::new(self, text);
        let result = scan.until(None, false)?;
        Ok(result.text)
    }

    /// Expands each text as one word.
    pub fn each(&self, texts: &[String]) -> Result<Vec<String>> {
        texts.iter().map(|text| self.word(text)).collect()
    }

    /// Expands the text as several words. White space that is neither quoted nor escaped separates
    /// words, also in a variable's value.
    pub fn words(&self, text: &str) -> Result<Vec<String>> {
        let mut scan = Scan::new(self, text);
        let mut result = scan.until(None, false)?;
        result.end_word();
        Ok(result.words)
    }

    /// Expands a heredoc: replaces variables and keeps quotes. As in BuildKit, the escape character
    /// is always `\`. The result has at most `MAX_HEREDOC` bytes.
    pub fn heredoc(&self, text: &str) -> Result<String> {
        let expander = Expander { escape: '\\', ..*self };
        let mut scan = Scan { is_heredoc: true, ..Scan::new(&expander, text) };
        Ok(scan.until(None, false)?.text)
    }
}

/// Splits a text at white space that is neither quoted nor escaped. Keeps quotes, escapes and
/// variables.
pub fn split_raw(text: &str, escape: char) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match (c, quote) {
            (c, None) if c.is_whitespace() => {
                words.extend(start.take().map(|start| &text[start..at]));
                continue;
            }
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, None | Some('"')) if c == escape => {
                start.get_or_insert(at);
                characters.next();
                continue;
            }
            _ => {}
        }
        start.get_or_insert(at);
    }
    words.extend(start.map(|start| &text[start..]));
    words
}

/// Splits `K=V K="V w"…`, or the old form `K all the rest`. Keeps quotes and variables. Fails if a
/// name, a `=` or the value of the old form is missing.
pub fn split_pairs(text: &str, escape: char) -> Result<Vec<(&str, &str)>> {
    let words = split_raw(text, escape);
    let first = words.first().copied().unwrap_or_default();
    if !first.contains('=') {
        return match text.trim().split_once(char::is_whitespace) {
            Some((name, value)) => Ok(vec![(name, value.trim())]),
            None => fail!("'{first}' has no value; write {first}=VALUE"),
        };
    }
    let mut pairs = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => pairs.push((name, value)),
            _ => fail!("'{word}' should be NAME=VALUE"),
        }
    }
    Ok(pairs)
}

/// The text that was read so far, as one text and as words.
#[derive(Default)]
struct Read {
    text: String,
    words: Vec<String>,
    word: Option<String>,
}

impl Read {
    /// Adds an unquoted character; white space ends the word.
    fn push(&mut self, c: char) {
        self.text.push(c);
        if c.is_whitespace() {
            self.end_word();
        } else {
            self.word.get_or_insert_default().push(c);
        }
    }

    /// Adds a text in which white space does not end the word.
    fn push_quoted(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.get_or_insert_default().push_str(text);
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }
}

/// A side of a text.
#[derive(PartialEq, Eq)]
enum Side {
    Start,
    End,
}

struct Scan<'a> {
    expander: &'a Expander<'a>,
    characters: std::iter::Peekable<std::str::Chars<'a>>,
    depth: usize,
    /// Whether the text is a heredoc, in which quotes are ordinary characters.
    is_heredoc: bool,
}

impl<'a> Scan<'a> {
    fn new(expander: &'a Expander<'a>, text: &'a str) -> Scan<'a> {
        Scan { expander, characters: text.chars().peekable(), depth: 0, is_heredoc: false }
    }

    /// Reads up to `stop`; without `stop`, to the end. If `raw`, escapes outside of quotes stay in
    /// the text, for a pattern.
    fn until(&mut self, stop: Option<char>, raw: bool) -> Result<Read> {
        let mut read = Read::default();
        let most = if self.is_heredoc { MAX_HEREDOC } else { MAX_EXPANDED };
        loop {
            if read.text.len() > most {
                fail!("the value is longer than {most} bytes");
            }
            let Some(c) = self.characters.next() else {
                match stop {
                    Some(stop) => fail!("'{stop}' is missing after '${{'"),
                    None => return Ok(read),
                }
            };
            match c {
                c if Some(c) == stop => return Ok(read),
                '\'' if !self.is_heredoc => {
                    let mut quoted = String::new();
                    loop {
                        match self.characters.next() {
                            Some('\'') => break,
                            Some(c) => quoted.push(c),
                            None => fail!("a single quote is not closed"),
                        }
                    }
                    read.push_quoted(&quoted);
                }
                '"' if !self.is_heredoc => {
                    let quoted = self.double_quoted()?;
                    read.push_quoted(&quoted);
                }
                '$' => {
                    let value = self.dollar()?;
                    value.chars().for_each(|c| read.push(c));
                }
                c if c == self.expander.escape => {
                    let Some(next) = self.characters.next() else { continue };
                    if raw {
                        read.push(c);
                    }
                    read.push_quoted(next.encode_utf8(&mut [0; 4]));
                }
                c => read.push(c),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<String> {
        let mut quoted = String::new();
        let escape = self.expander.escape;
        loop {
            if quoted.len() > MAX_EXPANDED {
                fail!("the value is longer than {MAX_EXPANDED} bytes");
            }
            match self.characters.next() {
                None => fail!("a double quote is not closed"),
                Some('"') => return Ok(quoted),
                Some('$') => quoted.push_str(&self.dollar()?),
                Some(c) if c == escape => match self.characters.next() {
                    None => fail!("a double quote is not closed"),
                    Some(next) if next == '"' || next == '$' || next == escape => quoted.push(next),
                    Some(next) => quoted.extend([c, next]),
                },
                Some(c) => quoted.push(c),
            }
        }
    }

    /// Expands a variable; the `$` has been read.
    fn dollar(&mut self) -> Result<String> {
        if self.characters.peek() != Some(&'{') {
            let name = self.name();
            return Ok(if name.is_empty() {
                "$".to_owned()
            } else {
                self.value(&name).unwrap_or_default()
            });
        }
        self.characters.next();
        let name = self.name();
        if name.is_empty() {
            fail!("a variable's name is missing after '${{'");
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            fail!("more than {MAX_DEPTH} '${{' inside each other");
        }
        let value = self.modified(&name);
        self.depth -= 1;
        value
    }

    /// Expands the rest of `${name…}`; the name has been read.
    fn modified(&mut self, name: &str) -> Result<String> {
        let value = self.value(name);
        let mut modifier = self.characters.next();
        let colon = modifier == Some(':');
        if colon {
            modifier = self.characters.next();
        }
        let is_set = value.as_ref().is_some_and(|value| !(colon && value.is_empty()));
        let value = value.unwrap_or_default();
        match (modifier, colon) {
            (None, _) => fail!("'}}' is missing after '${{{name}'"),
            (Some('}'), false) => Ok(value),
            (Some('-'), _) => {
                let word = self.until(Some('}'), false)?.text;
                Ok(if is_set { value } else { word })
            }
            (Some('+'), _) => {
                let word = self.until(Some('}'), false)?.text;
                Ok(if is_set { word } else { String::new() })
            }
            (Some('?'), _) => {
                let word = self.until(Some('}'), false)?.text;
                if is_set {
                    return Ok(value);
                }
                if word.is_empty() {
                    fail!("{name}: the variable is not set");
                }
                fail!("{name}: {word}")
            }
            (Some(end @ ('#' | '%')), false) => {
                let pattern = self.until(Some('}'), true)?.text;
                let greedy = pattern.starts_with(end);
                let pattern = if greedy { &pattern[1..] } else { &pattern[..] };
                let side = if end == '#' { Side::Start } else { Side::End };
                self.trimmed(&value, pattern, side, greedy)
            }
            (Some('/'), false) => {
                let all = self.characters.next_if_eq(&'/').is_some();
                let pattern = self.until(Some('/'), true)?.text;
                let replacement = self.until(Some('}'), false)?.text;
                self.replaced(&value, &pattern, &replacement, all)
            }
            (Some(other), _) => {
                let colon = if colon { ":" } else { "" };
                fail!("'${{{name}{colon}{other}' is no form of a variable that is known")
            }
        }
    }

    /// Reads a name of letters, digits and `_`, or a number, or one of the shell's special
    /// characters.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.characters.peek() {
            Some(c) if c.is_ascii_digit() => {
                while let Some(c) = self.characters.next_if(char::is_ascii_digit) {
                    name.push(c);
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '!' | '$') => name.extend(self.characters.next()),
            _ => {
                let is_part = |c: &char| c.is_alphanumeric() || *c == '_';
                while let Some(c) = self.characters.next_if(is_part) {
                    name.push(c);
                }
            }
        }
        name
    }

    fn value(&self, name: &str) -> Option<String> {
        (self.expander.variable)(name)
    }

    /// Removes the text that `pattern` matches at one side: the longest if `greedy`, otherwise the
    /// shortest.
    fn trimmed(&self, value: &str, pattern: &str, side: Side, greedy: bool) -> Result<String> {
        let mut pattern = Glob::in_text(pattern, self.expander.escape);
        let mut characters = bounded(value)?;
        if side == Side::End {
            pattern = pattern.reversed();
            characters.reverse();
        }
        let ends = pattern.ends(&characters);
        let end = if greedy { ends.last() } else { ends.first() };
        characters.drain(..end.copied().unwrap_or(0));
        if side == Side::End {
            characters.reverse();
        }
        Ok(characters.into_iter().collect())
    }

    /// Replaces the first match of `pattern` by `with`, or each match if `all`. At each place, the
    /// longest match counts.
    fn replaced(&self, value: &str, pattern: &str, with: &str, all: bool) -> Result<String> {
        let pattern = Glob::in_text(pattern, self.expander.escape);
        let characters = bounded(value)?;
        let mut result = String::new();
        let mut at = 0;
        while at < characters.len() {
            match pattern.ends(&characters[at..]).last() {
                Some(&length) if length > 0 => {
                    result.push_str(with);
                    at += length;
                    if !all {
                        break;
                    }
                }
                // If the pattern starts with `*`, any later match would also match from `at`. So no
                // later match exists.
                _ if pattern.begins_with_any() => break,
                _ => {
                    result.push(characters[at]);
                    at += 1;
                }
            }
            if result.len() > MAX_EXPANDED {
                fail!("the value is longer than {MAX_EXPANDED} bytes");
            }
        }
        result.extend(&characters[at..]);
        Ok(result)
    }
}

fn bounded(value: &str) -> Result<Vec<char>> {
    if value.len() > MAX_MATCHED {
        fail!("a pattern is looked for in a value of more than {MAX_MATCHED} bytes");
    }
    Ok(value.chars().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str) -> Option<String> {
        let known = [
            ("foo", "bar"),
            ("empty", ""),
            ("two", "a b"),
            ("path", "/usr/lib/x.tar.gz"),
            ("HOME", "/root"),
        ];
        known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    const EXPANDER: Expander<'static> = Expander { escape: '\\', variable: &variable };

    fn word(text: &str) -> String {
        EXPANDER.word(text).unwrap_or_else(|error| format!("! {error}"))
    }

    #[test]
    fn variables_with_and_without_braces() {
        for (text, expected) in [
            ("$foo", "bar"),
            ("${foo}", "bar"),
            ("a${foo}b$foo", "abarbbar"),
            ("$unset.", "."),
            ("\\$foo", "$foo"),
            ("\\${foo}", "${foo}"),
            ("'$foo'", "$foo"),
            ("\"$foo\"", "bar"),
            ("\"\\$foo \\\" \\x\"", "$foo \" \\x"),
            ("$", "$"),
            ("$ x", "$ x"),
            ("$$foo", "foo"),
            ("$föo.", "."),
            ("a\\ b", "a b"),
            ("$1x", "x"),
            ("é$foo", "ébar"),
        ] {
            assert_eq!(word(text), expected, "{text}");
        }
    }

    #[test]
    fn defaults_and_alternatives() {
        for (text, expected) in [
            ("${foo:-x}", "bar"),
            ("${unset:-x}", "x"),
            ("${empty:-x}", "x"),
            ("${empty-x}", ""),
            ("${unset-x}", "x"),
            ("${foo:+x}", "x"),
            ("${empty:+x}", ""),
            ("${empty+x}", "x"),
            ("${unset+x}", ""),
            ("${unset:-${foo}s}", "bars"),
            ("${unset:-a b}", "a b"),
            ("${unset:-'}'}", "}"),
            ("${foo:?no}", "bar"),
            ("${empty?no}", ""),
            ("${unset:?set it}", "! unset: set it"),
            ("${unset?}", "! unset: the variable is not set"),
        ] {
            assert_eq!(word(text), expected, "{text}");
        }
    }

    #[test]
    fn patterns() {
        for (text, expected) in [
            ("${path#*/}", "usr/lib/x.tar.gz"),
            ("${path##*/}", "x.tar.gz"),
            ("${path%.*}", "/usr/lib/x.tar"),
            ("${path%%.*}", "/usr/lib/x"),
            ("${path#nope}", "/usr/lib/x.tar.gz"),
            ("${foo#b?}", "r"),
            ("${foo#\\*}", "bar"),
            ("${path/\\//-}", "-usr/lib/x.tar.gz"),
            ("${path//\\//-}", "-usr-lib-x.tar.gz"),
            ("${foo/a/$HOME}", "b/rootr"),
            ("${foo//*/x}", "x"),
            ("${foo/z/x}", "bar"),
        ] {
            assert_eq!(word(text), expected, "{text}");
        }
    }

    #[test]
    fn words_are_split_at_blanks_outside_of_quotes() {
        let words = |text| EXPANDER.words(text).unwrap();
        assert_eq!(words(" a  'b c' \"d $foo\" e\\ f "), ["a", "b c", "d bar", "e f"]);
        assert_eq!(words("$two \"$two\""), ["a", "b", "a b"]);
        assert_eq!(words("'' x"), ["", "x"]);
        assert_eq!(words(""), [""; 0]);
        assert_eq!(split_raw(" a='b c'  \"d e\"f g\\ h", '\\'), ["a='b c'", "\"d e\"f", "g\\ h"]);
        assert_eq!(split_raw("a` b \\c", '`'), ["a` b", "\\c"]);
    }

    #[test]
    fn another_escape_character() {
        let expander = Expander { escape: '`', variable: &variable };
        assert_eq!(expander.word("C:\\x`$foo\\$foo").unwrap(), "C:\\x$foo\\bar");
    }

    #[test]
    fn a_heredoc_keeps_quotes_and_has_its_own_escape() {
        let expander = Expander { escape: '`', variable: &variable };
        for (text, expected) in [
            ("it's \"$foo\" ${empty:-'x'}", "it's \"bar\" 'x'"),
            (r#"\"a\" \'b\' \$foo \\ \n"#, r#""a" 'b' $foo \ n"#),
            ("`$foo`\n\ttab", "`bar`\n\ttab"),
        ] {
            assert_eq!(expander.heredoc(text).unwrap(), expected, "{text}");
        }
        let long = "x".repeat(MAX_EXPANDED + 1);
        assert_eq!(expander.heredoc(&long).unwrap(), long);
    }

    #[test]
    fn mistakes() {
        for (text, message) in [
            ("'a", "a single quote is not closed"),
            ("\"a", "a double quote is not closed"),
            ("${", "a variable's name is missing after '${'"),
            ("${}", "a variable's name is missing after '${'"),
            ("${foo", "'}' is missing after '${foo'"),
            ("${foo:-x", "'}' is missing after '${'"),
            ("${foo/x}", "'/' is missing after '${'"),
            ("${foo:x}", "'${foo:x' is no form of a variable that is known"),
            ("${foo^}", "'${foo^' is no form of a variable that is known"),
        ] {
            assert_eq!(word(text), format!("! {message}"), "{text}");
        }
    }

    #[test]
    fn an_expansion_is_bounded() {
        let long = |_: &str| Some("x".repeat(MAX_EXPANDED / 2));
        let expander = Expander { escape: '\\', variable: &long };
        assert!(expander.word("$a$a$a$a").unwrap_err().to_string().contains("longer than"));
        assert!(expander.word("\"$a$a$a$a\"").unwrap_err().to_string().contains("longer than"));
        assert!(expander.word("${a#x}").unwrap_err().to_string().contains("more than 4096"));
        let deep = "${a:-".repeat(MAX_DEPTH + 1) + &"}".repeat(MAX_DEPTH + 1);
        assert!(EXPANDER.word(&deep).unwrap_err().to_string().contains("inside each other"));
    }
}
