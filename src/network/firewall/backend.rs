//! The interface of the two back ends, `iptables` and `nftables`, that put rules into the kernel.
//!
//! A back end holds no state: what the rules are is data (`rules`), and which back end is used,
//! when, and what a kill in the middle means is decided in `firewall`.

use std::fmt;
use std::str::FromStr;

use super::rules::{PortRule, Rules};
use crate::error::{Error, Result, fail};

/// The available back ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    Iptables,
    Nftables,
}

impl BackendKind {
    /// The name in `--firewall`.
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

/// One way to get rules into the kernel.
pub trait Backend {
    /// Which back end this is.
    fn kind(&self) -> BackendKind;
    /// A sentence about what the host lacks for this backend.
    fn lack(&self) -> Option<String>;
    /// A text that changes whenever anyone changes a rule. It is cheap to get.
    fn stamp(&self, ipv6: bool) -> Option<String>;
    /// A text that changes whenever anyone changes a rule of mydocker. It costs more.
    fn fingerprint(&self, ipv6: bool) -> Option<String>;
    /// Replaces all rules of this state root.
    fn rebuild(&self, rules: &Rules) -> Result<()>;
    /// Adds rules. If it fails, nothing has changed.
    fn add(&self, ports: &[PortRule]) -> Result<()>;
    /// Removes exactly the rules that `add` added. If it fails, nothing has changed.
    fn remove(&self, ports: &[PortRule]) -> Result<()>;
    /// Removes every rule of this state root.
    fn erase(&self) -> Result<()>;
    /// The present rules, one line each, as the host's tool prints them.
    fn show(&self) -> Result<Vec<String>>;
}
