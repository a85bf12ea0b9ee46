//! Go's `printf`: `%s %q %v %d %x %X %o %b %c %U %e %E %f %F %g %G %t %T %%` with flags, width and
//! precision, which may be arguments (`*`), and with indexes such as `%[2]s`.
//!
//! If a verb does not fit the value, the output has Go's note, such as `%!d(string=x)`. Such a note
//! is not an error.

use std::iter::Peekable;
use std::str::Chars;

use super::float::{exponent, shortest, significant};
use super::value::Value;

/// The maximum width and precision, as in Go. Without a limit a template could use all memory.
const MAX_WIDTH: usize = 1_000_000;
/// The most decimals of a floating-point number. If the number is above 1e-280, all further
/// decimals are 0.
const MAX_DECIMALS: usize = 1000;

#[derive(Clone, Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// The arguments after the format, and which of them the next verb takes.
struct Arguments<'a> {
    values: &'a [Value],
    next: usize,
    /// Whether the format has an index. Unused arguments are then no fault.
    is_reordered: bool,
    /// Whether an index of the present verb names no argument.
    is_bad_index: bool,
}

impl<'a> Arguments<'a> {
    fn take(&mut self) -> Option<&'a Value> {
        let value = self.values.get(self.next);
        self.next += usize::from(value.is_some());
        value
    }

    /// Reads an explicit index such as `[2]`, if there is one. Go counts from 1. An index that
    /// names no argument sets `is_bad_index`.
    fn read_index(&mut self, chars: &mut Peekable<Chars<'_>>) {
        if chars.next_if_eq(&'[').is_none() {
            return;
        }
        self.is_reordered = true;
        let digits: String = chars.by_ref().take_while(|c| *c != ']').collect();
        match digits.parse::<usize>() {
            Ok(index) if (1..=self.values.len()).contains(&index) => self.next = index - 1,
            _ => self.is_bad_index = true,
        }
    }

    /// Reads a width or a precision: digits, or `*` for the next argument. `bad` is Go's note for
    /// an argument that is missing, no integer or too large.
    fn read_count(
        &mut self,
        chars: &mut Peekable<Chars<'_>>,
        out: &mut String,
        bad: &str,
    ) -> Option<i64> {
        if chars.next_if_eq(&'*').is_some() {
            return match self.take() {
                Some(Value::Int(number)) if number.unsigned_abs() <= MAX_WIDTH as u64 => {
                    Some(*number)
                }
                _ => {
                    out.push_str(bad);
                    None
                }
            };
        }
        let mut number = None;
        while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
            chars.next();
            let more = number.unwrap_or(0i64) * 10 + i64::from(digit);
            number = Some(more.min(MAX_WIDTH as i64));
        }
        number
    }
}

/// Formats `values` by `format`. Returns `None` if the text is longer than `limit` bytes.
pub fn printf(format: &str, values: &[Value], limit: usize) -> Option<String> {
    let mut out = String::new();
    let mut arguments = Arguments { values, next: 0, is_reordered: false, is_bad_index: false };
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if out.len() > limit {
            return None;
        }
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = Flags::default();
        arguments.is_bad_index = false;
        while let Some(flag) = chars.next_if(|c| "-+# 0".contains(*c)) {
            match flag {
                '-' => flags.minus = true,
                '+' => flags.plus = true,
                '#' => flags.sharp = true,
                ' ' => flags.space = true,
                _ => flags.zero = true,
            }
        }
        arguments.read_index(&mut chars);
        if let Some(width) = arguments.read_count(&mut chars, &mut out, "%!(BADWIDTH)") {
            flags.minus |= width < 0;
            flags.width = Some(width.unsigned_abs() as usize);
        }
        if chars.next_if_eq(&'.').is_some() {
            arguments.read_index(&mut chars);
            let is_argument = chars.peek() == Some(&'*');
            let precision = arguments.read_count(&mut chars, &mut out, "%!(BADPREC)");
            // A negative argument means no precision.
            flags.precision = match precision {
                Some(number) => usize::try_from(number).ok(),
                None if is_argument => None,
                None => Some(0),
            };
        }
        arguments.read_index(&mut chars);
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) if arguments.is_bad_index => out.push_str(&format!("%!{verb}(BADINDEX)")),
            Some(verb) => match arguments.take() {
                Some(value) => push(&mut out, &flags, verb, value, limit),
                None => out.push_str(&format!("%!{verb}(MISSING)")),
            },
        }
    }
    let unused = values.get(arguments.next..).unwrap_or_default();
    if !unused.is_empty() && !arguments.is_reordered {
        out.push_str("%!(EXTRA ");
        for (at, value) in unused.iter().enumerate() {
            out.push_str(if at > 0 { ", " } else { "" });
            typed(&mut out, &Flags::default(), value, limit);
        }
        out.push(')');
    }
    (out.len() <= limit).then_some(out)
}

