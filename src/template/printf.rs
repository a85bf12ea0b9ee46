//! Go's `printf`: `%s %q %v %d %x %X %o %b %c %U %e %f %g %t %T` with flags, width and precision.
//!
//! If a verb does not fit the value, the output has Go's note, such as `%!d(string=x)`. This is not
//! an error.

use super::float::{exponent, shortest};
use std::iter::Peekable;
use std::str::Chars;

use super::value::Value;

/// The maximum width and precision, as in Go. Without a limit a template could use all memory.
const MAX_WIDTH: usize = 1_000_000;

#[derive(Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Formats `values` by `format`. Returns `None` if the text is longer than `limit` bytes.
pub fn printf(format: &str, values: &[Value], limit: usize) -> Option<String> {
    let mut out = String::new();
    let mut next = 0;
    let mut is_reordered = false;
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
        while let Some(flag) = chars.next_if(|c| "-+# 0".contains(*c)) {
            match flag {
                '-' => flags.minus = true,
                '+' => flags.plus = true,
                '#' => flags.sharp = true,
                ' ' => flags.space = true,
                _ => flags.zero = true,
            }
        }
        is_reordered |= index(&mut chars, &mut next);
        let mut count = |next: &mut usize| {
            if chars.next_if_eq(&'*').is_some() {
                let value = values.get(*next);
                *next = next.saturating_add(1);
                return match value {
                    Some(Value::Int(number)) => Some(*number),
                    _ => None,
                };
            }
            let mut number = None;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                chars.next();
                number = Some((number.unwrap_or(0i64) * 10 + i64::from(digit)).min(1 << 40));
            }
            number
        };
        let bounded = |number: i64| (number.unsigned_abs() as usize).min(MAX_WIDTH);
        if let Some(width) = count(&mut next) {
            flags.minus |= width < 0;
            flags.width = Some(bounded(width));
        }
        if chars.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            flags.precision = Some(bounded(digits.parse().unwrap_or(0)));
        }
        is_reordered |= index(&mut chars, &mut next);
        match (chars.next(), values.get(next)) {
            (None, _) => out.push_str("%!(NOVERB)"),
            (Some('%'), _) => out.push('%'),
            (Some(verb), None) => out.push_str(&format!("%!{verb}(MISSING)")),
            (Some(verb), Some(value)) => {
                next = next.saturating_add(1);
                push(&mut out, &flags, verb, value);
            }
        }
    }
    if next < values.len() && !is_reordered {
        out.push_str("%!(EXTRA ");
        for (at, value) in values[next..].iter().enumerate() {
            out.push_str(if at > 0 { ", " } else { "" });
            typed(&mut out, value);
        }
        out.push(')');
    }
    (out.len() <= limit).then_some(out)
}

/// Reads an explicit index such as `[2]` into `next`, if there is one. Go counts from 1, and `next`
/// counts from 0. An invalid index becomes larger than every valid index, so that the verb prints
/// `MISSING`. Returns whether there was an index.
fn index(chars: &mut Peekable<Chars<'_>>, next: &mut usize) -> bool {
    if chars.next_if_eq(&'[').is_none() {
        return false;
    }
    let digits: String = chars.by_ref().take_while(|c| *c != ']').collect();
    *next = digits.parse::<usize>().unwrap_or(0).wrapping_sub(1);
    true
}

/// Appends a value with its type, for Go's notes: `string=x`.
fn typed(out: &mut String, value: &Value) {
    if matches!(value, Value::Nil | Value::Missing) {
        return out.push_str("<nil>");
    }
    out.push_str(value.type_name());
    out.push('=');
    value.push(out);
}

fn push(out: &mut String, flags: &Flags, verb: char, value: &Value) {
    let text = match (verb, value) {
        ('T', value) => value.type_name().to_owned(),
        ('v', Value::Text(text)) if flags.sharp => quote(text),
        ('v' | 's', Value::Text(text)) => cut(text, flags),
        ('q', Value::Text(text)) => quote(&cut(text, flags)),
        ('x', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('X', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
        ('v' | 't', Value::Bool(_)) => plain(value),
        ('v' | 'd', Value::Int(number)) => return pad_number(out, flags, *number, ""),
        ('x', Value::Int(number)) => return pad_number(out, flags, *number, "x"),
        ('X', Value::Int(number)) => return pad_number(out, flags, *number, "X"),
        ('o', Value::Int(number)) => return pad_number(out, flags, *number, "o"),
        ('b', Value::Int(number)) => return pad_number(out, flags, *number, "b"),
        ('c', Value::Int(number)) => character(*number).to_string(),
        ('q', Value::Int(number)) => format!("'{}'", character(*number).escape_default()),
        ('U', Value::Int(number)) => format!("U+{number:04X}"),
        ('v', Value::Float(number)) if flags.precision.is_none() => shortest(*number),
        ('g' | 'G', Value::Float(number)) if flags.precision.is_none() => shortest(*number),
        ('f' | 'F' | 'v' | 'g' | 'G', Value::Float(number)) => {
            format!("{number:.*}", flags.precision.unwrap_or(6).min(1000))
        }
        ('e' | 'E', Value::Float(number)) => {
            exponent(&format!("{number:.*e}", flags.precision.unwrap_or(6).min(1000)))
        }
        ('v' | 's', Value::Nil | Value::Missing) => match verb {
            'v' => "<nil>".to_owned(),
            _ => "%!s(<nil>)".to_owned(),
        },
        ('s' | 'd' | 'q' | 'x', Value::List(items)) => {
            let mut list = String::from("[");
            for (at, item) in items.iter().enumerate() {
                list.push_str(if at > 0 { " " } else { "" });
                push(&mut list, &Flags::default(), verb, item);
            }
            list + "]"
        }
        (
            'v' | 's',
            Value::List(_) | Value::Map(_) | Value::Struct(_) | Value::NilList | Value::NilMap,
        ) => plain(value),
        (verb, value) => {
            let mut note = format!("%!{verb}(");
            typed(&mut note, value);
            note + ")"
        }
    };
    pad(out, flags, &text);
}

fn plain(value: &Value) -> String {
    let mut text = String::new();
    value.push(&mut text);
    text
}

fn character(number: i64) -> char {
    u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
}

fn cut(text: &str, flags: &Flags) -> String {
    text.chars().take(flags.precision.unwrap_or(usize::MAX)).collect()
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

fn pad_number(out: &mut String, flags: &Flags, number: i64, base: &str) {
    let size = number.unsigned_abs();
    let mut digits = match base {
        "x" => format!("{size:x}"),
        "X" => format!("{size:X}"),
        "o" => format!("{size:o}"),
        "b" => format!("{size:b}"),
        _ => size.to_string(),
    };
    let sign = match number < 0 {
        true => "-",
        false if flags.plus => "+",
        false if flags.space => " ",
        false => "",
    };
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
    let spaces = Flags {
        zero: false,
        ..Flags { width: flags.width, minus: flags.minus, ..Flags::default() }
    };
    pad(out, &spaces, &format!("{sign}{prefix}{digits}"));
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
