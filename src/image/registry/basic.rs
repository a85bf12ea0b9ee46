//! HTTP's Basic authentication (RFC 7617): the value of the headers `Authorization` and
//! `Proxy-Authorization`. The value is not encrypted. The sender of the header decides whether the
//! connection is safe enough.

use super::base64;
use super::url::percent_decode;

/// Returns the value of the header Authorization for a user and password.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::encode(format!("{user}:{password}").as_bytes()))
}

/// Returns the same value for the percent-encoded `USER[:PASSWORD]` of a URL.
pub fn basic_of(user: &str) -> String {
    format!("Basic {}", base64::encode(&percent_decode(user)))
}
