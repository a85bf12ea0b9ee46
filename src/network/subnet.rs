//! IP subnets of both families, written as `address/prefix` (CIDR: RFC 4632, RFC 4291), and
//! arithmetic on them: contains, overlaps, the nth address. Each address is converted to a u128, so
//! one implementation serves both families. `pool` chooses a network's subnets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use linux_raw_sys::net::{AF_INET, AF_INET6};

use crate::error::{Error, Result, fail};
use crate::store::stored_as_text;

/// An address family (address_families(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// Whether `address` is of this family.
    pub fn has(self, address: IpAddr) -> bool {
        Family::of(address) == self
    }

    /// AF_INET or AF_INET6.
    pub fn number(self) -> u8 {
        match self {
            Family::V4 => AF_INET as u8,
            Family::V6 => AF_INET6 as u8,
        }
    }

    /// The number of bits in an address.
    pub fn width(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    /// The unspecified address, `0.0.0.0` or `::`, which stands for all addresses of the host.
    pub fn unspecified(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

/// A subnet: its first address and the length of its prefix in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    base: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// The subnet with this prefix, in bits, that contains `address`.
    pub fn around(address: IpAddr, prefix: u8) -> Subnet {
        let bits = bits(address) & mask(address, prefix);
        Subnet { base: address_of(bits, Family::of(address)), prefix }
    }

    /// Parses `ADDRESS/PREFIX`. Also returns the address as written: `pool` takes an address with
    /// host bits for the gateway if the user names no other. Fails on any other text, and on
    /// subnets that no network can have, such as those of loopback addresses.
    pub fn parse(text: &str) -> Result<(Subnet, IpAddr)> {
        let bad = || Error::new(format!("bad subnet '{text}': write one such as 10.1.2.0/24"));
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u8 = prefix.parse().ok().filter(|_| digits).ok_or_else(bad)?;
        if prefix > width(address) {
            return Err(bad());
        }
        let is_host = address.is_unspecified() || address.is_loopback() || address.is_multicast();
        if prefix == 0 || is_host {
            fail!("bad subnet '{text}': no network of containers can have it");
        }
        Ok((Subnet::around(address, prefix), address))
    }

    /// The length of the prefix, in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The family of the subnet's addresses.
    pub fn family(&self) -> Family {
        Family::of(self.base)
    }

    /// The first address of the subnet.
    pub fn first(&self) -> IpAddr {
        self.base
    }

    /// The last address of the subnet. In IPv4 it is the broadcast address, except with a prefix of
    /// 31 or 32 bits.
    pub fn last(&self) -> IpAddr {
        let bits = bits(self.base) | !mask(self.base, self.prefix) & full(self.base);
        address_of(bits, self.family())
    }

    /// Whether `address` lies in the subnet. An address of the other family does not.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.family() == Family::of(address) && Subnet::around(address, self.prefix) == *self
    }

    /// Whether the two subnets have an address in common.
    pub fn overlaps(&self, other: &Subnet) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }

    /// The address `offset` after the first; `None` if it is outside of the subnet.
    pub fn nth(&self, offset: u128) -> Option<IpAddr> {
        let bits = bits(self.base).checked_add(offset)?;
        (bits <= bits_of_last(self)).then(|| address_of(bits, self.family()))
    }
}

stored_as_text!(Subnet);

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Subnet> {
        Subnet::parse(text).map(|(subnet, _)| subnet)
    }
}

fn bits_of_last(subnet: &Subnet) -> u128 {
    bits(subnet.last())
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address of `family` with these bits. The caller's bits fit the family.
fn address_of(bits: u128, family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(bits as u32).into(),
        Family::V6 => Ipv6Addr::from_bits(bits).into(),
    }
}

fn width(address: IpAddr) -> u8 {
    Family::of(address).width()
}

fn full(address: IpAddr) -> u128 {
    if address.is_ipv4() { u32::MAX.into() } else { u128::MAX }
}

fn mask(address: IpAddr, prefix: u8) -> u128 {
    let host = width(address) - prefix.min(width(address));
    full(address) & full(address).checked_shl(host.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).unwrap().0
    }

    #[test]
    fn host_bits_are_kept_beside_the_subnet() {
        let (subnet, address) = Subnet::parse("192.168.10.1/24").unwrap();
        assert_eq!(
            (subnet.to_string(), address.to_string()),
            ("192.168.10.0/24".into(), "192.168.10.1".into())
        );
        assert_eq!(Subnet::parse("fd00::1/64").unwrap().0.to_string(), "fd00::/64");
    }

    #[test]
    fn texts_that_are_not_subnets() {
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "x/8",
            "::/129",
            "0.0.0.0/0",
            "127.0.0.0/8",
            "224.0.0.0/24",
        ] {
            assert!(Subnet::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bounds_and_overlaps() {
        let small = subnet("10.1.2.0/30");
        assert_eq!(small.last().to_string(), "10.1.2.3");
        assert_eq!(small.nth(3).unwrap().to_string(), "10.1.2.3");
        assert_eq!(small.nth(4), None);
        assert!(small.overlaps(&subnet("10.0.0.0/8")) && subnet("10.0.0.0/8").overlaps(&small));
        assert!(!small.overlaps(&subnet("10.1.2.4/30")));
        assert!(!small.overlaps(&subnet("fd00::/8")));
        let all = subnet("fd00::/1");
        assert_eq!(
            all.last(),
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse::<IpAddr>().unwrap()
        );
        assert_eq!(all.nth(u128::MAX), None);
    }
}
