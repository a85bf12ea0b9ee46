//! Regular expressions for names and ids (`ps --filter name=^web`): the part of Go's syntax that
//! names need.
//!
//! An expression becomes a program of steps. Matching runs all branches of the program at the same
//! time (Thompson and Pike), so the time is bounded by the product of the program's and the text's
//! length. The syntax has characters, `.`, sets with classes such as `[:alpha:]`, `^`, `$`, `\A`,
//! `\z`, groups, `|`, `*`, `+`, `?`, `{m,n}`, `\d`, `\w`, `\s`, `\b` and their negations, escaped
//! punctuation, and flags such as `(?i)`. Other escapes such as `\pL` are refused.
//! The usual crate (regex) is many times as large as this file.

use std::iter::Peekable;
use std::str::Chars;

use crate::error::{Result, fail};

/// The maximum number of steps in a program, without the last step `Match`. Without this limit,
/// `{1000}` after a long group takes much memory.
const MAX_STEPS: usize = 4096;

/// The largest number in a repetition such as `{2,3}`, as in Go.
const MAX_REPETITIONS: usize = 1000;

/// The deepest nesting of groups.
const MAX_DEPTH: usize = 32;

/// A compiled expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Regex {
    program: Vec<Step>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    /// Matches a character in one of the ranges; if `negated`, a character in none of them.
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    Start,
    End,
    /// Matches where a word starts or ends; if `false`, at every other place.
    Boundary(bool),
    /// Continues at two steps. The numbers are their distances from this step.
    Split(isize, isize),
    Jump(isize),
    Match,
}

impl Regex {
    /// Compiles an expression. Fails if the expression is wrong, unsupported or too large.
    pub fn parse(text: &str) -> Result<Regex> {
        let mut parser = Parser { text, rest: text.chars().peekable(), depth: 0, folds: false };
        let mut program = parser.alternatives()?;
        if parser.rest.next().is_some() {
            return parser.refuse("a ')' has no '('");
        }
        program.push(Step::Match);
        Ok(Regex { program })
    }

    /// Whether any part of `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        let characters: Vec<char> = text.chars().collect();
        let mut threads = Vec::new();
        let is_word = |at: Option<usize>| {
            let character = at.and_then(|at| characters.get(at));
            character.is_some_and(|c| c.is_ascii_alphanumeric() || *c == '_')
        };
        for at in 0..=characters.len() {
            let is_place = |step: &Step| match step {
                Step::Start => at == 0,
                Step::End => at == characters.len(),
                Step::Boundary(wanted) => {
                    (is_word(at.checked_sub(1)) != is_word(Some(at))) == *wanted
                }
                _ => false,
            };
            // A match may start at any place.
            threads.push(0);
            let reached = self.reach(threads, &is_place);
            if reached.contains(&(self.program.len() - 1)) {
                return true;
            }
            let Some(&character) = characters.get(at) else { break };
            let takes = |&step: &usize| match &self.program[step] {
                Step::Set { negated, ranges } => {
                    let is_in =
                        |(first, last): &(char, char)| (*first..=*last).contains(&character);
                    ranges.iter().any(is_in) != *negated
                }
                _ => false,
            };
            threads = reached.into_iter().filter(takes).map(|step| step + 1).collect();
        }
        false
    }

    /// Returns the steps that can be reached from `from` before the next character is read. Only
    /// `Set` and `Match` are returned.
    fn reach(&self, mut from: Vec<usize>, is_place: &dyn Fn(&Step) -> bool) -> Vec<usize> {
        let mut seen = vec![false; self.program.len()];
        let mut reached = Vec::new();
        while let Some(at) = from.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            match &self.program[at] {
                Step::Split(one, other) => {
                    from.extend([at.wrapping_add_signed(*one), at.wrapping_add_signed(*other)]);
                }
                Step::Jump(to) => from.push(at.wrapping_add_signed(*to)),
                step @ (Step::Start | Step::End | Step::Boundary(_)) => {
                    if is_place(step) {
                        from.push(at + 1);
                    }
                }
                Step::Set { .. } | Step::Match => reached.push(at),
            }
        }
        reached
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: Peekable<Chars<'a>>,
    depth: usize,
    /// Whether small and capital ASCII letters match each other.
    folds: bool,
}

