//! Chooses the subnets of a new network, with their gateways and ranges: those that the user named,
//! otherwise free ones.
//!
//! A subnet is free if it overlaps neither another network nor a route of the host. A route that is
//! wider than every block of private addresses does not count, because it works as a default route,
//! such as the pair 0.0.0.0/1 and 128.0.0.0/1 of a VPN.

use std::net::IpAddr;

use miniserde::{Deserialize, Serialize};

use super::link::Route;
use super::naming::{is_default_root, root_hash};
use super::subnet::{Family, Subnet};
use crate::address::Ip;
use crate::error::{Result, fail};
use crate::hex::random_digits;
use crate::store::Roots;

/// A subnet of a network, and the part of its addresses that containers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    pub subnet: Subnet,
    /// The bridge's address. If the network has no bridge, or the bridge gets no IPv4 address
    /// (`INHIBIT_IPV4`), the address of a router.
    pub gateway: Ip,
    /// `--ip-range`: mydocker chooses addresses only from this range. A user can choose others.
    pub range: Option<Subnet>,
}

/// The options of `network create` about subnets.
#[derive(Clone, Debug, Default)]
pub struct PoolOptions {
    pub ipv6: bool,
    /// Pairs of a subnet and its address as written, which may have host bits.
    pub subnets: Vec<(Subnet, IpAddr)>,
    pub gateways: Vec<IpAddr>,
    pub ranges: Vec<Subnet>,
}

/// The pools of a new network: one of IPv4, and one of IPv6 if requested. `others` are the names
/// and subnets of the other networks. If the network `shares_subnet` with the parent's LAN, a route
/// of the host to the user's subnet is no conflict. Fails if an option is bad or a subnet is not
/// free.
pub fn plan(
    roots: &Roots,
    options: &PoolOptions,
    others: &[(&str, Subnet)],
    routes: &[Route],
    shares_subnet: bool,
) -> Result<Vec<Pool>> {
    let mut pools = Vec::new();
    for &(subnet, written) in &options.subnets {
        if pools.iter().any(|pool: &Pool| pool.subnet.family() == subnet.family()) {
            fail!("--subnet {subnet}: a network has one subnet of each family");
        }
        if subnet.family() == Family::V6 && !options.ipv6 {
            fail!("--subnet {subnet} is of IPv6: give --ipv6 too");
        }
        let of_host = if shares_subnet { &[] } else { routes };
        if let Some(conflict) = conflict(&subnet, others, of_host) {
            fail!("--subnet {subnet} overlaps {conflict}; choose another");
        }
        pools.push(around(subnet, written, options)?);
    }
    if !pools.iter().any(|pool| pool.subnet.family() == Family::V4) {
        let subnet = choose(roots, ipv4_candidates(), others, routes)?;
        pools.insert(0, around(subnet, subnet.first(), options)?);
    }
    if options.ipv6 && pools.iter().all(|pool| pool.subnet.family() == Family::V4) {
        let subnet = choose(roots, ipv6_candidates()?, others, routes)?;
        pools.push(around(subnet, subnet.first(), options)?);
    }
    for address in options.gateways.iter().copied().chain(options.ranges.iter().map(Subnet::first))
    {
        if !pools.iter().any(|pool| pool.subnet.contains(address)) {
            fail!("{address} lies in no subnet of the network");
        }
    }
    Ok(pools)
}

/// A subnet with its gateway and range. The gateway is the address of `--gateway`. Without the
/// option, the gateway is the address as written if it has host bits, otherwise the second address
/// of the subnet.
fn around(subnet: Subnet, written: IpAddr, options: &PoolOptions) -> Result<Pool> {
    let host_bits = subnet.family().width() - subnet.prefix();
    if host_bits < 2 {
        fail!("subnet {subnet} is too small for a gateway and a container");
    }
    let given = options.gateways.iter().copied().find(|&gateway| subnet.contains(gateway));
    let gateway = match given {
        Some(gateway) => gateway,
        None if written != subnet.first() => written,
        // The subnet has at least four addresses, so this never fails.
        None => subnet.nth(1).unwrap_or(written),
    };
    if gateway == subnet.first() || (subnet.family() == Family::V4 && gateway == subnet.last()) {
        fail!("gateway {gateway} is not a host address of subnet {subnet}");
    }
    let range = options.ranges.iter().copied().find(|range| range.overlaps(&subnet));
    if let Some(range) = range
        && range.prefix() < subnet.prefix()
    {
        fail!("--ip-range {range} is larger than its subnet {subnet}");
    }
    Ok(Pool { subnet, gateway: Ip(gateway), range })
}

fn conflict(subnet: &Subnet, others: &[(&str, Subnet)], routes: &[Route]) -> Option<String> {
    if let Some((name, other)) = others.iter().find(|(_, other)| other.overlaps(subnet)) {
        return Some(format!("network {name}, which has {other}"));
    }
    let mut taken = routes.iter().filter_map(|route| route.to).filter(|to| !is_wide(to));
    taken.find(|to| to.overlaps(subnet)).map(|to| format!("the host's route to {to}"))
}

/// Whether a route is wider than the widest private block of its family: 10.0.0.0/8 (RFC 1918) or
/// fc00::/7 (RFC 4193).
fn is_wide(route: &Subnet) -> bool {
    route.prefix()
        < match route.family() {
            Family::V4 => 8,
            Family::V6 => 7,
        }
}

