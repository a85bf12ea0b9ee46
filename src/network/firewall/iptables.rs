//! Rules by iptables(8), in nf_tables or in the legacy tables. A change is a run of
//! `iptables-restore --noflush`, or of `ip6tables-restore` for IPv6. The tool commits each table of
//! the text separately (COMMIT): the kernel applies the table's lines completely or not at all.
//! With nf_tables, `add` and `remove` change the rules of a container's ports over netlink
//! (`compat`), and `add` runs the tool only if netlink fails.
//!
//! A line `:CHAIN - [0:0]` creates the chain or empties it. The text that makes or removes all
//! rules depends on the present rules. Another program or state root may make a line of the text
//! impossible before the kernel gets the text, for example by creating the chain of a `-N`. Then
//! that table is refused, and `change` tries again with the new rules.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::backend::{Backend, BackendKind, ShownRule};
use super::compat;
use super::handles::{self, Chain};
use super::message::{Change, Table};
use super::rules::{NetworkRules, PortRule, Rules};
use crate::error::{Context, Result, fail};
use crate::network::naming::BRIDGE_PREFIX;
use crate::network::subnet::Family;
use crate::sys::netfilter;
use crate::sys::trace;

const USER: &str = "MYDOCKER-USER";
const NAT: &str = "nat";
/// The maximum number of attempts at a change: other programs may change rules at the same time.
const ATTEMPTS: u32 = 10;
/// Where to look for `iptables-restore` after the directories of PATH.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"];

/// The back end that runs iptables-restore. Its chains follow. Each name ends in the state root's
/// suffix, except `MYDOCKER-USER`:
///
/// - `MYDOCKER-FORWARD`, from FORWARD: first calls `MYDOCKER-USER`, then decides which packets of
///   each network pass. `MYDOCKER-USER` is for the administrator's rules: mydocker creates it, and
///   removes it only while it is empty.
/// - `MYDOCKER-DNAT`, from PREROUTING and OUTPUT: translates packets to published ports. Only
///   packets to the host itself reach this chain, so a container's packets to port 80 of another
///   machine stay unchanged.
/// - `MYDOCKER-SNAT`, from POSTROUTING: masquerades packets that leave the host, and packets to a
///   published port whose answer would otherwise bypass the host.
/// - `MYDOCKER-INPUT`, from INPUT: keeps containers off the host's loopback.
pub struct Iptables {
    restore: PathBuf,
    /// Whether the tool uses the legacy tables, not nf_tables.
    is_legacy: bool,
    forward: String,
    input: String,
    dnat: String,
    snat: String,
}

impl Iptables {
    /// The back end for the state root whose chains have this suffix; `None` if the host has no
    /// iptables.
    pub fn find(suffix: &str) -> Option<Iptables> {
        let restore = find("iptables-restore")?;
        // `iptables-restore` is a link to `xtables-nft-multi` or `xtables-legacy-multi`. Before
        // version 1.8 the link leads to `xtables-multi`, which uses the legacy tables.
        let target = std::fs::canonicalize(&restore).ok()?;
        let name = target.file_name()?.to_string_lossy().into_owned();
        Some(Iptables {
            restore,
            is_legacy: !name.contains("nft"),
            forward: format!("MYDOCKER-FORWARD{suffix}"),
            input: format!("MYDOCKER-INPUT{suffix}"),
            dnat: format!("MYDOCKER-DNAT{suffix}"),
            snat: format!("MYDOCKER-SNAT{suffix}"),
        })
    }

    /// The path of a tool in the directory of `iptables-restore`, such as `ip6tables-save`. Fails
    /// if the tool is missing.
    fn tool(&self, family: Family, name: &str) -> Result<PathBuf> {
        let prefix = if family == Family::V4 { "iptables" } else { "ip6tables" };
        let path = self.restore.with_file_name(format!("{prefix}-{name}"));
        if !is_executable(&path) {
            fail!("{} is missing: install the package iptables", path.display());
        }
        Ok(path)
    }