impl Parser<'_> {
    fn refuse<T>(&self, why: &str) -> Result<T> {
        fail!("bad regular expression '{}': {why}", self.text)
    }

    fn alternatives(&mut self) -> Result<Vec<Step>> {
        let mut first = self.sequence()?;
        while self.rest.next_if_eq(&'|').is_some() {
            let second = self.sequence()?;
            let (one, other) = (first.len() as isize, second.len() as isize);
            first.insert(0, Step::Split(1, one + 2));
            first.push(Step::Jump(other + 1));
            first.extend(second);
            self.check(first.len())?;
        }
        Ok(first)
    }

    fn sequence(&mut self) -> Result<Vec<Step>> {
        let mut all = Vec::new();
        while let Some(&next) = self.rest.peek() {
            if matches!(next, '|' | ')') {
                break;
            }
            let one = self.one()?;
            all.extend(self.repeated(one)?);
            self.check(all.len())?;
        }
        Ok(all)
    }

    fn check(&self, steps: usize) -> Result<()> {
        if steps > MAX_STEPS { self.refuse("it is too long") } else { Ok(()) }
    }

    fn one(&mut self) -> Result<Vec<Step>> {
        // The caller has checked that there is a next character.
        let character = self.rest.next().unwrap_or_default();
        Ok(vec![match character {
            '^' => Step::Start,
            '$' => Step::End,
            '.' => Step::Set { negated: true, ranges: vec![('\n', '\n')] },
            '[' => {
                let (negated, ranges) = self.set()?;
                self.set_of(negated, ranges)
            }
            '(' => return self.group(),
            '\\' => self.escaped()?,
            '*' | '+' | '?' => return self.refuse("a repetition has nothing before it"),
            plain => self.literal(plain),
        }])
    }

    fn literal(&self, character: char) -> Step {
        self.set_of(false, vec![(character, character)])
    }

    /// Returns the step of a set. If the flag `i` is on, adds the ASCII letters of the other case.
    fn set_of(&self, negated: bool, mut ranges: Vec<(char, char)>) -> Step {
        if self.folds {
            for at in 0..ranges.len() {
                let (first, last) = ranges[at];
                let both = |a: char, z: char| {
                    (first <= z && last >= a).then(|| (first.max(a), last.min(z)))
                };
                let small =
                    both('a', 'z').map(|(a, z)| (a.to_ascii_uppercase(), z.to_ascii_uppercase()));
                let capital =
                    both('A', 'Z').map(|(a, z)| (a.to_ascii_lowercase(), z.to_ascii_lowercase()));
                ranges.extend(small.into_iter().chain(capital));
            }
        }
        Step::Set { negated, ranges }
    }

    /// Parses the rest of a group after its `(`. A flag such as `(?i)` applies up to the end of the
    /// enclosing group.
    fn group(&mut self) -> Result<Vec<Step>> {
        let before = self.folds;
        if self.rest.next_if_eq(&'?').is_some() && self.opening()? {
            return Ok(Vec::new());
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.refuse("too many groups in groups");
        }
        let inner = self.alternatives()?;
        self.depth -= 1;
        self.folds = before;
        match self.rest.next() {
            Some(_) => Ok(inner),
            None => self.refuse("a '(' has no ')'"),
        }
    }

    /// Parses what follows `(?`: a name as in `(?P<name>` and `(?<name>`, or flags as in `(?i:` and
    /// `(?i)`. Returns true for flags alone, as in `(?i)`. Such flags apply to the rest of the
    /// enclosing group. Only the flag `i` has an effect. `m` and `s` matter only for text of
    /// several lines, and `U` only changes which one of several matches is found.
    fn opening(&mut self) -> Result<bool> {
        if self.rest.next_if_eq(&'P').is_some() || self.rest.peek() == Some(&'<') {
            let is_open = self.rest.next() == Some('<');
            let end = self.rest.find(|&c| !(c.is_ascii_alphanumeric() || c == '_'));
            let is_name = is_open && end == Some('>');
            return if is_name { Ok(false) } else { self.refuse("a group has a bad name") };
        }
        let mut on = true;
        loop {
            match self.rest.next() {
                Some('i') => self.folds = on,
                Some('m' | 's' | 'U') => {}
                Some('-') if on => on = false,
                Some(':') => return Ok(false),
                Some(')') => return Ok(true),
                _ => return self.refuse("a group has unknown flags"),
            }
        }
    }

    fn escaped(&mut self) -> Result<Step> {
        let Some(character) = self.rest.next() else { return self.refuse("it ends with '\\'") };
        match character {
            'A' => return Ok(Step::Start),
            'z' => return Ok(Step::End),
            'b' | 'B' => return Ok(Step::Boundary(character == 'b')),
            _ => {}
        }
        match class(character) {
            Some((negated, ranges)) => Ok(self.set_of(negated, ranges)),
            None => Ok(self.literal(self.punctuation(character)?)),
        }
    }

    /// Returns the escaped character, which stands for itself. Fails for an ASCII letter or digit:
    /// Go refuses such an escape or gives it a special meaning.
    fn punctuation(&self, escaped: char) -> Result<char> {
        if escaped.is_ascii_alphanumeric() {
            return self.refuse(&format!("'\\{escaped}' is not supported"));
        }
        Ok(escaped)
    }

    /// Parses a set after its `[`. Returns whether the set is negated, and its ranges.
    fn set(&mut self) -> Result<(bool, Vec<(char, char)>)> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut ranges = Vec::new();
        loop {
            let first = match self.rest.next() {
                None => return self.refuse("a '[' has no ']'"),
                Some(']') if !ranges.is_empty() => return Ok((negated, ranges)),
                Some('[') if self.rest.peek() == Some(&':') => {
                    ranges.extend(self.named_class()?);
                    continue;
                }
                Some('\\') => match self.rest.next() {
                    None => return self.refuse("a '[' has no ']'"),
                    Some(escaped) => match class(escaped) {
                        Some((negated, class)) => {
                            ranges.extend(if negated { complement(class) } else { class });
                            continue;
                        }
                        None => self.punctuation(escaped)?,
                    },
                },
                Some(plain) => plain,
            };
            let mut ahead = self.rest.clone();
            let last = match (ahead.next(), ahead.next()) {
                (Some('-'), Some('\\')) => {
                    self.rest = ahead;
                    self.end_of_range()?
                }
                (Some('-'), Some(last)) if last != ']' => {
                    self.rest = ahead;
                    last
                }
                _ => first,
            };
            if last < first {
                return self.refuse("a range in a set runs backwards");
            }
            ranges.push((first, last));
        }
    }

    /// Parses an escaped last character of a range, such as `\.` in `[+-\.]`, after the `\`.
    fn end_of_range(&mut self) -> Result<char> {
        match self.rest.next() {
            Some(escaped) => self.punctuation(escaped),
            None => self.refuse("a '[' has no ']'"),
        }
    }

    /// Parses a class such as `[:alpha:]` or `[:^alpha:]` after its `[`.
    fn named_class(&mut self) -> Result<Vec<(char, char)>> {
        self.rest.next();
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut name = String::new();
        while let Some(letter) = self.rest.next_if(char::is_ascii_lowercase) {
            name.push(letter);
        }
        let is_closed = self.rest.next() == Some(':') && self.rest.next() == Some(']');
        match named(&name).filter(|_| is_closed) {
            Some(class) if negated => Ok(complement(class)),
            Some(class) => Ok(class),
            None => self
                .refuse("a set holds an unknown class; known are [:alpha:], [:digit:] and so on"),
        }
    }

    /// Repeats the steps `one` as the next characters say, such as `*` or `{2,3}`.
    fn repeated(&mut self, one: Vec<Step>) -> Result<Vec<Step>> {
        let (least, most) = match self.rest.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => match self.bounds() {
                Some(bounds) => bounds,
                None => return Ok(one),
            },
            _ => return Ok(one),
        };
        self.rest.next();
        // Ignore a lazy `?`: it does not change whether a text matches.
        self.rest.next_if_eq(&'?');
        if matches!(self.rest.peek(), Some('*' | '+')) {
            return self.refuse("a repetition follows a repetition");
        }
        if most.is_some_and(|most: usize| most < least) {
            return self.refuse("a repetition has its bounds in the wrong order");
        }
        if least.max(most.unwrap_or(0)) > MAX_REPETITIONS {
            return self.refuse(&format!("a repetition counts beyond {MAX_REPETITIONS}"));
        }
        let length = one.len() as isize;
        let times = most.unwrap_or(least + 1);
        self.check((one.len() + 2).saturating_mul(times.max(1)))?;
        let mut all = Vec::new();
        for _ in 0..least {
            all.extend_from_slice(&one);
        }
        match most {
            None => {
                all.push(Step::Split(1, length + 2));
                all.extend(one);
                all.push(Step::Jump(-length - 1));
            }
            Some(most) => {
                for _ in least..most {
                    all.push(Step::Split(1, length + 1));
                    all.extend_from_slice(&one);
                }
            }
        }
        Ok(all)
    }

    /// Parses `{m}`, `{m,}` or `{m,n}`. Returns `None` for other text after `{`. The `{` is then an
    /// ordinary character.
    fn bounds(&mut self) -> Option<(usize, Option<usize>)> {
        let inner: String = self.rest.clone().skip(1).take_while(|&next| next != '}').collect();
        let has_end = self.rest.clone().nth(inner.chars().count() + 1) == Some('}');
        let (least, most) = inner.split_once(',').unwrap_or((&inner, &inner));
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse().unwrap_or(usize::MAX))
        };
        let least = number(least).filter(|_| has_end)?;
        let most = if most.is_empty() { None } else { Some(number(most)?) };
        // Skip the text up to the closing brace. The caller skips the brace.
        self.rest.nth(inner.len());
        Some((least, most))
    }
}

