//! Parses names of containers, volumes, hosts and domains, and also labels, addresses,
//! `--add-host`, options and filters. The name of a container or volume becomes one component of a
//! path below the state root, so this file checks the grammar of such a name
//! (`[a-zA-Z0-9][a-zA-Z0-9_.-]*`). Image names are in `image_name`.

use std::net::IpAddr;

use crate::address::{HostAddress, Ip};
use crate::error::{Result, fail};
use crate::raw;

/// The longest container or volume name, in bytes. The name becomes one component of a path, in
/// some paths with a prefix or a suffix.
const MAX_NAME: usize = 128;
/// The length of a field of utsname (uname(2)) without its NUL, in bytes.
const MAX_HOSTNAME: usize = 64;

/// Whether `text` matches `[a-zA-Z0-9][a-zA-Z0-9_.-]*`. This is Docker's grammar, except that a
/// single character is allowed.
fn is_name(text: &str) -> bool {
    let (first, rest) = text.as_bytes().split_first().unwrap_or((&b'-', &[]));
    let tail = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    first.is_ascii_alphanumeric() && rest.iter().all(tail)
}

/// Parses a container's name. The name may start with a slash, as `inspect` prints it. Fails if the
/// rest is not a valid name.
pub fn parse_container_name(text: &str) -> Result<&str> {
    let name = text.strip_prefix('/').unwrap_or(text);
    check_name("container", name).map(|()| name)
}

/// Fails if `text` is not a valid volume name.
pub fn check_volume_name(text: &str) -> Result<()> {
    check_name("volume", text)
}

fn check_name(what: &str, text: &str) -> Result<()> {
    if text.len() > MAX_NAME {
        fail!("bad {what} name: {} characters are more than {MAX_NAME}", text.len());
    }
    if !is_name(text) {
        fail!(
            "bad {what} name '{text}': letters, digits, '_', '.', '-', the first a letter or digit"
        );
    }
    Ok(())
}

/// Fails if `text` is not a valid host name. As in Docker, a name may start with `-`, `_` or a dot.
/// Unlike in Docker, a name needs a letter or a digit, so `..` is refused.
pub fn check_hostname(text: &str) -> Result<()> {
    if text.is_empty() || text.len() > MAX_HOSTNAME {
        fail!("bad host name '{text}': it has 1 to {MAX_HOSTNAME} characters");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let has_alphanumeric = text.bytes().any(|byte| byte.is_ascii_alphanumeric());
    if !text.bytes().all(plain) || !has_alphanumeric {
        fail!("bad host name '{text}': write letters, digits, '-', '_' and dots");
    }
    Ok(())
}

/// Fails if `text` is not a domain: at most 255 bytes, labels of letters and digits with hyphens
/// inside, dots between the labels, and at least one letter. A dot may end the domain.
pub fn check_domain(text: &str) -> Result<()> {
    const MAX: usize = 255;
    let is_label = |label: &str| {
        let ends = |c: char| c.is_ascii_alphanumeric();
        label.starts_with(ends)
            && label.ends_with(ends)
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let has_letter = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    let mut labels = text.strip_suffix('.').unwrap_or(text).split('.');
    if text.len() > MAX || !has_letter || !labels.all(is_label) {
        fail!("bad domain '{text}': write letters, digits and inner hyphens, as in example.org");
    }
    Ok(())
}

/// Parses `key=value`, or `key` alone for an empty value. Fails if the key is empty or only white
/// space, and if the text is not UTF-8.
pub fn parse_label(text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.trim().is_empty() {
        fail!("bad label '{text}': its key is empty");
    }
    Ok((raw::utf8("label", key)?, raw::utf8("label", value)?))
}

/// Parses `--add-host`: `NAME:ADDRESS` or `NAME=ADDRESS`. An IPv6 address may be in brackets, and
/// `host-gateway` means the host's address. Fails on any other text.
pub fn parse_host(text: &str) -> Result<(String, HostAddress)> {
    let Some((name, address)) = text.split_once('=').or_else(|| text.split_once(':')) else {
        fail!("bad host '{text}': write NAME:ADDRESS");
    };
    check_hostname(name)?;
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare.unwrap_or(address).parse() {
        Ok(address) => Ok((name.to_owned(), address)),
        Err(_) => fail!("bad host '{text}': '{address}' is no IP address"),
    }
}

/// Parses `KEY=VALUE` of an option. Fails if the key is empty or there is no `=`.
pub fn parse_option(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => fail!("bad option '{text}': write KEY=VALUE, as in mtu=1450"),
    }
}

/// Splits a `--filter` into its key, in small letters, and its value. As in Docker, white space
/// around the key and the value is dropped, and an empty filter is no filter. Fails on any other
/// text without `=`; the error shows `example`.
pub fn split_filter(text: &str, example: &str) -> Result<Option<(String, String)>> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.split_once('=') {
        Some((key, value)) => Ok(Some((key.trim().to_lowercase(), value.trim().to_owned()))),
        None => fail!("bad filter '{text}': write KEY=VALUE, as in {example}"),
    }
}

