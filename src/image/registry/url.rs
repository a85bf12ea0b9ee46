//! The URLs of registries, downloads and proxies: `http` or `https`, without a fragment. A
//! `Location` header may also name a user, be relative, and contain spaces and bytes beyond ASCII,
//! as browsers and Go's programs accept. The segments `.` and `..` of its path are resolved (RFC
//! 3986, section 5.2).

use std::fmt;
use std::net::IpAddr;

use crate::error::{Result, fail};

/// The longest URL, in bytes. Signed URLs of blob stores have up to 2 KiB.
const MAX_URL: usize = 16 << 10;

/// The host of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name in lower case.
    Name(String),
    Address(IpAddr),
}

/// The server of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    pub tls: bool,
    pub host: Host,
    pub port: u16,
}

/// A parsed URL of the schemes http and https.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub origin: Origin,
    /// The path and query, from `/` on. In a CONNECT request, `HOST:PORT`.
    pub target: String,
    /// The `USER[:PASSWORD]` of a redirect, percent-encoded.
    pub user: Option<String>,
}

impl Origin {
    /// Returns `host[:port]` as in a `Host` header, without the scheme's default port.
    pub fn authority(&self) -> String {
        if self.port == if self.tls { 443 } else { 80 } {
            self.host.to_string()
        } else {
            self.host_and_port()
        }
    }

    /// Returns `host:port`.
    pub fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether the host is the name `localhost` or a loopback address.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Name(name) => name == "localhost",
            Host::Address(address) => address.is_loopback(),
        }
    }
}

impl fmt::Display for Host {
    /// Writes the host as in a URL: an IPv6 address has brackets (RFC 3986, section 3.2.2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V4(address)) => address.fmt(f),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl Url {
    /// Parses `http[s]://HOST[:PORT][/PATH][?QUERY]`, and drops a fragment. Fails on any other
    /// form, and on a text longer than `MAX_URL`.
    pub fn parse(text: &str) -> Result<Url> {
        if text.len() > MAX_URL {
            fail!("a URL of {} bytes is too long", text.len());
        }
        let shown = text.escape_debug();
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            fail!("bad URL '{shown}': a space or control character in it");
        }
        let (tls, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            _ => fail!("bad URL '{shown}': it must start with http:// or https://"),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let origin = Origin::parse(tls, &rest[..end])?;
        Ok(Url { origin, target: target(&rest[end..]), user: None })
    }

    /// Returns this URL with another path and query.
    pub fn with_target(&self, target: String) -> Url {
        Url { target, ..self.clone() }
    }

    /// Resolves `location`, which comes from a header such as `Location` in the answer to this URL.
    /// Fails if `location` is not an http or https URL.
    pub fn join(&self, location: &str) -> Result<Url> {
        let location = escape(location);
        let scheme = if self.origin.tls { "https" } else { "http" };
        let mut url = if location.starts_with("//") {
            Url::parse_with_user(&format!("{scheme}:{location}"))?
        } else if location.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme)) {
            Url::parse_with_user(&location)?
        } else {
            let path = self.target.split('?').next().unwrap_or("/");
            let before = match location.as_bytes().first() {
                Some(b'/') => "",
                Some(b'?') => path,
                _ => &path[..=path.rfind('/').unwrap_or(0)],
            };
            let base = format!("{scheme}://{}", self.origin.host_and_port());
            let url = Url::parse(&format!("{base}{before}{location}"))?;
            Url { user: self.user.clone(), ..url }
        };
        url.target = without_dots(&url.target);
        Ok(url)
    }

    /// Parses a URL that may name a user.
    fn parse_with_user(text: &str) -> Result<Url> {
        let start = text.find("://").map_or(0, |at| at + 3);
        let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
        match text[start..end].rsplit_once('@') {
            None => Url::parse(text),
            Some((user, authority)) => {
                let url = Url::parse(&format!("{}{authority}{}", &text[..start], &text[end..]))?;
                Ok(Url { user: Some(user.to_owned()), ..url })
            }
        }
    }

    /// Returns the URL with `name=value` added to its query.
    pub fn and_query(&self, name: &str, value: &str) -> Url {
        let joint = if self.target.contains('?') { '&' } else { '?' };
        self.with_target(format!("{}{joint}{name}={}", self.target, percent_encode(value)))
    }
}