/// The ranges of the class that is named between `[:` and `:]`, or `None` for an unknown name.
fn named(name: &str) -> Option<Vec<(char, char)>> {
    Some(match name {
        "alnum" => vec![('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => vec![('A', 'Z'), ('a', 'z')],
        "ascii" => vec![('\0', '\x7f')],
        "blank" => vec![('\t', '\t'), (' ', ' ')],
        "cntrl" => vec![('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => vec![('0', '9')],
        "graph" => vec![('!', '~')],
        "lower" => vec![('a', 'z')],
        "print" => vec![(' ', '~')],
        "punct" => vec![('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => vec![('\t', '\r'), (' ', ' ')],
        "upper" => vec![('A', 'Z')],
        "word" => return class('w').map(|(_, ranges)| ranges),
        "xdigit" => vec![('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    })
}

/// The ranges of all characters outside of `ranges`, which are in ascending order.
fn complement(ranges: Vec<(char, char)>) -> Vec<(char, char)> {
    let mut rest = Vec::new();
    // No range of a class is next to the surrogates (U+D800 to U+DFFF). So `None` means that `c` is
    // the first or last character.
    let beside = |c: char, by: i64| {
        u32::try_from(i64::from(u32::from(c)) + by).ok().and_then(char::from_u32)
    };
    let mut first = Some('\0');
    for (start, end) in ranges {
        if let (Some(first), Some(last)) = (first, beside(start, -1))
            && first <= last
        {
            rest.push((first, last));
        }
        first = beside(end, 1);
    }
    rest.extend(first.map(|first| (first, char::MAX)));
    rest
}

/// The ranges of `\d`, `\w` or `\s`, and whether they are negated (`\D`, `\W`, `\S`). `None` for
/// another letter.
fn class(letter: char) -> Option<(bool, Vec<(char, char)>)> {
    let ranges = match letter.to_ascii_lowercase() {
        'd' => vec![('0', '9')],
        'w' => vec![('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        's' => vec![('\t', '\n'), ('\x0c', '\r'), (' ', ' ')],
        _ => return None,
    };
    Some((letter.is_ascii_uppercase(), ranges))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_match_like_gos() {
        for (expression, text, expected) in [
            ("", "", true),
            ("web", "my-web-1", true),
            ("^web", "my-web", false),
            ("^web$", "web", true),
            ("^/web$", "/web", true),
            ("^/web$", "web", false),
            ("web|db", "the-db", true),
            ("^(web|db)-[0-9]+$", "db-17", true),
            ("^(web|db)-[0-9]+$", "db-", false),
            ("^(?:a|b)*$", "abba", true),
            ("a.c", "abc", true),
            ("a\\.c", "abc", false),
            ("^[^a-c]$", "d", true),
            ("^[^a-c]$", "b", false),
            ("^[]a-]+$", "a-]", true),
            ("^[+-\\.]$", ".", true),
            ("^[+-\\.]$", "a", false),
            ("^a{2}$", "aa", true),
            ("^a{2}$", "aaa", false),
            ("^a{1,2}b$", "aab", true),
            ("^a{2,}$", "aaaa", true),
            ("^a{,2}$", "a{,2}", true),
            ("a{x", "a{x", true),
            ("^(a*)*$", "aaaa", true),
            ("^(a*)+b?$", "aab", true),
            ("^\\w+\\d$", "ab_1", true),
            ("^[\\d.]+$", "1.2", true),
            ("\\S", " \t", false),
            ("\\s", "\x0b", false),
            ("ä+?ö", "ääö", true),
            ("a||b", "", true),
            ("\\bweb\\b", "my-web-1", true),
            ("\\bweb\\b", "website", false),
            ("\\Beb\\b", "web", true),
            ("\\Aweb\\z", "webs", false),
            ("(?i)WEB", "web", true),
            ("(?i)w[A-C]b", "WbB", true),
            ("(?i:W)EB", "web", false),
            ("(?i:W)eb", "web", true),
            ("((?i)W)EB", "wEB", true),
            ("((?i)W)EB", "web", false),
            ("(?i)a(?-i)B", "AB", true),
            ("(?i)a(?-i)B", "Ab", false),
            ("(?P<name>w)(?<x_1>e)b", "web", true),
            ("^(?sm)w", "web", true),
            ("^[[:alpha:]]eb[[:^digit:]_]$", "webs", true),
            ("^[[:alpha:]]eb[[:^digit:]_]$", "web1", false),
            ("^[^[:upper:]]+$", "weB", false),
            ("^[\\W\\d]+$", "1-é", true),
            ("^[\\W\\d]+$", "w", false),
            ("^[\\S]$", " ", false),
        ] {
            let regex = Regex::parse(expression).unwrap();
            assert_eq!(regex.is_match(text), expected, "{expression} on {text}");
        }
    }

    #[test]
    fn wrong_and_hostile_expressions_end_soon() {
        for (expression, part) in [
            ("*a", "nothing before it"),
            ("a**", "follows a repetition"),
            ("(a", "'(' has no ')'"),
            ("a)", "')' has no '('"),
            ("[a", "'[' has no ']'"),
            ("[z-a]", "backwards"),
            ("a\\", "ends with"),
            ("\\pLeb", "'\\p' is not supported"),
            ("[\\pL]eb", "'\\p' is not supported"),
            ("(?Pi:web)", "bad name"),
            ("(?x)web", "flags"),
            ("(?i-", "flags"),
            ("(?P<a-b>w)", "bad name"),
            ("[[:letter:]]", "unknown class"),
            ("[[:alpha]", "unknown class"),
            ("a{3,2}", "wrong order"),
            ("a{1001}", "beyond 1000"),
            ("a{18446744073709551615,}", "beyond 1000"),
            ("a{99999999999999999999}", "beyond 1000"),
            ("((((a{60}){60}){60}){60}){60}", "too long"),
            (&"(".repeat(100_000), "groups in groups"),
        ] {
            let error = Regex::parse(expression).unwrap_err().to_string();
            assert!(error.contains(part), "{}: {}", &expression[..10.min(expression.len())], part);
        }
        let slow = Regex::parse("(a|a)*(a|a)*(a|a)*b").unwrap();
        assert!(!slow.is_match(&"a".repeat(2000)));
    }
}
