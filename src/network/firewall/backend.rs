//! The interface of the two back ends, `iptables` and `nftables`, that put rules into the kernel.
//!
//! A back end holds no state. `rules` has the rules as data. `firewall` decides which back end
//! makes them and when, and repairs the rules after a kill in the middle of a change.

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
    /// A sentence about what the host lacks for this back end; `None` if it lacks nothing.
    fn shortcoming(&self) -> Option<String>;
    /// A text that changes whenever any program changes any rule. Cheap to compute. `None` if
    /// unknown.
    fn stamp(&self, ipv6: bool) -> Option<String>;
    /// A text that changes whenever any program changes a rule of mydocker. Costs more than
    /// `stamp`. `None` if unknown.
    fn fingerprint(&self, ipv6: bool) -> Option<String>;
    /// Replaces all rules of this state root.
    fn rebuild(&self, rules: &Rules) -> Result<()>;
    /// Adds rules. After an error, make all rules again: iptables may have changed IPv4 before IPv6
    /// failed.
    fn add(&self, ports: &[PortRule]) -> Result<()>;
    /// Removes exactly the rules that `add` added. After an error, make all rules again, as for
    /// `add`.
    fn remove(&self, ports: &[PortRule]) -> Result<()>;
    /// Removes every rule of this state root.
    fn erase(&self) -> Result<()>;
    /// The present rules, one per line, as the host's tool prints them. With iptables these are all
    /// rules of the host, not only those of this state root.
    fn show(&self) -> Result<Vec<String>>;
}
