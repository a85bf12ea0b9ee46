//! The interface of the two back ends, `iptables` and `nftables`, that put rules into the kernel.
//!
//! A back end does not remember the rules. `rules` has the rules as data. `firewall` decides which
//! back end makes the rules and when, and repairs the rules after a kill in the middle of a change.

use std::fmt;
use std::str::FromStr;

use super::rules::{PortRule, Rules};
use crate::error::{Error, Result, fail};

/// The two back ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    Iptables,
    Nftables,
}

impl BackendKind {
    /// The value of `--firewall` that chooses this back end.
    pub fn name(self) -> &'static str {
        match self {
            BackendKind::Iptables => "iptables",
            BackendKind::Nftables => "nftables",
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BackendKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<BackendKind> {
        match text {
            "iptables" => Ok(BackendKind::Iptables),
            "nftables" => Ok(BackendKind::Nftables),
            _ => fail!("unknown firewall '{text}'; known: auto iptables nftables"),
        }
    }
}

/// A back end: one way to put rules into the kernel.
pub trait Backend {
    /// Which back end this is.
    fn kind(&self) -> BackendKind;
    /// A sentence about what the host lacks for this back end. `None` if the back end finds no
    /// lack.
    fn shortcoming(&self) -> Option<String>;
    /// A text that changes when a program changes the rules in the kernel. With legacy iptables,
    /// the text has only the number and the size of the rules, so it can miss a change. Cheap to
    /// compute. `None` if unknown.
    fn stamp(&self, ipv6: bool) -> Option<String>;
    /// A text that changes when a program changes a rule of mydocker. Costs more than `stamp`.
    /// `None` if unknown.
    fn fingerprint(&self, ipv6: bool) -> Option<String>;
    /// Replaces all rules of this state root.
    fn rebuild(&self, rules: &Rules) -> Result<()>;
    /// Adds rules. After an error, the caller must make all rules again: iptables may have changed
    /// IPv4 before IPv6 failed.
    fn add(&self, ports: &[PortRule]) -> Result<()>;
    /// Removes the rules of `ports`, which must be all ports of one container. After an error, the
    /// caller must make all rules again, as for `add`.
    fn remove(&self, ports: &[PortRule]) -> Result<()>;
    /// Removes the rules of this state root.
    fn erase(&self) -> Result<()>;
    /// The present rules, as the host's tool prints them. iptables prints the rules of other
    /// programs too.
    fn show(&self) -> Result<Vec<ShownRule>>;
}

/// A rule as the host's tool prints it, and its place among the chains. The names of chains here
/// include the family and the table.
pub struct ShownRule {
    pub text: String,
    pub chain: String,
    /// The chain of mydocker to which the rule leads packets.
    pub leads_to: Option<String>,
    /// Whether the rule is for the packets of every bridge with mydocker's prefix.
    pub is_common: bool,
}

/// Keeps the rules with one of the words `wanted`, those that are for every bridge, and the rules
/// that lead packets to a kept rule. If no rule has a wanted word, returns an empty list.
pub fn only_about(rules: Vec<ShownRule>, wanted: &[String]) -> Vec<String> {
    let names = |rule: &ShownRule| wanted.iter().any(|name| rule.text.contains(name.as_str()));
    if !rules.iter().any(names) {
        return Vec::new();
    }
    let mut kept: Vec<bool> = rules.iter().map(|rule| names(rule) || rule.is_common).collect();
    // The chains of kept rules. The loop below looks for the rules that jump to each chain. No rule
    // is kept twice, so the loop ends even if chains jump in a circle.
    let mut chains: Vec<&str> = Vec::new();
    for (rule, _) in rules.iter().zip(&kept).filter(|(_, kept)| **kept) {
        if !chains.contains(&rule.chain.as_str()) {
            chains.push(&rule.chain);
        }
    }
    while let Some(chain) = chains.pop() {
        for (rule, kept) in rules.iter().zip(&mut kept) {
            if !*kept && rule.leads_to.as_deref() == Some(chain) {
                *kept = true;
                chains.push(&rule.chain);
            }
        }
    }
    rules.into_iter().zip(kept).filter_map(|(rule, kept)| kept.then_some(rule.text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_lead_to_a_wanted_rule_are_kept() {
        let rule = |chain: &str, leads_to: Option<&str>, text: &str| ShownRule {
            text: text.to_owned(),
            chain: chain.to_owned(),
            leads_to: leads_to.map(str::to_owned),
            is_common: text.starts_with("every"),
        };
        let rules = || {
            vec![
                rule("nat PREROUTING", Some("nat OUTER"), "a"),
                rule("nat OUTER", Some("nat INNER"), "b"),
                rule("nat OUTER", Some("nat OTHER"), "c"),
                rule("nat INNER", None, "d web"),
                rule("nat INNER", None, "e"),
                rule("nat INPUT", None, "every bridge"),
            ]
        };
        let about = only_about(rules(), &["web".to_owned()]);
        assert_eq!(about, ["a", "b", "d web", "every bridge"]);
        assert!(only_about(rules(), &["none".to_owned()]).is_empty());
    }
}
