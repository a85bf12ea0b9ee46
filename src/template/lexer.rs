//! Splits a template into tokens: plain text, and the tokens between `{{` and `}}`.
//!
//! The rules are those of Go's text/template: `{{-` and `-}}` trim white space, `{{/* */}}` is a
//! comment, and a space separates arguments.

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Left,
    Right,
    Space,
    Dot,
    Field,
    Variable,
    Word,
    Number,
    Character,
    Quoted,
    Raw,
    Pipe,
    Open,
    Close,
    Assign,
    Declare,
    Other,
}

/// One token, by its place in the source.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub kind: Kind,
    /// Byte offsets in the source.
    pub start: usize,
    pub end: usize,
}

/// Returns the tokens of `source`. If the tokens end early, also returns the byte offset and the
/// reason.
pub fn tokens(source: &str) -> (Vec<Token>, Option<(usize, String)>) {
    let mut out = Vec::new();
    let fault = fill(source, &mut out).err();
    (out, fault)
}

fn fill(source: &str, out: &mut Vec<Token>) -> Result<(), (usize, String)> {
    let mut at = 0;
    let mut trims = false;
    loop {
        let left = source[at..].find("{{").map_or(source.len(), |found| at + found);
        let (mut start, mut end) = (at, left);
        if trims {
            start += source[start..end].len() - source[start..end].trim_start_matches(SPACE).len();
        }
        let marked = source[left..].strip_prefix("{{-").is_some_and(|rest| rest.starts_with(SPACE));
        if marked {
            end = start + source[start..end].trim_end_matches(SPACE).len();
        }
        if start < end {
            out.push(Token { kind: Kind::Text, start, end });
        }
        if left == source.len() {
            return Ok(());
        }
        let inside = left + if marked { 3 } else { 2 };
        let lead = source[inside..].len() - source[inside..].trim_start_matches(SPACE).len();
        let comment = if marked { inside + lead } else { inside };
        (at, trims) = if source[comment..].starts_with("/*") {
            skip_comment(source, comment)?
        } else {
            out.push(Token { kind: Kind::Left, start: left, end: inside });
            action(source, inside, out)?
        };
    }
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

fn skip_comment(source: &str, start: usize) -> Result<(usize, bool), (usize, String)> {
    let Some(length) = source[start + 2..].find("*/") else {
        return Err((start, "unclosed comment".to_owned()));
    };
    let end = start + 2 + length + 2;
    closing(source, end).ok_or((start, "comment ends before closing delimiter".to_owned()))
}

/// If the action ends at `at`, returns the offset after its end, and whether the end trims the
/// following white space.
fn closing(source: &str, at: usize) -> Option<(usize, bool)> {
    let rest = &source[at..];
    if rest.starts_with("}}") {
        return Some((at + 2, false));
    }
    let trimmed = rest.strip_prefix(SPACE)?;
    trimmed.starts_with("-}}").then_some((at + 4, true))
}

fn action(
    source: &str,
    start: usize,
    out: &mut Vec<Token>,
) -> Result<(usize, bool), (usize, String)> {
    let mut at = start;
    let mut open = 0usize;
    loop {
        if let Some((end, trims)) = closing(source, at) {
            if open > 0 {
                return Err((at, "unclosed left paren".to_owned()));
            }
            out.push(Token { kind: Kind::Right, start: at, end });
            return Ok((end, trims));
        }
        let rest = &source[at..];
        let Some(c) = rest.chars().next() else {
            return Err((at, "unclosed action".to_owned()));
        };
        let word = |rest: &str| {
            rest.find(|c: char| !(c == '_' || c.is_alphanumeric())).unwrap_or(rest.len())
        };
        let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let second = rest.chars().nth(1);
        let (kind, length) = match c {
            ' ' | '\t' | '\r' | '\n' => {
                let mut end = at;
                while source[end..].starts_with(SPACE) && closing(source, end).is_none() {
                    end += 1;
                }
                (Kind::Space, end - at)
            }
            '"' | '\'' => {
                let length = quoted(rest, c).ok_or_else(|| {
                    let what = if c == '"' { "quoted string" } else { "character constant" };
                    (at, format!("unterminated {what}"))
                })?;
                (if c == '"' { Kind::Quoted } else { Kind::Character }, length)
            }
            '`' => match rest[1..].find('`') {
                Some(length) => (Kind::Raw, length + 2),
                None => return Err((at, "unterminated raw quoted string".to_owned())),
            },
            '.' if !is_digit(second) => match word(&rest[1..]) {
                0 => (Kind::Dot, 1),
                length => (Kind::Field, length + 1),
            },
            '$' => (Kind::Variable, 1 + word(&rest[1..])),
            '+' | '-' | '.' | '0'..='9' => {
                let mut length = 0;
                let bytes = rest.as_bytes();
                while let Some(byte) = bytes.get(length) {
                    let sign = matches!(byte, b'+' | b'-')
                        && (length == 0 || matches!(bytes[length - 1], b'e' | b'E' | b'p' | b'P'));
                    if !sign && !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'_') {
                        break;
                    }
                    length += 1;
                }
                (Kind::Number, length)
            }
            '|' => (Kind::Pipe, 1),
            '(' => {
                open += 1;
                (Kind::Open, 1)
            }
            ')' if open == 0 => return Err((at, "unexpected right paren".to_owned())),
            ')' => {
                open -= 1;
                (Kind::Close, 1)
            }
            '=' => (Kind::Assign, 1),
            ':' if second == Some('=') => (Kind::Declare, 2),
            ':' => return Err((at, "expected :=".to_owned())),
            c if c == '_' || c.is_alphanumeric() => (Kind::Word, word(rest)),
            c if c.is_ascii_graphic() => (Kind::Other, 1),
            c => {
                let code = u32::from(c);
                return Err((at, format!("unrecognized character in action: U+{code:04X}")));
            }
        };
        out.push(Token { kind, start: at, end: at + length });
        at += length;
    }
}

/// Returns the length of the literal at the start of `text`, or `None` if the literal has no end on
/// its line.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}
