//! Rules by nf_tables directly, over netlink. This back end runs no program, except that `show`
//! runs nft(8).
//!
//! Each family that is used has one table, `mydocker` with the state root's suffix (`nft list table
//! ip mydocker`). Each change of a table is one batch. The kernel modules of this back end are
//! nf_tables, nft_ct, nft_chain_nat, nft_nat, nft_masq, nft_fib, nft_fib_ipv4 and, for IPv6,
//! nft_fib_ipv6. The module `conntrack` of mydocker needs nf_conntrack_netlink. The kernel loads
//! missing modules by modprobe.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use super::backend::{Backend, BackendKind, ShownRule};
use super::expression::{Flow, Links};
use super::handles;
use super::message::{Change, FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING, Table, is_lack};
use super::rules::{NetworkRules, PortRule, Rules};
use crate::error::{Context, Result, fail};
use crate::network::naming::BRIDGE_PREFIX;
use crate::network::subnet::{Family, Subnet};
use crate::sys::{netfilter, trace};

/// Every bridge with mydocker's prefix, of any state root.
const OURS: Links<'_> = Links::Beginning(BRIDGE_PREFIX);
const CHAINS: [&str; 6] = ["forward", "input", "ports", "prerouting", "output", "postrouting"];

/// The back end that sends netlink messages to nf_tables. The chains of its tables:
///
/// - `forward`: drops packets between networks. From elsewhere, only answers and packets to a
///   published port pass into a network.
/// - `ports`, from `prerouting` and `output`: translates packets to published ports; one rule per
///   port, with the container's id as the rule's comment. Only packets to the host itself reach
///   this chain.
/// - `postrouting`: masquerades packets that leave the host, and packets to a published port whose
///   answer would otherwise bypass the host.
/// - `input`: keeps containers off the host's loopback.
///
/// At a hook, a packet passes the chains of all tables in the order of the chains' priorities. If
/// one chain drops a packet, no other chain can accept the packet. So an administrator can filter
/// in a chain of another table (for example `type filter hook forward priority -10`). But if
/// another table drops forwarded packets, as the policy of Docker or ufw does, no rule here can let
/// the packets pass. On such a host use the back end `iptables`: its rules are in the same chains
/// as those of the other programs.
pub struct Nftables {
    table: String,
}

impl Nftables {
    /// The back end for the state root whose chains have this suffix.
    pub fn new(suffix: &str) -> Nftables {
        Nftables { table: format!("mydocker{suffix}") }
    }

    fn table(&self, family: Family) -> Table<'_> {
        Table { family, name: &self.table }
    }

    /// Adds all rules of a family to the change.
    fn push_everything(&self, change: &mut Change, family: Family, rules: &Rules) {
        let table = self.table(family);
        change.make_table(table);
        change.make_chain(table, "forward", Some(FORWARD));
        let bridges = || [OURS].into_iter().chain(rules.unprefixed().map(Links::Named));
        for network in rules.networks.iter().filter(|network| network.has(family)) {
            push_forward(change, table, network, bridges());
        }
        change.make_chain(table, "ports", None);
        change.make_chain(table, "prerouting", Some(PREROUTING));
        change.make_chain(table, "output", Some(OUTPUT));
        if family == Family::V4 {
            let loopback = loopback();
            // With `route_localnet` set, a container could otherwise send to the host's 127.0.0.1
            // and to ports that are published there (CVE-2020-8558).
            change.make_chain(table, "input", Some(INPUT));
            for bridge in bridges() {
                change.add_rule(table, "input", None, |rule| {
                    rule.iifname(bridge).daddr(&loopback).not_flow(Flow::Known).drop();
                });
                change.add_rule(table, "prerouting", None, |rule| {
                    rule.iifname(bridge).daddr(&loopback).leave();
                });
            }
        }
        for chain in ["prerouting", "output"] {
            change.add_rule(table, chain, None, |rule| rule.for_the_host().jump("ports"));
        }
        for port in rules.ports.iter().filter(|port| family.has(port.to.ip())) {
            push_port(change, table, port);
        }
        change.make_chain(table, "postrouting", Some(POSTROUTING));
        for network in rules.networks.iter().filter(|network| !network.internal) {
            push_snat(change, table, network);
        }
    }
}

fn push_forward<'a>(
    change: &mut Change,
    table: Table<'_>,
    network: &NetworkRules,
    bridges: impl Iterator<Item = Links<'a>>,
) {
    let bridge = Links::Named(&network.bridge);
    if network.has_neighbours {
        change.add_rule(table, "forward", None, |rule| {
            rule.iifname(bridge).oifname(bridge).accept();
        });
    } else if !network.internal {
        // Neighbours reach each other only by published ports.
        for flow in [Flow::Known, Flow::Dnat] {
            change.add_rule(table, "forward", None, |rule| {
                rule.iifname(bridge).oifname(bridge).flow(flow).accept();
            });
        }
    }
    if network.internal {
        change.add_rule(table, "forward", None, |rule| rule.iifname(bridge).drop());
        change.add_rule(table, "forward", None, |rule| rule.oifname(bridge).drop());
        return;
    }
    // The other bridge may belong to any state root.
    for other in bridges.filter(|other| *other != bridge) {
        change.add_rule(table, "forward", None, |rule| rule.iifname(bridge).oifname(other).drop());
        change.add_rule(table, "forward", None, |rule| rule.iifname(other).oifname(bridge).drop());
    }
    // Only answers and packets to a published port enter the network.
    for flow in [Flow::Known, Flow::Dnat] {
        change.add_rule(table, "forward", None, |rule| rule.oifname(bridge).flow(flow).accept());
    }
    change.add_rule(table, "forward", None, |rule| rule.oifname(bridge).drop());
}

