//! Requests to publish ports: `-p`, `--expose`, and the ports that an image exposes.
//!
//! The command line and the container's record are parsed into these types once. Sockets and
//! firewall rules are in `network`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::error::{Error, Result, fail};
use crate::store::stored_as_text;

stored_as_text!(Protocol, Publish);

/// The protocol of a published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Protocol> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Protocol::Tcp),
            "udp" => Ok(Protocol::Udp),
            "sctp" => fail!("a port of protocol sctp can't be published; known: tcp udp"),
            _ => fail!("unknown protocol '{text}'; known: tcp udp"),
        }
    }
}

impl Protocol {
    /// The protocol's name: `tcp` or `udp`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of the socket that holds a port, such as `tcp 0.0.0.0:8080`.
pub fn socket_name(protocol: Protocol, at: SocketAddr) -> String {
    format!("{protocol} {at}")
}

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    fn parse(text: &str) -> Result<PortRange> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| match text.parse() {
            Ok(port @ 1..) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
            _ => fail!("bad port '{text}': write a number from 1 to 65535"),
        };
        let range = PortRange { first: port(first)?, last: port(last)? };
        if range.first > range.last {
            fail!("bad port range '{text}': it runs backwards");
        }
        Ok(range)
    }

    /// The range of a single port.
    pub fn one(port: u16) -> PortRange {
        PortRange { first: port, last: port }
    }

    /// The ports in order.
    pub fn ports(&self) -> std::ops::RangeInclusive<u16> {
        self.first..=self.last
    }

    /// The number of ports.
    pub fn len(&self) -> usize {
        usize::from(self.last - self.first) + 1
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// A request to publish a port or a range of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub address: Option<IpAddr>,
    /// The port or range on the host; `None` means any free port.
    pub host: Option<PortRange>,
    pub container: PortRange,
    pub protocol: Protocol,
}

impl FromStr for Publish {
    type Err = Error;

    /// Parses `[IP:][HOST[-END]:]CTR[-END][/tcp|udp]`, with brackets around an IPv6 address. IP may
    /// be empty. HOST may be empty or 0. Fails on any other text, and as `of_parts` does.
    fn from_str(text: &str) -> Result<Publish> {
        let (rest, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let bad = || Error::new(format!("bad port '{text}': write [IP:][HOST:]PORT[/tcp|udp]"));
        let (address, rest) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once("]:").ok_or_else(bad)?;
                (Some(address), rest)
            }
            None => match rest.splitn(3, ':').collect::<Vec<_>>().as_slice() {
                [address, ..] if rest.matches(':').count() == 2 => {
                    (Some(*address), &rest[address.len() + 1..])
                }
                _ => (None, rest),
            },
        };
        let address = match address {
            Some("") | None => None,
            Some(address) => Some(address.parse().map_err(|_| bad())?),
        };
        let (host, container) = rest.split_once(':').unwrap_or(("", rest));
        Publish::of_parts(address, host, container, protocol)
    }
}

impl Publish {
    /// Makes a request from its parts. As in Docker, a `host` that is empty or 0 means any free
    /// port. Fails for a bad port or protocol. Also fails if `container` is a range of several
    /// ports and `host` is a range of another length.
    pub fn of_parts(
        address: Option<IpAddr>,
        host: &str,
        container: &str,
        protocol: &str,
    ) -> Result<Publish> {
        let protocol = protocol.parse::<Protocol>()?;
        let host = match host {
            "" | "0" => None,
            host => Some(PortRange::parse(host)?),
        };
        let container = PortRange::parse(container)?;
        if let Some(host) = host
            && host.len() != container.len()
            && container.len() != 1
        {
            fail!("bad ports '{host}:{container}': the two ranges have different lengths");
        }
        Ok(Publish { address, host, container, protocol })
    }

    /// Splits the request into one request for each port of the container.
    pub fn each(&self) -> impl Iterator<Item = Publish> + '_ {
        let is_paired = |host: &PortRange| host.len() == self.container.len();
        self.container.ports().enumerate().map(move |(offset, port)| Publish {
            // The ranges have the same length, so the port is in the range.
            host: match self.host.filter(is_paired) {
                Some(host) => Some(PortRange::one(host.first + offset as u16)),
                None => self.host,
            },
            container: PortRange::one(port),
            ..self.clone()
        })
    }

    /// Parses the ports that an image or `--expose` names, such as `80`, `80/udp` or `80-82`. `-P`
    /// publishes each of them on any free port.
    pub fn exposed(text: &str) -> Result<Publish> {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (container, protocol) = (PortRange::parse(range)?, protocol.parse::<Protocol>()?);
        Ok(Publish { address: None, host: None, container, protocol })
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            None => {}
        }
        match self.host {
            Some(host) => write!(f, "{host}:")?,
            None if self.address.is_some() => write!(f, ":")?,
            None => {}
        }
        write!(f, "{}/{}", self.container, self.protocol.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_read_back_as_they_were_written() {
        for (text, canonical) in [
            ("80", "80/tcp"),
            ("8080:80", "8080:80/tcp"),
            ("8080:80/udp", "8080:80/udp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp"),
            ("127.0.0.1::80", "127.0.0.1::80/tcp"),
            ("[::1]:8080:80", "[::1]:8080:80/tcp"),
            ("8000-8002:80-82", "8000-8002:80-82/tcp"),
            ("8000-8010:80", "8000-8010:80/tcp"),
            (":80", "80/tcp"),
            ("0:80", "80/tcp"),
            ("127.0.0.1:0:80", "127.0.0.1::80/tcp"),
            ("80/TCP", "80/tcp"),
            ("8080:80/Udp", "8080:80/udp"),
        ] {
            let publish = text.parse::<Publish>().unwrap();
            assert_eq!(publish.to_string(), canonical, "{text}");
            assert_eq!(canonical.parse::<Publish>().unwrap(), publish);
        }
    }

    #[test]
    fn texts_that_are_not_ports() {
        for bad in [
            "",
            "x",
            "0",
            "65536",
            "80/sctp",
            "80/SCTP",
            "80:0",
            "0-1:80-81",
            "80:",
            "1:2:3:4",
            "300.1.1.1:80:80",
            "82-80:80-82",
            "8000-8001:80-82",
            "+80",
            "::1:80:80",
            "[::1]80",
            "80:80-81",
        ] {
            assert!(bad.parse::<Publish>().is_err(), "{bad}");
        }
    }
}