impl Origin {
    /// Parses `HOST[:PORT]`. Fails on a bad host or port.
    pub fn parse(tls: bool, authority: &str) -> Result<Origin> {
        let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let in_brackets = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match in_brackets.map(|(host, port)| (host.parse(), port)) {
            Some((Ok(address), port)) => (Host::Address(IpAddr::V6(address)), port),
            _ => {
                let (host, port) =
                    authority.split_at(authority.find(':').unwrap_or(authority.len()));
                if host.is_empty() || !host.bytes().all(named) {
                    fail!("bad host '{}' in a URL", authority.escape_debug());
                }
                let host = match host.parse() {
                    Ok(address) => Host::Address(address),
                    Err(_) => Host::Name(host.to_ascii_lowercase()),
                };
                (host, port)
            }
        };
        let port = match port.strip_prefix(':').unwrap_or(port) {
            "" => {
                if tls {
                    443
                } else {
                    80
                }
            }
            digits => match digits.parse() {
                Ok(port) if port > 0 => port,
                _ => fail!("bad port '{}' in a URL", digits.escape_debug()),
            },
        };
        Ok(Origin { tls, host, port })
    }
}

fn target(rest: &str) -> String {
    let rest = rest.split('#').next().unwrap_or_default();
    if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") }
}

fn is_scheme(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    !text.is_empty() && text.bytes().all(plain)
}

/// Escapes spaces and bytes beyond ASCII. A URL can't contain them, but some servers send them.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' | 0x80.. => escaped += &format!("%{byte:02X}"),
            _ => escaped.push(char::from(byte)),
        }
    }
    escaped
}

/// Returns the target with the segments `.` and `..` of its path resolved.
fn without_dots(target: &str) -> String {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if segments.peek().is_none() {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

/// Escapes all but the unreserved characters (RFC 3986, 2.3) as `%XX`.
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

/// Decodes each `%XX`. Other text stays as it is.
pub fn percent_decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        // `from_str_radix` alone would accept a sign.
        let digits = tail.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, escaped) {
            (b'%', Some(escaped)) => {
                bytes.push(escaped);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    bytes
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.origin.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.origin.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_where_they_lead() {
        let url = Url::parse("HTTPS://Reg.example:5000/v2/a?x=1#f").unwrap();
        assert_eq!(url.to_string(), "https://reg.example:5000/v2/a?x=1");
        for (location, leads_to) in [
            ("/b?c", "https://reg.example:5000/b?c"),
            ("http://cdn.example/x", "http://cdn.example/x"),
            ("//cdn.example", "https://cdn.example/"),
            ("?y=http://z", "https://reg.example:5000/v2/a?y=http://z"),
            ("b", "https://reg.example:5000/v2/b"),
            ("b?to=http://z", "https://reg.example:5000/v2/b?to=http://z"),
            ("../../../up/./b?x=/../y", "https://reg.example:5000/up/b?x=/../y"),
            ("/v2/a/..", "https://reg.example:5000/v2/"),
            ("http://cdn.example/a/../b", "http://cdn.example/b"),
            ("/a b/é", "https://reg.example:5000/a%20b/%C3%A9"),
            ("", "https://reg.example:5000/v2/"),
        ] {
            assert_eq!(url.join(location).unwrap().to_string(), leads_to);
        }
        let signed = url.join("//me:p%40ss@cdn.example/x@y?u=a@b").unwrap();
        assert_eq!(signed.to_string(), "https://cdn.example/x@y?u=a@b");
        assert_eq!(signed.user.as_deref(), Some("me:p%40ss"));
        assert_eq!(signed.join("next").unwrap().user, signed.user);
        assert_eq!(signed.join("http://other.example/").unwrap().user, None);
        assert_eq!(url.and_query("digest", "sha256:0").target, "/v2/a?x=1&digest=sha256%3A0");
        let six = Url::parse("http://[::1]:80/").unwrap();
        assert_eq!((six.to_string(), six.origin.is_loopback()), ("http://[::1]/".into(), true));
        for bad in
            ["ftp://x", "http://", "http://u@h/", "http://h:0", "http://h/\r\nX:1", "http://[x]/"]
        {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
