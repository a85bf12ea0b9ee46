//! Chooses the proxy for a request by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in upper or
//! lower case, with the rules of Go's net/http, so that a setup for Docker works. Go does not read
//! ALL_PROXY; here it is the fallback of the first two, unless it names a SOCKS proxy. Requests to
//! localhost or a loopback address never go through a proxy. Only http and https proxies are
//! supported. Errors contain at most the scheme of a proxy's value, because the rest may hold a
//! password.

use std::net::{IpAddr, SocketAddr};

use super::basic::basic_of;
use super::url::{Host, Origin, Url};
use crate::error::{Result, fail};

/// One proxy: its address and its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub origin: Origin,
    /// The value of the header `Proxy-Authorization`.
    pub authorization: Option<String>,
}

/// The proxies of the environment.
#[derive(Debug, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    except: Vec<String>,
}

impl Proxies {
    /// Reads the environment. Fails if a value is not the URL of an http or https proxy.
    pub fn from_environment() -> Result<Proxies> {
        Proxies::read(&variable)
    }

    fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Proxies> {
        // Docker ignores ALL_PROXY, so a SOCKS proxy there must not make the command fail.
        let is_socks = |text: &String| text.to_ascii_lowercase().starts_with("socks");
        let for_all = || variable("ALL_PROXY").filter(|text| !is_socks(text));
        let proxy = |name| match variable(name).or_else(for_all) {
            Some(text) => Proxy::parse(name, &text).map(Some),
            None => Ok(None),
        };
        let except = variable("NO_PROXY").unwrap_or_default();
        let except = except.split(',').map(|entry| entry.trim().to_ascii_lowercase());
        Ok(Proxies {
            http: proxy("HTTP_PROXY")?,
            https: proxy("HTTPS_PROXY")?,
            except: except.filter(|entry| !entry.is_empty()).collect(),
        })
    }

    /// Returns the proxy for requests to `origin`, or `None` to connect directly.
    pub fn of(&self, origin: &Origin) -> Option<&Proxy> {
        let proxy = if origin.tls { &self.https } else { &self.http };
        let direct = origin.is_loopback() || self.except.iter().any(|entry| matches(entry, origin));
        proxy.as_ref().filter(|_| !direct)
    }
}

/// Returns the value of the environment variable `name`, which must be in upper case. If that is
/// not set, returns the value of the same name in lower case. An empty value counts as not set, as
/// in Go's net/http.
pub fn variable(name: &str) -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    set(name).or_else(|| set(&name.to_lowercase()))
}

/// Whether an entry of NO_PROXY (`*`, a range, or a domain or address with or without a port)
/// includes `origin`.
fn matches(entry: &str, origin: &Origin) -> bool {
    if entry == "*" {
        return true;
    }
    let host = match &origin.host {
        Host::Address(address) => {
            let is_listed = entry.parse() == Ok(*address)
                || entry.parse() == Ok(SocketAddr::new(*address, origin.port));
            let range = entry.split_once('/');
            return is_listed
                || range.is_some_and(|(network, bits)| in_range(*address, network, bits));
        }
        Host::Name(name) => name,
    };
    let name = match entry.rsplit_once(':') {
        Some((name, port)) if port.parse() == Ok(origin.port) => name,
        Some((_, port)) if port.parse::<u16>().is_ok() => return false,
        _ => entry,
    };
    // As in Go, `*.example.com` means the same as `.example.com`: only the names below the domain.
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    let domain = name.strip_prefix('.').unwrap_or(name);
    let below = host.strip_suffix(domain).is_some_and(|left| left.ends_with('.'));
    host == name || !domain.is_empty() && below
}

fn in_range(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let shift = 32u32.saturating_sub(bits);
            let shifted = |address: std::net::Ipv4Addr| u64::from(address.to_bits()) >> shift;
            shifted(address) == shifted(network)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let shift = 128u32.saturating_sub(bits);
            let shifted = |address: std::net::Ipv6Addr| {
                address.to_bits().checked_shr(shift).unwrap_or_default()
            };
            shifted(address) == shifted(network)
        }
        _ => false,
    }
}

impl Proxy {
    /// Parses `[http[s]://][USER[:PASSWORD]@]HOST[:PORT]`. Errors contain `name`, the variable.
    fn parse(name: &str, text: &str) -> Result<Proxy> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let rest = rest.trim_end_matches('/');
        if !matches!(scheme, "http" | "https") {
            fail!("{name}: a proxy of the kind '{scheme}' is not supported, only http and https");
        }
        let (user, authority) = match rest.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, rest),
        };
        // The error does not contain the value, which may hold a password.
        let Ok(url) = Url::parse(&format!("{scheme}://{authority}")) else {
            fail!("{name} is not the URL of a proxy");
        };
        let authorization = user.map(basic_of);
        Ok(Proxy { origin: url.origin, authorization })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Url::parse(text).unwrap().origin
    }

    #[test]
    fn the_environment_as_go_reads_it() {
        let proxies = Proxies::read(&|name| match name {
            "HTTPS_PROXY" => Some("http://me:p%40ss@proxy.example:3128/".into()),
            "NO_PROXY" => Some(
                "inner.example, .dot.example,*.star.example,10.0.0.0/8,reg.example:5000,192.0.2.1,192.0.2.2:5000,\
                 fd00::1,[fd00::2]:5000,fd01::/16"
                    .into(),
            ),
            _ => None,
        })
        .unwrap();
        let proxy = proxies.of(&origin("https://reg.example")).unwrap();
        assert_eq!(proxy.origin.host_and_port(), "proxy.example:3128");
        assert_eq!(proxy.authorization.as_deref(), Some("Basic bWU6cEBzcw=="));
        for direct in [
            "http://reg.example",
            "https://localhost:5000",
            "https://127.0.0.1:5000",
            "https://inner.example",
            "https://a.inner.example",
            "https://a.dot.example",
            "https://a.star.example",
            "https://10.1.2.3",
            "https://reg.example:5000",
            "https://192.0.2.1",
            "https://192.0.2.2:5000",
            "https://[fd00:0::1]",
            "https://[fd00::2]:5000",
            "https://[fd01:0::9]",
        ] {
            assert_eq!(proxies.of(&origin(direct)), None, "{direct}");
        }
        for through in [
            "https://11.1.2.3",
            "https://notinner.example",
            "https://dot.example",
            "https://star.example",
            "https://a-star.example",
            "https://192.0.2.2",
            "https://[fd00::2]",
        ] {
            assert!(proxies.of(&origin(through)).is_some(), "{through}");
        }
        let bad = Proxies::read(&|_| Some("socks5://x".into())).unwrap_err().to_string();
        assert!(bad.contains("socks5"), "{bad}");
    }
}