fn push_port(change: &mut Change, table: Table<'_>, port: &PortRule) {
    trace::step("NFT_MSG_NEWRULE", || format!("{} to {}", port.from, port.to));
    change.add_rule(table, "ports", Some(&port.owner), |rule| {
        let address = port.from.ip();
        if !address.is_unspecified() {
            rule.daddr(&Subnet::around(address, Family::of(address).width()));
        }
        rule.dport(port.protocol, port.from.port()).dnat(port.to);
    });
}

fn push_snat(change: &mut Change, table: Table<'_>, network: &NetworkRules) {
    let bridge = Links::Named(&network.bridge);
    for subnet in network.subnets.iter().filter(|subnet| subnet.family() == table.family) {
        if network.masquerades {
            change.add_rule(table, "postrouting", None, |rule| {
                rule.saddr(subnet).oifname_not(bridge).masquerade();
            });
        }
        // A neighbour may use a published port (hairpin). Without this rule the container would
        // answer the neighbour directly, and the answer would not be translated.
        change.add_rule(table, "postrouting", None, |rule| {
            rule.saddr(subnet).oifname(bridge).flow(Flow::Dnat).masquerade();
        });
    }
    // The host may use a published port by 127.0.0.1. A container can't answer to 127.0.0.1.
    if table.family == Family::V4 {
        change.add_rule(table, "postrouting", None, |rule| {
            rule.saddr(&loopback()).oifname(bridge).masquerade();
        });
    }
}

fn loopback() -> Subnet {
    Subnet::around(Ipv4Addr::LOCALHOST.into(), 8)
}

impl Backend for Nftables {
    fn kind(&self) -> BackendKind {
        BackendKind::Nftables
    }

    fn shortcoming(&self) -> Option<String> {
        let example = Rules::example();
        let mut change = Change::new();
        self.push_everything(&mut change, Family::V4, &example);
        change
            .rehearse()
            .err()
            .filter(|error| is_lack(error.errno()))
            .map(|error| error.to_string())
    }

    fn stamp(&self, _ipv6: bool) -> Option<String> {
        netfilter::generation().map(|generation| format!("nft {generation}"))
    }

    fn fingerprint(&self, ipv6: bool) -> Option<String> {
        let chain = |name| handles::Chain { table: &self.table, name, leading_to: None };
        handles::of(&CHAINS.map(chain), ipv6).ok()
    }

    fn rebuild(&self, rules: &Rules) -> Result<()> {
        let mut change = Change::new();
        for family in [Family::V4, Family::V6] {
            let table = self.table(family);
            if family == Family::V4 || rules.has_ipv6() {
                // Deleting a missing table is an error, so make the table first.
                change.make_table(table);
                change.delete_table(table);
                self.push_everything(&mut change, family, rules);
            } else if table.exists() {
                change.delete_table(table);
            }
        }
        change.carry_out()
    }

    fn add(&self, ports: &[PortRule]) -> Result<()> {
        let mut change = Change::new();
        for port in ports {
            push_port(&mut change, self.table(Family::of(port.to.ip())), port);
        }
        change.carry_out()
    }

    fn remove(&self, ports: &[PortRule]) -> Result<()> {
        let mut change = Change::new();
        for family in [Family::V4, Family::V6] {
            change.delete_ports(self.table(family), "ports", ports)?;
        }
        change.carry_out()
    }

    fn show(&self) -> Result<Vec<ShownRule>> {
        let done = Command::new("nft").args(["list", "ruleset"]).stdin(Stdio::null()).output();
        let done = done.context(|| "run nft, of the package nftables, to show the rules")?;
        if !done.status.success() {
            fail!("nft list ruleset: {}", String::from_utf8_lossy(&done.stderr).trim_end());
        }
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let mut rules = Vec::new();
        let (mut ours, mut chain) = (String::new(), "");
        for line in text.lines().map(|line| line.trim().trim_end_matches(" {")) {
            if let Some(name) = line.strip_prefix("table ") {
                let is_ours = name.split(' ').next_back() == Some(&self.table);
                ours = if is_ours { name.to_owned() } else { String::new() };
            } else if let Some(name) = line.strip_prefix("chain ") {
                chain = name;
            } else if !ours.is_empty() && line != "}" {
                let place = |chain: &str| format!("{ours} {chain}");
                // Show the first line of a base chain (`type … hook …`) with any rule of the chain.
                let leads_to = match line.rsplit_once("jump ") {
                    Some((_, to)) => Some(place(to)),
                    None if line.starts_with("type ") => Some(place(chain)),
                    None => None,
                };
                rules.push(ShownRule {
                    text: format!("{ours} {chain} {line}"),
                    chain: place(chain),
                    leads_to,
                    is_common: line.starts_with(&format!(
                        "iifname \"{BRIDGE_PREFIX}*\" ip daddr 127.0.0.0/8 "
                    )),
                });
            }
        }
        Ok(rules)
    }

    fn erase(&self) -> Result<()> {
        let mut change = Change::new();
        let mut is_any = false;
        for family in [Family::V4, Family::V6] {
            let table = self.table(family);
            if table.exists() {
                change.delete_table(table);
                is_any = true;
            }
        }
        if is_any { change.carry_out() } else { Ok(()) }
    }
}
