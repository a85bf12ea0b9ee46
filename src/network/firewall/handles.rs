//! The handles of mydocker's rules in nf_tables, as a text. A rule keeps its handle until the rule
//! is deleted, and a table gives no handle twice. So two equal texts mean that no rule of mydocker
//! has changed, unless a program has deleted the whole table and made it again. Changes of other
//! programs' rules do not change the text. This file only reads, through `message`; `nftables` and
//! `iptables` make the rules.

use std::fmt::Write;

use super::message::Table;
use crate::error::Result;
use crate::network::subnet::Family;

/// A chain whose rules are listed. If `leading_to` is set, the chain is the host's, and only its
/// rules that jump to mydocker's chain `leading_to` are listed.
pub struct Chain<'a> {
    pub table: &'a str,
    pub name: &'a str,
    pub leading_to: Option<&'a str>,
}

/// Returns the handles of all rules of mydocker in `chains`, as text.
pub fn of(chains: &[Chain<'_>], ipv6: bool) -> Result<String> {
    let mut text = String::new();
    for (family, digit) in
        [(Family::V4, 4), (Family::V6, 6)].into_iter().take(1 + usize::from(ipv6))
    {
        for chain in chains {
            // Writing to a String can't fail.
            let _ = write!(text, "{digit}/{}/{}", chain.table, chain.name);
            let table = Table { family, name: chain.table };
            for rule in table.rules(chain.name)? {
                if chain.leading_to.is_none_or(|target| rule.mentions(target)) {
                    let _ = write!(text, ":{:x}", rule.handle);
                }
            }
            text.push(' ');
        }
    }
    Ok(text)
}
