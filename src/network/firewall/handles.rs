//! Which rules of ours nf_tables has, by their handles: numbers that the kernel gives a rule for its
//! life and never again (linux/netfilter/nf_tables.h). The same handles are the same rules, whatever
//! others did to theirs.

use std::fmt::Write;

use crate::error::Result;
use crate::sys::netlink::{Batch, DUMP, NETFILTER, Socket, attribute};

/// NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE
const GET_RULES: u16 = 10 << 8 | 7;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// A chain of a table: ours, or one of the kernel's in which only the rule that leads to ours counts.
pub struct Chain<'a> {
    pub table: &'a str,
    pub name: &'a str,
    pub leading_to: Option<&'a str>,
}

/// The handles of all rules of ours, as text.
pub fn of(chains: &[Chain<'_>], ipv6: bool) -> Result<String> {
    let mut socket = Socket::new(Some(NETFILTER))?;
    let mut text = String::new();
    for family in [AF_INET, AF_INET6].into_iter().take(if ipv6 { 2 } else { 1 }) {
        for chain in chains {
            // Writing to a String can't fail.
            let _ = write!(text, "{family}/{}/{}", chain.table, chain.name);
            push_handles(&mut socket, family, chain, &mut text)?;
            text.push(' ');
        }
    }
    Ok(text)
}

fn push_handles(
    socket: &mut Socket,
    family: u8,
    chain: &Chain<'_>,
    text: &mut String,
) -> Result<()> {
    let mut batch = Batch::default();
    // struct nfgenmsg
    let doing = format!("list the rules of chain {}", chain.name);
    batch.begin(GET_RULES, DUMP, &[family, 0, 0, 0], doing);
    batch.text(NFTA_RULE_TABLE, chain.table);
    batch.text(NFTA_RULE_CHAIN, chain.name);
    for answer in socket.ask(batch)? {
        let leads = chain.leading_to.is_none_or(|target| names(&answer.payload, target));
        let handle = answer.payload.get(4..).and_then(|rest| attribute(rest, NFTA_RULE_HANDLE));
        if let Some(handle) = handle.filter(|_| leads) {
            let digits = handle.iter().skip_while(|byte| **byte == 0);
            text.push(':');
            digits.for_each(|byte| {
                let _ = write!(text, "{byte:02x}");
            });
        }
    }
    Ok(())
}

/// Whether a rule has the chain's name in it: nothing but a jump has.
fn names(rule: &[u8], chain: &str) -> bool {
    let name: Vec<u8> = chain.bytes().chain([0]).collect();
    rule.windows(name.len()).any(|part| part == name)
}