/// Appends a value with its type, for Go's notes: `string=x`. As in Go, the flags apply to the
/// value.
fn typed(out: &mut String, flags: &Flags, value: &Value, limit: usize) {
    if matches!(value, Value::Nil | Value::Missing) {
        return out.push_str("<nil>");
    }
    out.push_str(value.type_name());
    out.push('=');
    push(out, flags, 'v', value, limit);
}

/// Appends `value`. Most lists and maps end early once `out` has more than `limit` bytes.
fn push(out: &mut String, flags: &Flags, verb: char, value: &Value, limit: usize) {
    let text = match (verb, value) {
        ('T', Value::Nil | Value::Missing) => "<nil>".to_owned(),
        ('T', value) => value.type_name().to_owned(),
        ('v', Value::Text(text)) if flags.sharp => quote(text),
        ('v' | 's', Value::Text(text)) => cut(text, flags),
        ('q', Value::Text(text)) => quote_by(&cut(text, flags), flags),
        ('x' | 'X', Value::Text(text)) => bytes(text, flags, verb == 'X'),
        ('v' | 's' | 'q', Value::Printed(printed)) => {
            return push(out, flags, verb, &Value::text(&printed.0), limit);
        }
        (verb, Value::Printed(printed)) => return push(out, flags, verb, &printed.1, limit),
        ('v' | 't', Value::Bool(_)) => plain(value),
        ('v' | 'd', Value::Int(number)) => return pad_number(out, flags, *number, ""),
        ('x', Value::Int(number)) => return pad_number(out, flags, *number, "x"),
        ('X', Value::Int(number)) => return pad_number(out, flags, *number, "X"),
        ('o', Value::Int(number)) => return pad_number(out, flags, *number, "o"),
        ('b', Value::Int(number)) => return pad_number(out, flags, *number, "b"),
        ('c', Value::Int(number)) => character(*number).to_string(),
        ('q', Value::Int(number)) => quoted_character(*number),
        ('U', Value::Int(number)) if flags.sharp => {
            format!("U+{number:04X} {}", quoted_character(*number))
        }
        ('U', Value::Int(number)) => format!("U+{number:04X}"),
        ('v' | 'g' | 'G' | 'f' | 'F' | 'e' | 'E', Value::Float(number)) => {
            return push_float(out, flags, verb, *number);
        }
        ('v' | 's', Value::Nil | Value::Missing) => match verb {
            'v' => "<nil>".to_owned(),
            _ => "%!s(<nil>)".to_owned(),
        },
        ('v', Value::List(items)) if flags.sharp && items.iter().all(is_text) => {
            let items: Vec<String> = items.iter().map(literal).collect();
            format!("[]string{{{}}}", items.join(", "))
        }
        ('v', Value::Map(items)) if flags.sharp && items.values().all(is_text) => {
            let items: Vec<String> = items
                .iter()
                .map(|(key, item)| format!("{}:{}", quote(key), literal(item)))
                .collect();
            format!("map[string]string{{{}}}", items.join(", "))
        }
        // The verb, its flags and its width apply to each item.
        (_, Value::List(items)) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if out.len() > limit {
                    return;
                }
                out.push_str(if at > 0 { " " } else { "" });
                push(out, flags, verb, item, limit);
            }
            return out.push(']');
        }
        (_, Value::Map(items)) => {
            out.push_str("map[");
            for (at, (key, item)) in items.iter().enumerate() {
                if out.len() > limit {
                    return;
                }
                out.push_str(if at > 0 { " " } else { "" });
                push(out, flags, verb, &Value::Text(key.clone()), limit);
                out.push(':');
                push(out, flags, verb, item, limit);
            }
            return out.push(']');
        }
        (_, Value::Struct(object)) => {
            out.push('{');
            for (at, (_, field)) in object.fields.iter().enumerate() {
                out.push_str(if at > 0 { " " } else { "" });
                push(out, flags, verb, field, limit);
            }
            return out.push('}');
        }
        (_, Value::Omitted(value)) => return push(out, flags, verb, value, limit),
        (_, Value::NilList | Value::NilMap) => return value.push(out),
        ('v' | 's', Value::Time(_)) => plain(value),
        (verb, value) => {
            out.extend(['%', '!', verb, '(']);
            typed(out, flags, value, limit);
            return out.push(')');
        }
    };
    pad(out, flags, &text);
}

