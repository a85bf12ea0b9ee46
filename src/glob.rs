//! Matches the patterns of file names (`*.txt`), of image names, of `.dockerignore` (`**/tmp`) and
//! of variable expansions (`${a#p}`).
//!
//! A pattern becomes a list of tokens. Matching follows all possibilities at the same time, so the
//! time is bounded by the product of the pattern's and the text's length. In a path, `*` and `?` do
//! not match a slash, as in Go's filepath.Match; `**` in a `.dockerignore` does, as in Docker's
//! patternmatcher. In a variable's value, a slash is an ordinary character.

use crate::error::{Result, fail};

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    tokens: Vec<Token>,
    /// Whether `*`, `?` and classes also match a slash.
    crosses: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// `?`
    One,
    /// `*`
    Any,
    /// `[a-z]` or `[^a-z]`
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// `**` or `**/` before other text: any number of directories. The next token is always
    /// `Inside`, which matches the characters of these directories.
    Deep,
    Inside,
    /// `**` or `**/` at the end: any text.
    All,
}

impl Glob {
    /// Compiles a pattern in a variable expansion. The character `escape` makes the next character
    /// a literal.
    pub fn in_text(pattern: &str, escape: char) -> Glob {
        let mut characters = pattern.chars();
        let mut tokens = Vec::new();
        while let Some(c) = characters.next() {
            tokens.push(match c {
                '*' if tokens.last() == Some(&Token::Any) => continue,
                '*' => Token::Any,
                '?' => Token::One,
                c if c == escape => Token::Literal(characters.next().unwrap_or(c)),
                c => Token::Literal(c),
            });
        }
        Glob { tokens, crosses: true }
    }

    /// Compiles a pattern of paths. If `deep`, `**` stands for any number of directories. Fails on
    /// a bad pattern.
    pub fn of_path(pattern: &str, deep: bool) -> Result<Glob> {
        let mut characters = pattern.chars().peekable();
        let mut tokens = Vec::new();
        while let Some(c) = characters.next() {
            match c {
                '*' if deep && characters.next_if_eq(&'*').is_some() => {
                    characters.next_if_eq(&'/');
                    match characters.peek() {
                        None => tokens.push(Token::All),
                        Some(_) => tokens.extend([Token::Deep, Token::Inside]),
                    }
                }
                '*' if tokens.last() == Some(&Token::Any) => {}
                '*' => tokens.push(Token::Any),
                '?' => tokens.push(Token::One),
                '[' => tokens.push(class(pattern, &mut characters)?),
                '\\' => match characters.next() {
                    Some(c) => tokens.push(Token::Literal(c)),
                    None => fail!("bad pattern '{pattern}': a backslash at the end"),
                },
                c => tokens.push(Token::Literal(c)),
            }
        }
        Ok(Glob { tokens, crosses: false })
    }

    /// Whether the pattern has no wildcards.
    pub fn is_literal(&self) -> bool {
        self.tokens.iter().all(|token| matches!(token, Token::Literal(_)))
    }

    /// Whether all of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.ends(&text).last() == Some(&text.len())
    }

    /// All lengths, in characters, of prefixes of `text` that match, in increasing order.
    pub fn ends(&self, text: &[char]) -> Vec<usize> {
        let count = self.tokens.len();
        // `reached[n]` is true if the first n tokens match the first `read` characters.
        let mut reached = vec![false; count + 1];
        reached[0] = true;
        self.close(&mut reached);
        let mut ends = Vec::new();
        for read in 0..=text.len() {
            if reached[count] {
                ends.push(read);
            }
            let Some(&c) = text.get(read) else { break };
            let mut next = vec![false; count + 1];
            for (n, token) in self.tokens.iter().enumerate().filter(|(n, _)| reached[*n]) {
                let plain = self.crosses || c != '/';
                match token {
                    Token::Any => next[n] |= plain,
                    Token::All => next[n] = true,
                    Token::One => next[n + 1] |= plain,
                    Token::Literal(wanted) => next[n + 1] |= *wanted == c,
                    Token::Class { negated, ranges } => {
                        let within = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                        next[n + 1] |= plain && within != *negated;
                    }
                    Token::Inside => {
                        next[n] = true;
                        next[n + 1] |= c == '/';
                    }
                    Token::Deep => {}
                }
            }
            self.close(&mut next);
            if !next.contains(&true) {
                break;
            }
            reached = next;
        }
        ends
    }

    /// Also marks the position after each reached token that matches the empty text.
    fn close(&self, reached: &mut [bool]) {
        for (n, token) in self.tokens.iter().enumerate() {
            match token {
                _ if !reached[n] => {}
                Token::Any | Token::All => reached[n + 1] = true,
                Token::Deep => (reached[n + 1], reached[n + 2]) = (true, true),
                _ => {}
            }
        }
    }

    /// Returns the pattern for reversed texts. Does not work for a pattern of paths with `**`.
    pub fn reversed(mut self) -> Glob {
        self.tokens.reverse();
        self
    }

    /// Whether the pattern starts with `*`.
    pub fn begins_with_any(&self) -> bool {
        self.tokens.first() == Some(&Token::Any)
    }
}

/// Parses a character class; the `[` has been read.
fn class(
    pattern: &str,
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<Token> {
    let negated = characters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    let one = |characters: &mut std::iter::Peekable<std::str::Chars<'_>>| match characters.next() {
        Some('\\') => characters.next(),
        other => other,
    };
    loop {
        if !ranges.is_empty() && characters.next_if_eq(&']').is_some() {
            return Ok(Token::Class { negated, ranges });
        }
        let low = match characters.peek() {
            Some(']' | '-') | None => None,
            Some(_) => one(characters),
        };
        let high = match low {
            Some(_) if characters.next_if_eq(&'-').is_some() => match characters.peek() {
                Some(']') | None => None,
                Some(_) => one(characters),
            },
            low => low,
        };
        match (low, high) {
            (Some(low), Some(high)) => ranges.push((low, high)),
            _ => fail!("bad pattern '{pattern}': a class such as [a-z] is not closed or empty"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(deep: bool, rows: &[(&str, &str, bool)]) {
        for &(pattern, text, matches) in rows {
            let glob = Glob::of_path(pattern, deep).unwrap();
            assert_eq!(glob.matches(text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn names() {
        let rows = [
            ("*.txt", "a.txt", true),
            ("*.txt", "a/b.txt", false),
            ("?a", "ba", true),
            ("?a", "/a", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[\\]]", "]", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("**", "a/b", false),
            ("**", "ab", true),
            ("ä?", "äö", true),
        ];
        check(false, &rows);
    }

    #[test]
    fn directories_at_any_depth() {
        let rows = [
            ("**/tmp", "tmp", true),
            ("**/tmp", "a/b/tmp", true),
            ("**/tmp", "atmp", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "ax/b", false),
            ("a/**", "a/x/y", true),
            ("**", "a/b/c", true),
            ("**/*.go", "x/y.go", true),
            ("**/*.go", "y.go", true),
            ("*/**/x", "a/x", true),
        ];
        check(true, &rows);
    }

    #[test]
    fn bad_patterns() {
        for pattern in ["[", "[a", "[]", "[-a]", "[a-", "[a-]", "a\\"] {
            assert!(Glob::of_path(pattern, true).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends_at_once() {
        let glob = Glob::of_path(&"*a".repeat(200), false).unwrap();
        assert!(!glob.matches(&"a".repeat(2000).replace("aa", "ab")));
    }
}
