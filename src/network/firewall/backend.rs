//! The interface of the two back ends, `iptables` and `nftables`, that put rules into the kernel.
//!
//! A back end holds no state: what the rules are is data (`rules`), and which back end is used, when,
//! and what a kill in the middle means is decided in `firewall`.

use super::rules::{PortRule, Rules};
use crate::error::Result;

/// One way to get rules into the kernel.
pub trait Backend {
    /// As `--firewall` names it.
    fn name(&self) -> &'static str;
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
}