fn push_float(out: &mut String, flags: &Flags, verb: char, number: f64) {
    let precision = flags.precision.map(|precision| precision.min(MAX_DECIMALS));
    let mut text = match (verb, precision) {
        ('f' | 'F', precision) => format!("{number:.*}", precision.unwrap_or(6)),
        ('e' | 'E', precision) => exponent(&format!("{number:.*e}", precision.unwrap_or(6))),
        (_, Some(precision)) => significant(number, precision),
        (_, None) => shortest(number),
    };
    if matches!(verb, 'E' | 'G') {
        text.make_ascii_uppercase();
    }
    // Zeros that fill the width come after the sign.
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) if text.starts_with('-') => ("-", digits),
        Some(digits) => ("+", digits),
        None => (sign_of(false, flags), text.as_str()),
    };
    if flags.zero && !flags.minus && number.is_finite() {
        let width = flags.width.map(|width| width.saturating_sub(sign.len()));
        out.push_str(sign);
        return pad(out, &Flags { width, ..flags.clone() }, digits);
    }
    let spaces = Flags { zero: false, ..flags.clone() };
    pad(out, &spaces, &format!("{sign}{digits}"));
}

fn plain(value: &Value) -> String {
    let mut text = String::new();
    value.push(&mut text);
    text
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::Text(_))
}

fn literal(value: &Value) -> String {
    match value {
        Value::Text(text) => quote(text),
        other => plain(other),
    }
}

fn character(number: i64) -> char {
    u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
}

/// A character as a Go literal.
fn quoted_character(number: i64) -> String {
    match character(number) {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c => format!("'{}'", quote(c.encode_utf8(&mut [0; 4])).trim_matches('"')),
    }
}

fn cut(text: &str, flags: &Flags) -> String {
    text.chars().take(flags.precision.unwrap_or(usize::MAX)).collect()
}

/// The bytes of a text in hexadecimal; `% x` has a space between two bytes, and `%#x` begins with
/// `0x`.
fn bytes(text: &str, flags: &Flags, is_upper: bool) -> String {
    let prefix = match (flags.sharp, is_upper) {
        (false, _) => "",
        (true, false) => "0x",
        (true, true) => "0X",
    };
    let mut out = String::new();
    for (at, byte) in text.bytes().take(flags.precision.unwrap_or(usize::MAX)).enumerate() {
        if at > 0 && flags.space {
            out.push(' ');
        }
        if at == 0 || flags.space {
            out.push_str(prefix);
        }
        out.push_str(&if is_upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
    }
    out
}

fn pad(out: &mut String, flags: &Flags, text: &str) {
    let gap = flags.width.unwrap_or(0).saturating_sub(text.chars().count());
    let fill = if flags.zero && !flags.minus { '0' } else { ' ' };
    if !flags.minus {
        out.extend(std::iter::repeat_n(fill, gap));
    }
    out.push_str(text);
    if flags.minus {
        out.extend(std::iter::repeat_n(' ', gap));
    }
}

fn sign_of(is_negative: bool, flags: &Flags) -> &'static str {
    if is_negative {
        "-"
    } else if flags.plus {
        "+"
    } else if flags.space {
        " "
    } else {
        ""
    }
}

fn pad_number(out: &mut String, flags: &Flags, number: i64, base: &str) {
    let size = number.unsigned_abs();
    let mut digits = match base {
        "x" => format!("{size:x}"),
        "X" => format!("{size:X}"),
        "o" => format!("{size:o}"),
        "b" => format!("{size:b}"),
        _ => size.to_string(),
    };
    let sign = sign_of(number < 0, flags);
    let prefix = match base {
        "x" | "X" if flags.sharp => format!("0{base}"),
        "o" | "b" if flags.sharp => "0".to_owned(),
        _ => String::new(),
    };
    let zeros = match flags.precision {
        Some(precision) => precision,
        None if flags.zero && !flags.minus => flags.width.unwrap_or(0).saturating_sub(sign.len()),
        None => 0,
    };
    if digits.len() < zeros {
        digits.insert_str(0, &"0".repeat(zeros - digits.len()));
    }
    let spaces = Flags { zero: false, precision: None, ..flags.clone() };
    pad(out, &spaces, &format!("{sign}{prefix}{digits}"));
}

/// Quotes a string for `%q`: `%#q` chooses a raw string where that is possible, and `%+q` has only
/// ASCII characters.
fn quote_by(text: &str, flags: &Flags) -> String {
    if flags.sharp && !text.contains(|c: char| c == '`' || c != '\t' && c.is_control()) {
        return format!("`{text}`");
    }
    let quoted = quote(text);
    if !flags.plus {
        return quoted;
    }
    let mut out = String::new();
    for c in quoted.chars() {
        match u32::from(c) {
            0..=127 => out.push(c),
            code @ 128..=0xffff => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}

/// Quotes a string as a Go literal.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
