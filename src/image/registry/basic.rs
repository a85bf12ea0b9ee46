//! HTTP's Basic authentication (RFC 7617): the value of the headers `Authorization` and
//! `Proxy-Authorization`. The value is not encrypted. The sender of the header decides whether the
//! connection is safe enough.

use super::base64;
use super::url::percent_decode;

/// Returns the value of the header Authorization for a user and password.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::encode(format!("{user}:{password}").as_bytes()))
}

/// Returns the same value for the percent-encoded `USER[:PASSWORD]` of a URL. A user without a
/// password gets the empty password.
pub fn basic_of(user: &str) -> String {
    let mut decoded = percent_decode(user);
    if !user.contains(':') {
        decoded.push(b':');
    }
    format!("Basic {}", base64::encode(&decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_a_url_is_sent_as_decoded() {
        assert_eq!(basic_of("me:p%40ss"), basic("me", "p@ss"));
        assert_eq!(basic_of("me"), basic("me", ""));
        // `+f` is not a hexadecimal number, so `%+f` is not decoded.
        assert_eq!(basic_of("a%+f:"), basic("a%+f", ""));
    }
}