    fn restore(&self, family: Family, text: &str) -> Result<()> {
        let tool = self.tool(family, "restore")?;
        // `-w`: with the legacy tables, wait while another program changes rules.
        let spawned = Command::new(&tool)
            .args(["--noflush", "-w"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.context(|| format!("run {}", tool.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // If the tool stops reading, its status and its message below say why.
            let _ = stdin.write_all(text.as_bytes());
        }
        let done = child.wait_with_output().context(|| format!("run {}", tool.display()))?;
        if !done.status.success() {
            let words = String::from_utf8_lossy(&done.stderr);
            let words: Vec<&str> =
                words.lines().filter(|line| !line.starts_with("# Warning")).collect();
            fail!("{}: {}", tool.display(), words.join("; "));
        }
        let mut table = "";
        let tool = if family == Family::V4 { "iptables" } else { "ip6tables" };
        for line in text.lines() {
            match line.strip_prefix('*') {
                Some(name) => table = name,
                None if line.starts_with('-') => {
                    trace::step(tool, || format!("-t {table} {line}"));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// The present rules of a family, as iptables-save(8) prints them.
    fn save(&self, family: Family) -> Result<String> {
        let tool = self.tool(family, "save")?;
        let done = Command::new(&tool).stdin(Stdio::null()).output();
        let done = done.context(|| format!("run {}", tool.display()))?;
        if !done.status.success() {
            fail!("{}: {}", tool.display(), String::from_utf8_lossy(&done.stderr).trim_end());
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Applies the text that `text` returns for the present rules. An empty text changes nothing.
    fn change(&self, family: Family, text: impl Fn(&str) -> String) -> Result<()> {
        let mut attempt = 1;
        loop {
            let text = text(&self.save(family)?);
            if text.is_empty() {
                return Ok(());
            }
            match self.restore(family, &text) {
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                done => return done,
            }
        }
    }

    /// The host's rules that jump to mydocker's chains, as pairs of table and rule.
    fn jumps(&self) -> [(&'static str, String); 5] {
        let local = "-m addrtype --dst-type LOCAL";
        [
            ("filter", format!("FORWARD -j {}", self.forward)),
            ("filter", format!("INPUT -j {}", self.input)),
            ("nat", format!("PREROUTING {local} -j {}", self.dnat)),
            ("nat", format!("OUTPUT {local} -j {}", self.dnat)),
            ("nat", format!("POSTROUTING -j {}", self.snat)),
        ]
    }

    /// The text that makes all rules again. `saved` has the present rules.
    fn everything(&self, family: Family, rules: &Rules, saved: &str) -> String {
        let mut text = String::from("*filter\n");
        if !has_chain(saved, USER) {
            // If another command has created the chain by now, `-N` fails. A line `:CHAIN` would
            // empty the chain instead.
            line(&mut text, format_args!("-N {USER}"));
        }
        line(&mut text, format_args!(":{} - [0:0]", self.forward));
        line(&mut text, format_args!(":{} - [0:0]", self.input));
        self.push_jumps(&mut text, "filter", saved);
        let bridges = all_bridges(rules);
        self.push_input(&mut text, family, &bridges);
        line(&mut text, format_args!("-A {} -j {USER}", self.forward));
        for network in rules.networks.iter().filter(|network| network.has(family)) {
            self.push_forward(&mut text, network, &bridges);
        }
        text.push_str("COMMIT\n*nat\n");
        line(&mut text, format_args!(":{} - [0:0]", self.dnat));
        line(&mut text, format_args!(":{} - [0:0]", self.snat));
        self.push_jumps(&mut text, "nat", saved);
        if family == Family::V4 {
            // Do not translate a packet from a bridge to the host's loopback: `MYDOCKER-INPUT` must
            // drop it.
            for bridge in &bridges {
                let rule = format_args!("-A {} -d 127.0.0.0/8 -i {bridge} -j RETURN", self.dnat);
                line(&mut text, rule);
            }
        }
        for port in rules.ports.iter().filter(|port| family.has(port.to.ip())) {
            self.push_port(&mut text, "-A", port);
        }
        for network in &rules.networks {
            self.push_snat(&mut text, family, network);
        }
        text.push_str("COMMIT\n");
        text
    }

    /// Adds the missing jumps, each as the first rule of its chain, so that mydocker's rules come
    /// before others. Packets that no rule of mydocker matches continue unchanged.
    fn push_jumps(&self, text: &mut String, table: &str, saved: &str) {
        for (_, rule) in self.jumps().iter().filter(|(of, _)| *of == table) {
            if !has_rule(saved, rule) {
                let (chain, rest) = rule.split_once(' ').unwrap_or((rule, ""));
                line(text, format_args!("-I {chain} 1 {rest}"));
            }
        }
    }

    /// Drops packets to the loopback: with `route_localnet` set, a container could otherwise send
    /// to the host's 127.0.0.1 (CVE-2020-8558).
    fn push_input(&self, text: &mut String, family: Family, bridges: &[String]) {
        for bridge in bridges.iter().filter(|_| family == Family::V4) {
            line(
                text,
                format_args!(
                    "-A {} -d 127.0.0.0/8 -i {bridge} -m conntrack ! --ctstate \
                     RELATED,ESTABLISHED -j DROP",
                    self.input
                ),
            );
        }
    }

    fn push_forward(&self, text: &mut String, network: &NetworkRules, bridges: &[String]) {
        let (chain, bridge) = (&self.forward, &network.bridge);
        let mut rule =
            |rule: std::fmt::Arguments<'_>| line(text, format_args!("-A {chain} {rule}"));
        if network.has_neighbours {
            rule(format_args!("-i {bridge} -o {bridge} -j ACCEPT"));
        } else if !network.internal {
            // Neighbours reach each other only by published ports.
            let published = "-m conntrack --ctstate RELATED,ESTABLISHED,DNAT";
            rule(format_args!("-i {bridge} -o {bridge} {published} -j ACCEPT"));
        }
        if network.internal {
            rule(format_args!("-i {bridge} -j DROP"));
            rule(format_args!("-o {bridge} -j DROP"));
            return;
        }
        // The other bridge may belong to any state root.
        for other in bridges.iter().filter(|other| *other != bridge) {
            rule(format_args!("-i {bridge} -o {other} -j DROP"));
            rule(format_args!("-i {other} -o {bridge} -j DROP"));
        }
        // Only answers and packets to a published port enter the network.
        let known = "-m conntrack --ctstate RELATED,ESTABLISHED,DNAT";
        rule(format_args!("-o {bridge} {known} -j ACCEPT"));
        rule(format_args!("-o {bridge} -j DROP"));
        rule(format_args!("-i {bridge} -j ACCEPT"));
    }

    fn push_port(&self, text: &mut String, action: &str, port: &PortRule) {
        let (chain, protocol) = (&self.dnat, port.protocol.name());
        let _ = write!(text, "{action} {chain}");
        if !port.from.ip().is_unspecified() {
            let address = port.from.ip();
            let _ = write!(text, " -d {address}/{}", Family::of(address).width());
        }
        line(
            text,
            format_args!(
                " -p {protocol} -m {protocol} --dport {} -m comment --comment {} -j DNAT \
                 --to-destination {}",
                port.from.port(),
                port.owner,
                port.to
            ),
        );
    }

    fn push_snat(&self, text: &mut String, family: Family, network: &NetworkRules) {
        let (chain, bridge) = (&self.snat, &network.bridge);
        if network.internal {
            return;
        }
        for subnet in network.subnets.iter().filter(|subnet| subnet.family() == family) {
            if network.masquerades {
                line(text, format_args!("-A {chain} -s {subnet} ! -o {bridge} -j MASQUERADE"));
            }
            // A neighbour may use a published port (hairpin). Without this rule the container would
            // answer the neighbour directly, and the answer would not be translated.
            line(
                text,
                format_args!(
                    "-A {chain} -s {subnet} -o {bridge} -m conntrack --ctstate DNAT -j MASQUERADE"
                ),
            );
        }
        // The host may use a published port by 127.0.0.1. A container can't answer to 127.0.0.1.
        if family == Family::V4 {
            line(text, format_args!("-A {chain} -s 127.0.0.0/8 -o {bridge} -j MASQUERADE"));
        }
    }

    /// Adds the rule of a port to the change, in the form of iptables-nft.
    fn add_port(&self, change: &mut Change, port: &PortRule) {
        trace::step("NFT_MSG_NEWRULE", || {
            let mut text = String::from("-t nat ");
            self.push_port(&mut text, "-A", port);
            text.trim_end().to_owned()
        });
        let table = Table { family: Family::of(port.to.ip()), name: NAT };
        compat::add_port(change, table, &self.dnat, port);
    }

    fn change_ports(&self, action: &str, ports: &[PortRule]) -> Result<()> {
        for family in [Family::V4, Family::V6] {
            let mut ports = ports.iter().filter(|port| family.has(port.to.ip())).peekable();
            if ports.peek().is_none() {
                continue;
            }
            let mut text = String::from("*nat\n");
            ports.for_each(|port| self.push_port(&mut text, action, port));
            text.push_str("COMMIT\n");
            self.restore(family, &text)?;
        }
        Ok(())
    }

    /// The text that removes what `everything` made. `MYDOCKER-USER` stays while it has a rule, or
    /// while a chain that is not of this state root jumps to it.
    fn nothing(&self, saved: &str) -> String {
        let is_users = |rule: &str| rule.starts_with(&format!("-A {USER} "));
        let leads_there = |rule: &str| {
            rule.ends_with(&format!("-j {USER}"))
                && rule != format!("-A {} -j {USER}", self.forward)
        };
        let user_stays = saved.lines().any(|rule| is_users(rule) || leads_there(rule));
        let user = if user_stays { "" } else { USER };
        let mut text = String::new();
        for (table, chains) in [
            ("filter", vec![self.forward.as_str(), self.input.as_str(), user]),
            ("nat", vec![self.dnat.as_str(), self.snat.as_str()]),
        ] {
            let chains: Vec<&str> =
                chains.into_iter().filter(|chain| has_chain(saved, chain)).collect();
            if chains.is_empty() {
                continue;
            }
            line(&mut text, format_args!("*{table}"));
            for (_, rule) in self.jumps().iter().filter(|(of, _)| *of == table) {
                if has_rule(saved, rule) {
                    line(&mut text, format_args!("-D {rule}"));
                }
            }
            // Empty the chains first: a chain that a rule jumps to can't be deleted.
            for chain in chains.iter().filter(|chain| **chain != USER) {
                line(&mut text, format_args!("-F {chain}"));
            }
            chains.iter().for_each(|chain| line(&mut text, format_args!("-X {chain}")));
            text.push_str("COMMIT\n");
        }
        text
    }

    /// Whether rules of a family may exist. With the legacy tables, only the tool knows.
    fn may_have_rules(&self, family: Family) -> bool {
        let table = Table { family, name: "filter" };
        // This chain always has the rule that calls `MYDOCKER-USER`.
        self.is_legacy || table.rules(&self.forward).is_ok_and(|rules| !rules.is_empty())
    }

    fn erase_family(&self, family: Family) -> Result<()> {
        // If the tool is missing or fails, it can remove nothing.
        let Ok(saved) = self.save(family) else { return Ok(()) };
        self.change(family, |saved| self.nothing(saved))?;
        // If the rules of two state roots are removed at the same time, each removal may see the
        // jump of the other state root to `MYDOCKER-USER` and leave the chain. Repeat: the last
        // removal sees no such jump and removes the chain.
        if has_chain(&saved, USER) {
            self.change(family, |saved| self.nothing(saved))?;
            self.change(family, |saved| self.nothing(saved))?;
        }
        Ok(())
    }
}

impl Backend for Iptables {
    fn kind(&self) -> BackendKind {
        BackendKind::Iptables
    }

    fn shortcoming(&self) -> Option<String> {
        None
    }

    fn stamp(&self, ipv6: bool) -> Option<String> {
        if self.is_legacy {
            netfilter::legacy_stamp(ipv6)
        } else {
            netfilter::generation().map(|generation| format!("nft {generation}"))
        }
    }

    fn fingerprint(&self, ipv6: bool) -> Option<String> {
        if self.is_legacy {
            // The kernel replaces each legacy table as a whole, and its rules have no handles.
            return None;
        }
        let jumps = self.jumps();
        let mut chains: Vec<Chain<'_>> = Vec::with_capacity(9);
        for (table, rule) in &jumps {
            let (name, target) = (rule.split(' ').next()?, rule.rsplit(' ').next()?);
            chains.push(Chain { table, name, leading_to: Some(target) });
        }
        for (table, name) in [
            ("filter", &self.forward),
            ("filter", &self.input),
            ("nat", &self.dnat),
            ("nat", &self.snat),
        ] {
            chains.push(Chain { table, name, leading_to: None });
        }
        // If the handles can't be read, return no fingerprint: then the rules count as changed.
        handles::of(&chains, ipv6).ok()
    }

    fn rebuild(&self, rules: &Rules) -> Result<()> {
        self.change(Family::V4, |saved| self.everything(Family::V4, rules, saved))?;
        if rules.has_ipv6() {
            self.change(Family::V6, |saved| self.everything(Family::V6, rules, saved))
        } else if self.may_have_rules(Family::V6) {
            // The last network with IPv6 may have been removed.
            self.erase_family(Family::V6)
        } else {
            Ok(())
        }
    }

    fn add(&self, ports: &[PortRule]) -> Result<()> {
        if !self.is_legacy {
            let mut change = Change::new();
            ports.iter().for_each(|port| self.add_port(&mut change, port));
            if change.carry_out().is_ok() {
                return Ok(());
            }
            // The tool may know a form of the rule that this kernel supports.
        }
        self.change_ports("-A", ports)
    }

    fn remove(&self, ports: &[PortRule]) -> Result<()> {
        if self.is_legacy {
            return self.change_ports("-D", ports);
        }
        let mut change = Change::new();
        for family in [Family::V4, Family::V6] {
            change.delete_ports(Table { family, name: NAT }, &self.dnat, ports)?;
        }
        change.carry_out()
    }

    fn show(&self) -> Result<Vec<ShownRule>> {
        let mut rules = Vec::new();
        for (family, name) in [(Family::V4, "iptables"), (Family::V6, "ip6tables")] {
            // If the tool is missing or fails, show no rules of this family.
            let Ok(saved) = self.save(family) else { continue };
            let mut table = "";
            for line in saved.lines() {
                match line.strip_prefix('*') {
                    Some(name) => table = name,
                    None if line.starts_with("-A ") => {
                        let place = |chain: &str| format!("{name} {table} {chain}");
                        let after = |flag: &str| {
                            let mut words = line.split(' ').skip_while(|word| *word != flag);
                            words.nth(1).unwrap_or_default()
                        };
                        let target = Some(after("-j")).filter(|to| to.starts_with("MYDOCKER"));
                        rules.push(ShownRule {
                            text: format!("{name} -t {table} {line}"),
                            chain: place(after("-A")),
                            leads_to: target.map(place),
                            is_common: [&self.input, &self.dnat].into_iter().any(|chain| {
                                line.starts_with(&format!(
                                    "-A {chain} -d 127.0.0.0/8 -i {BRIDGE_PREFIX}+ "
                                ))
                            }),
                        });
                    }
                    None => {}
                }
            }
        }
        Ok(rules)
    }

    fn erase(&self) -> Result<()> {
        [Family::V4, Family::V6].into_iter().try_for_each(|family| self.erase_family(family))
    }
}

/// The patterns for bridges: one for all bridges with mydocker's prefix, of any state root, and the
/// names of the other bridges in `rules`.
fn all_bridges(rules: &Rules) -> Vec<String> {
    let pattern = format!("{BRIDGE_PREFIX}+");
    std::iter::once(pattern).chain(rules.unprefixed().map(str::to_owned)).collect()
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _ = writeln!(text, "{line}");
}

fn has_chain(saved: &str, chain: &str) -> bool {
    saved
        .lines()
        .any(|line| line.strip_prefix(':').and_then(|line| line.split(' ').next()) == Some(chain))
}

fn has_rule(saved: &str, rule: &str) -> bool {
    saved.lines().any(|line| line.strip_prefix("-A ") == Some(rule))
}

/// Looks for an executable file in PATH, then in `DIRECTORIES`.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(DIRECTORIES.iter().map(PathBuf::from));
    directories.map(|directory| directory.join(name)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
