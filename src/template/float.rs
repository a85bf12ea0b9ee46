//! Prints floating-point numbers as Go does (strconv.FormatFloat): the fewest digits that give the
//! same number again, with an exponent for very large and very small numbers. Go writes at least
//! two digits of an exponent, and Rust only as many as needed.

/// Returns the number as Go's `%v` prints it.
pub fn shortest(number: f64) -> String {
    if !number.is_finite() {
        let sign = if number > 0.0 { "+" } else { "-" };
        return if number.is_nan() { "NaN".to_owned() } else { format!("{sign}Inf") };
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        exponent(&format!("{number:e}"))
    } else {
        number.to_string()
    }
}

/// Turns an exponent in Rust's form into Go's form: `1e-7` becomes `1e-07`.
pub fn exponent(text: &str) -> String {
    let Some((digits, power)) = text.split_once('e') else { return text.to_owned() };
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{digits}e{sign}{power:0>2}")
}
