//! Which rules of ours nf_tables has, by their handles. The same handles are the same rules,
//! whatever others did to theirs.

use std::fmt::Write;

use super::Family;
use super::message::Table;
use crate::error::Result;

/// A chain of a table: ours, or one of the kernel's in which only the rule that leads to ours counts.
pub struct Chain<'a> {
    pub table: &'a str,
    pub name: &'a str,
    pub leading_to: Option<&'a str>,
}

/// The handles of all rules of ours, as text.
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
                if chain.leading_to.is_none_or(|target| rule.leads_to(target)) {
                    let _ = write!(text, ":{:x}", rule.handle);
                }
            }
            text.push(' ');
        }
    }
    Ok(text)
}
