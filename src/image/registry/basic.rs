//! HTTP's Basic authentication (RFC 7617): the value of the headers `Authorization` and
//! `Proxy-Authorization`. It is not encrypted; whether a connection is safe enough for it is
//! decided where the header is sent.

use super::base64;
use super::url::percent_decode;

/// The value of the header Authorization for a user and password.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::encode(format!("{user}:{password}").as_bytes()))
}

/// The same for the `USER[:PASSWORD]` of a URL.
pub fn basic_of(user: &str) -> String {
    format!("Basic {}", base64::encode(&percent_decode(user)))
}