/// The first free candidate. Fails if no candidate is free. For a state root other than the default
/// one, the search starts at a place in the list that is derived from the root's path: two roots
/// that choose at the same moment don't see each other's choice, and should not choose the same
/// subnet.
fn choose(
    roots: &Roots,
    candidates: Vec<Subnet>,
    others: &[(&str, Subnet)],
    routes: &[Route],
) -> Result<Subnet> {
    let start =
        if is_default_root(roots) { 0 } else { root_hash(roots) as usize % candidates.len() };
    let (before, after) = candidates.split_at(start);
    let free = after.iter().chain(before).find(|subnet| conflict(subnet, others, routes).is_none());
    match free {
        Some(subnet) => Ok(*subnet),
        None => fail!(
            "no free subnet is left: the host's routes and other networks use them all; choose a \
             subnet yourself: network create --subnet 192.168.200.0/24 NAME"
        ),
    }
}

/// 172.18.0.0 to 172.31.255.255 and 10.128.0.0 to 10.255.255.255, as /20 subnets of 4,094 hosts.
/// Home routers use 192.168, and other engines 172.17 and 10.88.
fn ipv4_candidates() -> Vec<Subnet> {
    let piece = |base: u32| Subnet::around(IpAddr::V4(base.into()), 20);
    let twelve = (0xac12_0000u32..0xac20_0000).step_by(4096).map(piece);
    twelve.chain((0x0a80_0000u32..0x0b00_0000).step_by(4096).map(piece)).collect()
}

/// Random unique local subnets, each a /64 (RFC 4193).
fn ipv6_candidates() -> Result<Vec<Subnet>> {
    let random = random_digits()?;
    let piece = |at: usize| {
        // The text is hexadecimal digits, so this never fails.
        let bits = u64::from_str_radix(&random[at..at + 12], 16).unwrap_or(0);
        let base = u128::from(0xfd00_0000_0000_0000 | bits << 8) << 64;
        Subnet::around(IpAddr::V6(base.into()), 64)
    };
    Ok((0..4).map(|at| piece(at * 12)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(subnet: &str, gateway: Option<&str>, range: Option<&str>) -> PoolOptions {
        PoolOptions {
            subnets: vec![Subnet::parse(subnet).unwrap()],
            gateways: gateway.map(|text| text.parse().unwrap()).into_iter().collect(),
            ranges: range.map(|text| Subnet::parse(text).unwrap().0).into_iter().collect(),
            ..PoolOptions::default()
        }
    }

    fn pool_of(options: &PoolOptions) -> Result<Pool> {
        let (subnet, written) = options.subnets[0];
        around(subnet, written, options)
    }

    #[test]
    fn gateways_are_given_or_written_or_first() {
        let gateway =
            |subnet, gateway| pool_of(&options(subnet, gateway, None)).unwrap().gateway.to_string();
        assert_eq!(gateway("10.1.2.0/24", None), "10.1.2.1");
        assert_eq!(gateway("10.1.2.7/24", None), "10.1.2.7");
        assert_eq!(gateway("10.1.2.7/24", Some("10.1.2.9")), "10.1.2.9");
        assert_eq!(gateway("fd00::/64", None), "fd00::1");
        assert!(pool_of(&options("10.1.2.0/24", Some("10.1.2.255"), None)).is_err());
        assert!(pool_of(&options("10.1.2.0/31", None, None)).is_err());
        assert!(pool_of(&options("10.1.2.0/24", None, Some("10.1.2.0/16"))).is_err());
    }

    #[test]
    fn an_overlap_names_the_other_network() {
        let others = [("web", Subnet::parse("10.1.0.0/16").unwrap().0)];
        let route = Route { to: Some(Subnet::parse("10.9.0.0/16").unwrap().0), link: Some(2) };
        let wide = ["0.0.0.0/1", "128.0.0.0/1", "8.0.0.0/7"].map(|text| {
            let (base, prefix) = text.split_once('/').unwrap();
            Some(Subnet::around(base.parse().unwrap(), prefix.parse().unwrap()))
        });
        let mut routes = vec![route, Route { to: None, link: Some(2) }];
        routes.extend(wide.map(|to| Route { to, link: Some(3) }));
        let conflict_with =
            |subnet: &str| conflict(&Subnet::parse(subnet).unwrap().0, &others, &routes);
        assert_eq!(conflict_with("10.1.5.0/24").unwrap(), "network web, which has 10.1.0.0/16");
        assert_eq!(conflict_with("10.0.0.0/8").unwrap(), "network web, which has 10.1.0.0/16");
        assert_eq!(conflict_with("10.9.1.0/24").unwrap(), "the host's route to 10.9.0.0/16");
        assert_eq!(conflict_with("10.2.0.0/16"), None);
    }

    #[test]
    fn candidates_are_distinct_subnets() {
        let candidates = ipv4_candidates();
        assert_eq!(candidates.len(), 224 + 2048);
        assert_eq!(candidates[0].to_string(), "172.18.0.0/20");
        assert_eq!(candidates[224].to_string(), "10.128.0.0/20");
        let ipv6 = ipv6_candidates().unwrap();
        assert!(ipv6.iter().all(|subnet| subnet.to_string().starts_with("fd")), "{ipv6:?}");
    }
}
