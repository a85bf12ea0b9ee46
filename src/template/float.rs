//! Floating-point numbers as Go writes them (strconv.FormatFloat): the shortest digits that give the
//! same number again, with an exponent for very large and very small ones. An exponent has at least
//! two digits, where Rust writes one.

/// Go's `%v` of a float.
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

/// `1e-7` is `1e-07` in Go.
pub fn exponent(text: &str) -> String {
    let Some((digits, power)) = text.split_once('e') else { return text.to_owned() };
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{digits}e{sign}{power:0>2}")
}
