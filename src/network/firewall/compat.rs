//! The rules of published ports in the form in which iptables-nft writes them: matches and the
//! target of xtables, which nft_compat of the kernel executes (linux/netfilter/nf_tables_compat.h).
//!
//! The module `iptables` sends these rules over netlink, because a run of iptables-restore takes
//! milliseconds, and even longer after a deletion: the tool's end waits for an RCU grace period
//! (`sys::netfilter`). iptables-nft lists a rule of this form as its own. A match of xtables
//! compares the port, because versions of iptables-nft before 1.8.8 cannot read a port from an
//! expression of nf_tables.

use std::net::IpAddr;

use super::expression::{number, protocol_number};
use super::message::{Change, Table};
use super::rules::PortRule;
use crate::network::subnet::{Family, Subnet};

/// The size of a match's or a target's options is a multiple of this (XT_ALIGN).
const ALIGNMENT: usize = 8;
/// The size of struct xt_comment_info, a text with its NUL.
const COMMENT_SIZE: usize = 256;

/// Adds the rule of a port to the end of `chain`: as `iptables -A CHAIN [-d ADDRESS] -p PROTOCOL -m
/// PROTOCOL --dport PORT -m comment --comment OWNER -j DNAT --to-destination ADDRESS:PORT`.
pub fn add_port(change: &mut Change, table: Table<'_>, chain: &str, port: &PortRule) {
    let name = port.protocol.name();
    change.add_rule(table, chain, None, |rule| {
        let address = port.from.ip();
        if !address.is_unspecified() {
            rule.daddr(&Subnet::around(address, Family::of(address).width()));
        }
        rule.protocol(port.protocol)
            .xtables("match", name, 0, &ports(port.from.port()))
            .xtables("match", "comment", 0, &comment(&port.owner))
            .counter()
            .xtables("target", "DNAT", 2, &dnat(port));
    });
    // The kernel compares this protocol with the one that the match `tcp` or `udp` needs.
    const NFTA_RULE_COMPAT: u16 = 5;
    const NFTA_RULE_COMPAT_PROTO: u16 = 1;
    const NFTA_RULE_COMPAT_FLAGS: u16 = 2;
    let protocol = u32::from(protocol_number(port.protocol));
    change.extend_rule(NFTA_RULE_COMPAT, |batch| {
        number(batch, NFTA_RULE_COMPAT_PROTO, protocol);
        number(batch, NFTA_RULE_COMPAT_FLAGS, 0);
    });
}

/// struct xt_tcp and struct xt_udp: any source port, one destination port. The rest of both structs
/// is zero.
fn ports(port: u16) -> Vec<u8> {
    aligned([0, u16::MAX, port, port].iter().flat_map(|port| port.to_ne_bytes()).chain([0]))
}

/// struct xt_comment_info.
fn comment(text: &str) -> Vec<u8> {
    let mut comment: Vec<u8> = text.bytes().take(COMMENT_SIZE - 1).collect();
    comment.resize(COMMENT_SIZE, 0);
    comment
}

/// struct nf_nat_range2: one address and one port.
fn dnat(port: &PortRule) -> Vec<u8> {
    const MAP_IPS_AND_PROTO_SPECIFIED: u32 = 1 | 2;
    let mut address = [0; 16];
    match port.to.ip() {
        IpAddr::V4(ip) => address[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => address = ip.octets(),
    }
    let to = port.to.port().to_be_bytes();
    let base = [0; 2];
    let range = MAP_IPS_AND_PROTO_SPECIFIED.to_ne_bytes().into_iter().chain(address).chain(address);
    aligned(range.chain(to).chain(to).chain(base))
}

fn aligned(bytes: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut bytes: Vec<u8> = bytes.collect();
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes
}
