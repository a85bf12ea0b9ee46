//! The user's options for a container's interface on one network: its name and its sysctls
//! (`--driver-opt`, with Docker's keys), further addresses (`--link-local-ip`), and the prefix of
//! the names on the network. The container's record keeps the values of `--driver-opt` as given.
//! The command line checks the values, and the engine parses them again at each use.

use std::net::IpAddr;

use super::link;
use super::subnet::Subnet;
use crate::error::{Result, fail};

/// The `--driver-opt` that names the interface in the container.
pub const NAME: &str = "com.docker.network.endpoint.ifname";
/// The `--driver-opt` that sets sysctls of the interface, separated by commas.
pub const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";

/// The options of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceOptions {
    pub name: Option<String>,
    /// Paths below /proc/sys, with `IFNAME` in place of the interface, and their values.
    pub sysctls: Vec<(String, String)>,
}

impl InterfaceOptions {
    /// Parses `--driver-opt` flags. Fails on an unknown key or a bad value.
    pub fn parse(options: &[(String, String)]) -> Result<InterfaceOptions> {
        let mut parsed = InterfaceOptions::default();
        for (key, value) in options {
            match key.as_str() {
                NAME if link::is_plain_name(value) && value != "lo" => {
                    parsed.name = Some(value.clone());
                }
                NAME => fail!("bad interface name '{value}': {}", link::NAME_RULE),
                SYSCTLS => {
                    parsed.sysctls = value.split(',').map(parse_sysctl).collect::<Result<_>>()?;
                }
                _ => fail!("unknown option '{key}' of an interface; known: {NAME} {SYSCTLS}"),
            }
        }
        Ok(parsed)
    }

    /// As `parse`, for options in a record. If one option does not parse, ignores all: earlier
    /// versions recorded any text.
    pub fn parse_recorded(options: &[(String, String)]) -> InterfaceOptions {
        InterfaceOptions::parse(options).unwrap_or_default()
    }
}

/// Parses a setting such as `net.ipv4.conf.IFNAME.log_martians=1`. Fails on any other form.
fn parse_sysctl(text: &str) -> Result<(String, String)> {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let parts =
        text.split_once('=').map(|(key, value)| (key.split('.').collect::<Vec<_>>(), value));
    match parts.as_ref().map(|(key, value)| (key.as_slice(), *value)) {
        Some((
            ["net", family @ ("ipv4" | "ipv6" | "mpls"), kind @ ("conf" | "neigh"), "IFNAME", name],
            value,
        )) if is_word(name) && !value.is_empty() => {
            Ok((format!("net/{family}/{kind}/IFNAME/{name}"), value.to_owned()))
        }
        _ => fail!(
            "bad sysctl '{text}': write net.ipv4.conf.IFNAME.NAME=VALUE, with the word IFNAME"
        ),
    }
}

/// Checks the prefix of the interfaces' names. Fails if it is not a valid name of a link, or if a
/// name with the prefix could be too long.
pub fn check_prefix(prefix: &str) -> Result<()> {
    // Leave room for a number of three digits after the prefix.
    if !link::is_plain_name(prefix) || prefix.len() + 3 > link::MAX_NAME {
        fail!(
            "bad interface prefix '{prefix}': {}, and here at most {}",
            link::NAME_RULE,
            link::MAX_NAME - 3
        );
    }
    Ok(())
}

/// Parses `--link-local-ip`. Fails if the address is not link-local (RFC 3927, RFC 4291).
pub fn parse_link_local(text: &str) -> Result<IpAddr> {
    match text.parse() {
        Ok(IpAddr::V4(address)) if address.is_link_local() => Ok(address.into()),
        Ok(IpAddr::V6(address)) if address.is_unicast_link_local() => Ok(address.into()),
        _ => fail!("'{text}' is no link-local address: write one of 169.254.0.0/16 or fe80::/10"),
    }
}

/// The subnet of a link-local address: /16 for IPv4 and /64 for IPv6, as in Docker.
pub fn link_local_subnet(address: IpAddr) -> Subnet {
    Subnet::around(address, if address.is_ipv4() { 16 } else { 64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<InterfaceOptions> {
        InterfaceOptions::parse(&[(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn options_of_an_interface() {
        assert_eq!(parse(NAME, "wan").unwrap().name.as_deref(), Some("wan"));
        for bad in ["", "lo", "a/b", "..", "a b", "all", "default", "0123456789abcdef", "a%d"] {
            assert!(parse(NAME, bad).is_err(), "{bad}");
        }
        let two = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.neigh.IFNAME.ucast_solicit=5";
        let sysctls = parse(SYSCTLS, two).unwrap().sysctls;
        assert_eq!(sysctls[1], ("net/ipv6/neigh/IFNAME/ucast_solicit".into(), "5".into()));
        for bad in [
            "net.ipv4.conf.eth0.forwarding=1",
            "net.ipv4.conf.all.forwarding=1",
            "net.ipv4.conf.IFNAME.a.b=1",
            "net.ipv4.conf.IFNAME.../x=1",
            "kernel.a.b.IFNAME.c=1",
            "net.ipv4.conf.IFNAME.forwarding",
            "",
        ] {
            assert!(parse(SYSCTLS, bad).is_err(), "{bad}");
        }
        assert!(parse("x", "y").is_err());
        assert_eq!(
            InterfaceOptions::parse_recorded(&[("x".into(), "y".into())]),
            Default::default()
        );
    }

    #[test]
    fn only_link_local_addresses_are_such() {
        assert!(parse_link_local("169.254.3.4").is_ok() && parse_link_local("fe80::7").is_ok());
        for bad in ["57.1.2.3", "fd00::1", "x", ""] {
            assert!(parse_link_local(bad).is_err(), "{bad}");
        }
        check_prefix("lan").unwrap();
        for bad in ["", "0123456789abc", "a/b", "a b"] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
    }
}
