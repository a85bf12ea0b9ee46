//! IP addresses and MAC addresses, as types for records.
//!
//! The command line and the state files are parsed into these types once. `Ip` wraps the standard
//! library's `IpAddr`, because this crate can't implement miniserde's traits for a foreign type.
//! Subnets are in `network::subnet`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::error::{Error, Result, fail};
use crate::store::stored_as_text;

/// An IP address in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ip(pub IpAddr);

/// The address in a `--add-host NAME:ADDRESS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAddress {
    Ip(IpAddr),
    /// `host-gateway`: the host's address on the container's network.
    Gateway,
}

/// The MAC address of an interface (RFC 7042).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

stored_as_text!(Ip, HostAddress, Mac);

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Ip {
    type Err = Error;

    fn from_str(text: &str) -> Result<Ip> {
        match text.parse() {
            Ok(address) => Ok(Ip(address)),
            Err(_) => fail!("'{text}' is no IP address"),
        }
    }
}

/// The text of `HostAddress::Gateway`, as in Docker.
const HOST_GATEWAY: &str = "host-gateway";

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostAddress::Ip(address) => address.fmt(f),
            HostAddress::Gateway => f.write_str(HOST_GATEWAY),
        }
    }
}

impl FromStr for HostAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<HostAddress> {
        match text {
            HOST_GATEWAY => Ok(HostAddress::Gateway),
            text => text.parse().map(|Ip(address)| HostAddress::Ip(address)),
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = Error;

    /// Parses six hexadecimal bytes, separated by colons or hyphens. Fails on any other text. Also
    /// fails on a group address and on the zero address: the kernel refuses both for an Ethernet
    /// interface.
    fn from_str(text: &str) -> Result<Mac> {
        let mut mac = [0; 6];
        let is_digit = |byte: u8| byte.is_ascii_hexdigit();
        let mut parts = text.split([':', '-']);
        for byte in &mut mac {
            let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(is_digit));
            match part.and_then(|part| u8::from_str_radix(part, 16).ok()) {
                Some(value) => *byte = value,
                None => {
                    fail!("bad hardware address '{text}': write one such as 02:42:ac:11:00:02")
                }
            }
        }
        if parts.next().is_some() || mac[0] & 1 == 1 || mac == [0; 6] {
            fail!("bad hardware address '{text}': it must be one interface's, six bytes");
        }
        Ok(Mac(mac))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses() {
        for text in ["02:42:ac:11:00:02", "02-42-AC-11-00-02"] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), "02:42:ac:11:00:02");
        }
        for bad in [
            "",
            "02:42:ac:11:00",
            "02:42:ac:11:00:02:03",
            "2:42:ac:11:00:02",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "+2:42:ac:11:00:02",
        ] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_text_in_a_state_file() {
        let ip = Ip("fd00::1".parse().unwrap());
        assert_eq!(miniserde::json::to_string(&ip), "\"fd00::1\"");
        assert_eq!(miniserde::json::from_str::<Ip>("\"fd00::1\"").unwrap(), ip);
        for text in ["\"10.0.0.1\"", "\"host-gateway\""] {
            let host: HostAddress = miniserde::json::from_str(text).unwrap();
            assert_eq!(miniserde::json::to_string(&host), text);
        }
        for bad in ["\"\"", "\"10.0.0\"", "1", "null"] {
            assert!(miniserde::json::from_str::<Ip>(bad).is_err(), "{bad}");
        }
    }
}