/// Parses an IPv4 or IPv6 address.
pub fn parse_ip(text: &str) -> Result<IpAddr> {
    text.parse().map(|Ip(address)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_split_as_by_docker() {
        let pair = |key: &str, value: &str| Some((key.to_owned(), value.to_owned()));
        assert_eq!(split_filter("name=a=b", "x=1").unwrap(), pair("name", "a=b"));
        assert_eq!(split_filter(" Label = a ", "x=1").unwrap(), pair("label", "a"));
        assert_eq!(split_filter("", "x=1").unwrap(), None);
        let error = split_filter("name", "name=web").unwrap_err().to_string();
        assert!(error.contains("write KEY=VALUE, as in name=web"), "{error}");
    }

    #[test]
    fn container_names() {
        for good in ["web", "a", "a1", "A_b.c-d", &"x".repeat(128)] {
            assert_eq!(parse_container_name(good).unwrap(), good);
            assert_eq!(parse_container_name(&format!("/{good}")).unwrap(), good);
        }
        for bad in ["", "-a", ".a", "a/b", "a b", "é1", "..", "/", "//a", &"x".repeat(129)] {
            assert!(parse_container_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hostnames() {
        for good in ["h", "-h", "web.example.org", &"x".repeat(64)] {
            assert!(check_hostname(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a\nb", "a/b", &"x".repeat(65)] {
            assert!(check_hostname(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn domains() {
        for good in ["a", "lan", "example.org", "a-b.c1.", "1.a", &"x".repeat(255)] {
            assert!(check_domain(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "a_b", "a..b", "-a", "a-", "a.-b", "1", "1.2", "a b", "a.."] {
            assert!(check_domain(bad).is_err(), "{bad}");
        }
        assert!(check_domain(&"x".repeat(256)).is_err());
    }

    #[test]
    fn hosts_of_both_families() {
        let parsed = |text: &str| {
            let (name, address) = parse_host(text).unwrap();
            (name, address.to_string())
        };
        assert_eq!(parsed("db:10.0.0.1"), ("db".into(), "10.0.0.1".into()));
        assert_eq!(parsed("db:::1"), ("db".into(), "::1".into()));
        assert_eq!(parsed("db=[fe80::1]"), ("db".into(), "fe80::1".into()));
        assert_eq!(parse_host("db:host-gateway").unwrap(), ("db".into(), HostAddress::Gateway));
        for bad in ["db", "db:", ":1.2.3.4", "db:1.2.3", "db:host", "a\nb:1.2.3.4"] {
            assert!(parse_host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels() {
        assert_eq!(parse_label("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert_eq!(parse_label("a").unwrap(), ("a".into(), String::new()));
        assert!(parse_label("=x").is_err());
    }
}
