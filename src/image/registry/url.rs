//! The URLs that registries are spoken to by: `http` and `https`, no user, no fragment.

use std::fmt;

use crate::error::{Result, fail};

/// Signed addresses of blob stores run to 2 KiB.
const MAX_URL: usize = 16 << 10;

/// Whom to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    pub tls: bool,
    /// An IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub origin: Origin,
    /// Path and query; begins with `/`.
    pub target: String,
}

impl Origin {
    /// `host[:port]` with the scheme's own port left out, as a `Host` header has it.
    pub fn authority(&self) -> String {
        match self.port == if self.tls { 443 } else { 80 } {
            true => bracketed(&self.host),
            false => self.host_and_port(),
        }
    }

    /// `host:port`
    pub fn host_and_port(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }

    /// Whether the host is this machine, by its name alone.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

fn bracketed(host: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    }
}

impl Url {
    /// Parses `http[s]://HOST[:PORT][/PATH][?QUERY]`.
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
            _ => fail!("bad URL '{shown}': it should begin with http:// or https://"),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let origin = Origin::parse(tls, &rest[..end])?;
        Ok(Url { origin, target: target(&rest[end..]) })
    }

    /// The same origin, another path and query.
    pub fn with_target(&self, target: String) -> Url {
        Url { origin: self.origin.clone(), target }
    }

    /// Where a `Location` header leads from here.
    pub fn join(&self, location: &str) -> Result<Url> {
        if location.contains("://") && !location.starts_with(['/', '?']) {
            return Url::parse(location);
        }
        let scheme = if self.origin.tls { "https" } else { "http" };
        if location.starts_with("//") {
            return Url::parse(&format!("{scheme}:{location}"));
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let base = format!("{scheme}://{}", self.origin.host_and_port());
        match location.as_bytes().first() {
            Some(b'/') => Url::parse(&format!("{base}{location}")),
            Some(b'?') => Url::parse(&format!("{base}{path}{location}")),
            _ => {
                let above = &path[..=path.rfind('/').unwrap_or(0)];
                Url::parse(&format!("{base}{above}{location}"))
            }
        }
    }

    /// The target with `name=value` added to its query.
    pub fn and_query(&self, name: &str, value: &str) -> Url {
        let joint = if self.target.contains('?') { '&' } else { '?' };
        self.with_target(format!("{}{joint}{name}={}", self.target, percent_encode(value)))
    }
}

impl Origin {
    /// Parses `HOST[:PORT]`.
    pub fn parse(tls: bool, authority: &str) -> Result<Origin> {
        let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
            _ => {
                let (host, port) =
                    authority.split_at(authority.find(':').unwrap_or(authority.len()));
                if host.is_empty() || !host.bytes().all(named) {
                    fail!("bad host '{}' in a URL", authority.escape_debug());
                }
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
        Ok(Origin { tls, host: host.to_ascii_lowercase(), port })
    }
}

fn target(rest: &str) -> String {
    let rest = rest.split('#').next().unwrap_or_default();
    match rest.starts_with('/') {
        true => rest.to_owned(),
        false => format!("/{rest}"),
    }
}

/// All but the unreserved characters (RFC 3986, 2.3) as `%XX`.
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
        ] {
            assert_eq!(url.join(location).unwrap().to_string(), leads_to);
        }
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
