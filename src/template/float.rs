//! Prints floating-point numbers in Go's forms (strconv.FormatFloat and encoding/json). A number
//! has the fewest digits that give the same number again, or a given number of digits. Very large
//! and very small numbers have an exponent. FormatFloat writes at least two digits of an exponent,
//! but Rust writes only as many as needed.

use std::ops::Range;

/// Returns the number as Go's `%v` prints it.
pub fn shortest(number: f64) -> String {
    in_range(number, 1e-4..1e6)
}

/// Returns a finite number as Go writes it in JSON, except that an exponent has at least two
/// digits: `1e-07`, where Go writes `1e-7`.
pub fn json(number: f64) -> String {
    in_range(number, 1e-6..1e21)
}

/// Returns the number with the fewest digits. A number other than 0 has an exponent if its absolute
/// value is outside `plain`.
fn in_range(number: f64, plain: Range<f64>) -> String {
    if !number.is_finite() {
        return infinite(number);
    }
    let size = number.abs();
    if size != 0.0 && !plain.contains(&size) {
        exponent(&format!("{number:e}"))
    } else {
        number.to_string()
    }
}

fn infinite(number: f64) -> String {
    let sign = if number > 0.0 { "+" } else { "-" };
    if number.is_nan() { "NaN".to_owned() } else { format!("{sign}Inf") }
}

/// Returns the number as Go's `%g` prints it with this precision: `precision` significant digits,
/// without zeros at the end of a fraction.
pub fn significant(number: f64, precision: usize) -> String {
    if !number.is_finite() {
        return infinite(number);
    }
    let digits = precision.max(1);
    let text = format!("{number:.*e}", digits - 1);
    let (digits_text, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i64 = power.parse().unwrap_or(0);
    let trimmed = |text: &str| {
        let is_fraction = text.contains('.');
        let short = text.trim_end_matches('0').trim_end_matches('.');
        if is_fraction { short.to_owned() } else { text.to_owned() }
    };
    if power < -4 || power >= digits as i64 {
        return exponent(&format!("{}e{power}", trimmed(digits_text)));
    }
    let decimals = usize::try_from(digits as i64 - 1 - power).unwrap_or(0);
    trimmed(&format!("{number:.decimals$}"))
}

/// Turns a number with an exponent from Rust's form into Go's form: `1e-7` becomes `1e-07`.
pub fn exponent(text: &str) -> String {
    let Some((digits, power)) = text.split_once('e') else { return text.to_owned() };
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{digits}e{sign}{power:0>2}")
}
