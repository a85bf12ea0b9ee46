//! Flows of datagrams that the kernel tracks, by ctnetlink (linux/netfilter/nfnetlink_conntrack.h).
//!
//! The kernel applies rules of address translation to the first packet of a flow only. A client
//! that sent datagrams to a port before it was published, and never paused, would never reach the
//! container; nor would a client of a container that had another address then. So the flows to a
//! port are deleted when it is published. TCP needs none of this, because its connections end.

use std::net::IpAddr;

use rustix::io::Errno;

use super::firewall::rules::PortRule;
use super::link;
use super::subnet::Family;
use crate::error::Result;
use crate::port::Protocol;
use crate::sys::netlink::{self, Batch, DUMP, NESTED, Socket, attribute};

/// IPCTNL_MSG_CT_GET and IPCTNL_MSG_CT_DELETE. libc has neither these numbers nor the attributes.
const GET: u16 = (libc::NFNL_SUBSYS_CTNETLINK << 8) as u16 | 1;
const DELETE: u16 = (libc::NFNL_SUBSYS_CTNETLINK << 8) as u16 | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
/// Filters by protocol and destination port (Linux 5.8).
const FILTER_PROTOCOL_AND_PORT: u32 = 1 << 3 | 1 << 5;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const UDP: u8 = libc::IPPROTO_UDP as u8;

/// Deletes the flows of datagrams to published ports.
pub fn forget(host: &mut Socket, rules: &[PortRule]) -> Result<()> {
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

/// The original tuples of the flows to a port, whatever their destination's address.
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
        // The kernel has no ctnetlink (CONFIG_NF_CT_NETLINK): a flow reaches the port after a
        // pause.
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
        // The flow ended just now.
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(()),
        result => result,
    }
}

/// struct nfgenmsg
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
