//! Literals of Go's template language: quoted and raw strings, characters and numbers (Go spec,
//! "Lexical elements"). The lexer finds where a literal ends; this file only computes its value.
//! Complex numbers are not supported.

use super::value::Value;

/// Returns the content of a quoted or raw string, or `None` if the literal is invalid.
pub fn unquote(text: &str) -> Option<String> {
    if let Some(raw) = text.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', ""));
    }
    unescape(text.strip_prefix('"')?.strip_suffix('"')?)
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.clone().next()? {
            'x' => {
                chars.next();
                digits_of(&mut chars, 2, 16)?
            }
            'u' => {
                chars.next();
                digits_of(&mut chars, 4, 16)?
            }
            'U' => {
                chars.next();
                digits_of(&mut chars, 8, 16)?
            }
            '0'..='7' => digits_of(&mut chars, 3, 8)?,
            plain => {
                chars.next();
                match plain {
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\u{b}',
                    '\\' | '\'' | '"' => plain,
                    _ => return None,
                }
            }
        });
    }
    Some(out)
}

fn digits_of(chars: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<char> {
    let mut code = 0u32;
    for _ in 0..count {
        code = code.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
    }
    char::from_u32(code)
}

/// Parses a hexadecimal mantissa and a power of two: `0x1.8p4` is 24.
fn hexadecimal_float(text: &str) -> Option<f64> {
    let (mantissa, power) = text.strip_prefix("0x")?.split_once('p')?;
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = u64::from_str_radix(&format!("{whole}{part}"), 16).ok()?;
    let power = power.parse::<i32>().ok()?.clamp(-2000, 2000);
    Some(digits as f64 * 2f64.powi(power - 4 * part.len() as i32))
}

/// Returns the value of a number or of a character such as `'a'`, or `None` if the literal is
/// invalid or too large.
pub fn number(text: &str) -> Option<Value> {
    if let Some(rest) = text.strip_prefix('\'') {
        let content = unescape(rest.strip_suffix('\'')?)?;
        let mut chars = content.chars();
        let code = u32::from(chars.next()?);
        return chars.next().is_none().then(|| Value::Int(i64::from(code)));
    }
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let plain = digits.replace('_', "").to_ascii_lowercase();
    let radix = [("0x", 16), ("0o", 8), ("0b", 2)];
    let based = radix
        .iter()
        .find_map(|(prefix, radix)| plain.strip_prefix(prefix).map(|digits| (digits, *radix)));
    let based = match based {
        None if plain.len() > 1 && plain.bytes().all(|byte| byte.is_ascii_digit()) => {
            plain.strip_prefix('0').map(|digits| (digits, 8))
        }
        based => based,
    };
    let (digits, radix) = based.unwrap_or((&plain, 10));
    if let Ok(whole) = i128::from_str_radix(digits, radix) {
        let whole = if negative { -whole } else { whole };
        return i64::try_from(whole).ok().map(Value::Int);
    }
    let hexadecimal = hexadecimal_float(&plain);
    if hexadecimal.is_none() && radix != 10
        || !plain.starts_with(|c: char| c.is_ascii_digit() || c == '.')
    {
        return None;
    }
    let float = hexadecimal.or_else(|| plain.parse().ok())?;
    Some(Value::Float(if negative { -float } else { float }))
}
