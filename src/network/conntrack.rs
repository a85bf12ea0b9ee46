//! UDP flows in the kernel's connection tracking, over ctnetlink
//! (linux/netfilter/nfnetlink_conntrack.h).
//!
//! The kernel applies NAT rules only to the first packet of a flow. If a client sends datagrams to
//! a port before the port is published and never pauses, its flow never reaches the container. The
//! same holds for a flow to a container's former address. So publishing a port deletes the flows to
//! the port. TCP needs no such step, because a new TCP connection is a new flow.

use std::net::IpAddr;

use rustix::io::Errno;

use super::firewall::rules::PortRule;
use super::link;
use super::subnet::Family;
use crate::error::Result;
use crate::port::Protocol;
use crate::sys::netlink::{self, Batch, DUMP, NESTED, Socket, attribute};

/// IPCTNL_MSG_CT_GET and IPCTNL_MSG_CT_DELETE. The crates libc and linux-raw-sys lack these
/// messages and their attributes.
const GET: u16 = (libc::NFNL_SUBSYS_CTNETLINK << 8) as u16 | 1;
const DELETE: u16 = (libc::NFNL_SUBSYS_CTNETLINK << 8) as u16 | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
/// The flags that filter a dump by protocol and destination port (Linux 5.8).
const FILTER_PROTOCOL_AND_PORT: u32 = 1 << 3 | 1 << 5;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const UDP: u8 = libc::IPPROTO_UDP as u8;

/// Deletes the UDP flows to the published ports of `rules`.
pub fn delete_flows(host: &mut Socket, rules: &[PortRule]) -> Result<()> {
    let mut rules = rules.iter().filter(|rule| rule.protocol == Protocol::Udp).peekable();
    if rules.peek().is_none() {
        return Ok(());
    }
    let ours = link::addresses(host)?;
    let mut socket = Socket::new(netlink::Family::Netfilter)?;
    for rule in rules {
        for tuple in flows(&mut socket, rule)? {
            let is_ours = match destination(&tuple) {
                Some(to) if rule.from.ip().is_unspecified() => ours.contains(&to),
                Some(to) => to == rule.from.ip(),
                None => false,
            };
            if is_ours {
                delete(&mut socket, rule, &tuple)?;
            }
        }
    }
    Ok(())
}

/// The original tuples of the UDP flows to the rule's port, on any address of the rule's family.
fn flows(socket: &mut Socket, rule: &PortRule) -> Result<Vec<Vec<u8>>> {
    let mut batch = Batch::default();
    let doing = format!("list flows to port {}", rule.from.port());
    batch.begin(GET, DUMP, &header(rule), doing);
    batch.nest(CTA_TUPLE_ORIG, |batch| {
        batch.nest(CTA_TUPLE_PROTO, |batch| {
            batch.attribute(CTA_PROTO_NUM, &[UDP]);
            batch.attribute(CTA_PROTO_DST_PORT, &rule.from.port().to_be_bytes());
        });
    });
    batch.nest(CTA_FILTER, |batch| {
        batch.attribute(CTA_FILTER_ORIG_FLAGS, &FILTER_PROTOCOL_AND_PORT.to_ne_bytes());
    });
    let answers = match socket.ask(batch) {
        // The kernel has no ctnetlink (CONFIG_NF_CT_NETLINK). Then the datagrams of an old flow
        // reach the container only after the flow has timed out.
        Err(error) if error.errno() == Some(Errno::INVAL) => return Ok(Vec::new()),
        answers => answers?,
    };
    let tuples = answers
        .into_iter()
        .filter_map(|answer| Some(attribute(answer.payload.get(4..)?, CTA_TUPLE_ORIG)?.to_vec()));
    Ok(tuples.filter(|tuple| is_to(tuple, rule.from.port())).collect())
}

fn delete(socket: &mut Socket, rule: &PortRule, tuple: &[u8]) -> Result<()> {
    let mut batch = Batch::default();
    let doing = format!("delete a flow to port {}", rule.from.port());
    batch.begin(DELETE, 0, &header(rule), doing);
    batch.attribute(CTA_TUPLE_ORIG | NESTED, tuple);
    match socket.send(batch) {
        // The flow has just ended.
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(()),
        result => result,
    }
}

/// The header of a ctnetlink message: struct nfgenmsg.
fn header(rule: &PortRule) -> [u8; 4] {
    [Family::of(rule.from.ip()).number(), 0, 0, 0]
}

fn is_to(tuple: &[u8], port: u16) -> bool {
    let Some(protocol) = attribute(tuple, CTA_TUPLE_PROTO) else { return false };
    attribute(protocol, CTA_PROTO_NUM) == Some(&[UDP])
        && attribute(protocol, CTA_PROTO_DST_PORT) == Some(&port.to_be_bytes())
}

fn destination(tuple: &[u8]) -> Option<IpAddr> {
    let addresses = attribute(tuple, CTA_TUPLE_IP)?;
    let found = attribute(addresses, CTA_IP_V4_DST).or_else(|| attribute(addresses, CTA_IP_V6_DST));
    link::address_of(found?)
}
