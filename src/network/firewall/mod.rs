//! The host's packet filter: the way out for containers, published ports, and walls between
//! networks.
//!
//! What the rules are to be follows from what there is: the networks, and the ports of the running
//! containers. Mostly nothing is to be done when a container starts: a stamp of the packet filter's
//! state, kept in the run root, says that nobody changed a rule since we did, or else a closer look
//! at ours that they are as we left them. If they aren't (someone flushed them, the host was booted
//! anew), all rules of this state root are made again from what there is. A published port adds its
//! own rules and takes them away.
//!
//! How rules are written is a `Backend`'s affair: iptables where the host has it, which has a say
//! beside other programs' rules there, else nf_tables itself. Whichever made the rules is on record
//! with them: it goes on with them, and takes them away, until another is asked for by name.

mod expression;
mod handles;
mod iptables;
mod message;
mod nftables;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use miniserde::{Deserialize, Serialize};

use super::config::{self, BRIDGE_PREFIX, Network};
use super::ports::Protocol;
use super::subnet::Subnet;
use super::wiring::{self, Wiring};
use crate::error::{Context, Result, fail};
use crate::store::{self, DEFAULT_ROOT, Durability, Lock, LockMode, Roots};

/// A network, as far as the packet filter is concerned.
pub struct NetworkRules {
    pub bridge: String,
    pub subnets: Vec<Subnet>,
    pub internal: bool,
}

/// A published port.
#[derive(Clone, PartialEq, Eq)]
pub struct PortRule {
    /// The container's id: rules are tagged with it.
    pub owner: String,
    pub protocol: Protocol,
    /// On the host; an unspecified address is all of them.
    pub from: SocketAddr,
    /// The container's.
    pub to: SocketAddr,
}

/// All rules of a state root.
#[derive(Default)]
pub struct Rules {
    pub networks: Vec<NetworkRules>,
    pub ports: Vec<PortRule>,
}

impl Rules {
    /// Some of each kind, to see what the kernel knows.
    fn example() -> Rules {
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let subnets = vec![Subnet::around(address, 24)];
        let (from, to) = (SocketAddr::new(address, 1), SocketAddr::new(address, 1));
        let (owner, protocol) = (String::new(), Protocol::Tcp);
        Rules {
            networks: vec![NetworkRules {
                bridge: BRIDGE_PREFIX.to_owned(),
                subnets,
                internal: false,
            }],
            ports: vec![PortRule { owner, protocol, from, to }],
        }
    }

    fn has_ipv6(&self) -> bool {
        self.networks.iter().any(|network| network.has(Family::V6))
    }
}

impl NetworkRules {
    fn has(&self, family: Family) -> bool {
        self.subnets.iter().any(|subnet| family.has(subnet.first()))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    /// AF_INET and AF_INET6.
    fn number(self) -> u8 {
        match self {
            Family::V4 => 2,
            Family::V6 => 10,
        }
    }

    fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Family::V4)
    }
}

/// How rules get into the kernel.
trait Backend {
    /// As `Choice` has it.
    fn name(&self) -> &'static str;
    /// What the host lacks for it, in words.
    fn lack(&self) -> Option<String>;
    /// Something that changes whenever anybody changes the rules; cheap to get.
    fn stamp(&self, ipv6: bool) -> Option<String>;
    /// Something that changes whenever anybody changes rules of ours; costs more.
    fn fingerprint(&self, ipv6: bool) -> Option<String>;
    /// Makes all rules of this state root anew, whatever there is of them.
    fn rebuild(&self, rules: &Rules) -> Result<()>;
    /// Adds rules to those that are there. If it fails, nothing is changed.
    fn add(&self, ports: &[PortRule]) -> Result<()>;
    /// Takes away exactly what `add` added. If it fails, nothing is changed.
    fn remove(&self, ports: &[PortRule]) -> Result<()>;
    /// Leaves nothing of this state root.
    fn erase(&self) -> Result<()>;
}

/// `<run>/firewall.json`: what the rules were when we last changed them.
#[derive(Serialize, Deserialize)]
struct State {
    /// Which one made them; empty: all were being made anew, and some may be another's.
    backend: String,
    stamp: String,
    /// Of our rules; empty: not to be had.
    fingerprint: String,
    ipv6: bool,
    /// Ids of the networks that have their rules.
    networks: Vec<String>,
    /// Ids of the containers whose ports have theirs.
    owners: Vec<String>,
}

/// `--firewall`: which backend is to make the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The one that made those that are there, else iptables where it is installed.
    #[default]
    Auto,
    Iptables,
    Nftables,
}

impl Choice {
    /// Parses the value of `--firewall`.
    pub fn parse(text: &str) -> Result<Choice> {
        match text {
            "auto" => Ok(Choice::Auto),
            "iptables" => Ok(Choice::Iptables),
            "nftables" => Ok(Choice::Nftables),
            _ => fail!("unknown firewall '{text}'; known: auto iptables nftables"),
        }
    }

    /// `None` if it isn't installed.
    fn backend(self, tag: &str) -> Option<Box<dyn Backend>> {
        let iptables = || Some(Box::new(iptables::Iptables::find(tag)?) as Box<dyn Backend>);
        let nftables = || Some(Box::new(nftables::Nftables::new(tag)) as Box<dyn Backend>);
        match self {
            Choice::Auto => iptables().or_else(nftables),
            Choice::Iptables => iptables(),
            Choice::Nftables => nftables(),
        }
    }
}

/// The packet filter of the host, held against other commands of this state root.
struct Firewall<'a> {
    roots: &'a Roots,
    backend: Box<dyn Backend>,
    state: Option<State>,
    _lock: Lock,
}

impl<'a> Firewall<'a> {
    /// `None` if the host has no tool for it.
    fn open(roots: &'a Roots, choice: Choice) -> Result<Option<Firewall<'a>>> {
        let lock = Lock::wait(&roots.run.join("firewall.lock"), LockMode::Exclusive)?;
        // One that can't be read is as good as none: all is made anew.
        let state: Option<State> =
            store::read_json(&roots.run.join("firewall.json")).unwrap_or_default();
        let tag = tag(roots);
        let of_record = state.as_ref().filter(|_| choice == Choice::Auto);
        let of_record = of_record.and_then(|state| Choice::parse(&state.backend).ok());
        // The tool that made them may be gone since.
        let backend = of_record.and_then(|choice| choice.backend(&tag));
        let Some(backend) = backend.or_else(|| choice.backend(&tag)) else { return Ok(None) };
        Ok(Some(Firewall { roots, backend, state, _lock: lock }))
    }

    /// Whether the rules are as we left them.
    fn is_intact(&mut self) -> Result<bool> {
        let Some(state) = &self.state else { return Ok(false) };
        if state.backend != self.backend.name() {
            return Ok(false);
        }
        // Taken before the closer look: a change in between is noticed the next time.
        let stamp = self.stamp(state.ipv6);
        if stamp.as_ref().is_some_and(|stamp| *stamp == state.stamp) {
            return Ok(true);
        }
        let fingerprint = self.fingerprint(state.ipv6);
        if fingerprint.is_none_or(|fingerprint| fingerprint != state.fingerprint) {
            return Ok(false);
        }
        if let (Some(stamp), Some(state)) = (stamp, self.state.take()) {
            self.write(State { stamp, ..state })?;
        }
        Ok(true)
    }

    fn stamp(&self, ipv6: bool) -> Option<String> {
        Some(format!("{} {}", crate::sys::process::boot_id(), self.backend.stamp(ipv6)?))
    }

    /// Handles begin anew with the next boot.
    fn fingerprint(&self, ipv6: bool) -> Option<String> {
        Some(format!("{} {}", crate::sys::process::boot_id(), self.backend.fingerprint(ipv6)?))
    }

    fn covers(&self, network: &Network) -> bool {
        self.state.as_ref().is_some_and(|state| state.networks.contains(&network.id))
    }

    fn has_ports_of(&self, id: &str) -> bool {
        self.state.as_ref().is_some_and(|state| state.owners.iter().any(|owner| owner == id))
    }

    /// Whether all rules were being made anew, and who did so was killed.
    fn is_cut_short(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.backend.is_empty())
    }

    /// Makes all rules anew: those of `networks`, of networks that had them, and of all containers
    /// but `except`; where there are none, what is there goes. Before anything is made it is on
    /// record, as nobody's: after a kill the next who looks makes all anew again, and the check
    /// finds it. Last go the rules of another backend that made those before.
    fn rebuild(&mut self, networks: &[&Network], except: Option<&str>) -> Result<()> {
        let had = self.state.as_ref().map(|state| state.networks.as_slice()).unwrap_or_default();
        let wirings = wirings(self.roots, except)?;
        let mut rules = Rules::default();
        let mut covered = Vec::new();
        for network in config::known(self.roots)? {
            let is_wanted = networks.iter().any(|wanted| wanted.id == network.id);
            let is_used = wirings.iter().any(|(_, wiring)| {
                wiring.endpoints.iter().any(|endpoint| endpoint.network_id == network.id)
            });
            if is_wanted || is_used || had.contains(&network.id) {
                rules.networks.push(NetworkRules {
                    bridge: network.bridge,
                    subnets: network.pools.iter().map(|pool| pool.subnet).collect(),
                    internal: network.internal,
                });
                covered.push(network.id);
            }
        }
        if covered.is_empty() {
            return self.erase();
        }
        let mut owners = Vec::new();
        for (id, wiring) in &wirings {
            let ports = wiring.port_rules(id)?;
            if !ports.is_empty() {
                rules.ports.extend(ports);
                owners.push(id.clone());
            }
        }
        let (ipv6, networks, backend) = (rules.has_ipv6(), covered, String::new());
        let (stamp, fingerprint) = (String::new(), String::new());
        let before = self.state.take();
        let made_by_us = before.as_ref().is_some_and(|state| state.backend == self.backend.name());
        self.write(State { backend, stamp, fingerprint, ipv6, networks, owners })?;
        if let Err(error) = self.backend.rebuild(&rules) {
            // That is what the user must hear of; nothing has changed.
            let _ = match before {
                Some(state) => self.write(state),
                None => self.erase(),
            };
            return Err(error);
        }
        if !made_by_us {
            self.erase_others()?;
        }
        match self.state.take() {
            Some(state) => {
                self.remember(State { backend: self.backend.name().to_owned(), ..state }, true)
            }
            None => Ok(()),
        }
    }

    /// Leaves no rule of this state root, and no record of any.
    fn erase(&mut self) -> Result<()> {
        let made_by_us =
            self.state.take().is_some_and(|state| state.backend == self.backend.name());
        self.backend.erase()?;
        if !made_by_us {
            self.erase_others()?;
        }
        store::remove_file(&self.roots.run.join("firewall.json"))
    }

    fn erase_others(&self) -> Result<()> {
        let tag = tag(self.roots);
        let others = [Choice::Iptables, Choice::Nftables].into_iter();
        others
            .filter_map(|choice| choice.backend(&tag))
            .filter(|other| other.name() != self.backend.name())
            .try_for_each(|other| other.erase())
    }

    /// Writes down what is there now; without `intact`, that it isn't all that should be.
    fn remember(&mut self, mut state: State, intact: bool) -> Result<()> {
        // One that can't be told is never met again: the next who looks makes all anew.
        let told = |told: Option<String>| told.filter(|_| intact).unwrap_or_default();
        state.stamp = told(self.stamp(state.ipv6));
        state.fingerprint = told(self.fingerprint(state.ipv6));
        self.write(state)
    }

    fn write(&mut self, state: State) -> Result<()> {
        store::replace_json(&self.roots.run.join("firewall.json"), &state, Durability::Lazy)?;
        self.state = Some(state);
        Ok(())
    }

    /// Notes whether the ports of container `id` have their rules.
    fn note(&mut self, id: &str, has: bool, intact: bool) -> Result<()> {
        let Some(mut state) = self.state.take() else { return Ok(()) };
        state.owners.retain(|owner| owner != id);
        if has {
            state.owners.push(id.to_owned());
        }
        self.remember(state, intact)
    }
}

/// Makes sure that `networks` have their rules, and container `id` those of its `ports`. Its wiring
/// is on record already: who made all rules anew meanwhile has seen to it.
pub fn set_up(
    roots: &Roots,
    choice: Choice,
    networks: &[&Network],
    id: &str,
    ports: &[PortRule],
) -> Result<()> {
    let Some(mut firewall) = Firewall::open(roots, choice)? else {
        if ports.is_empty() {
            return Ok(());
        }
        fail!("ports can't be published by iptables: {NO_IPTABLES}");
    };
    if !firewall.is_intact()? || !networks.iter().all(|network| firewall.covers(network)) {
        return match firewall.rebuild(networks, None) {
            // Told at the command's begin.
            Err(_) if ports.is_empty() && firewall.backend.lack().is_some() => Ok(()),
            result => result.context(|| "set the firewall up"),
        };
    }
    if ports.is_empty() || firewall.has_ports_of(id) {
        return Ok(());
    }
    match firewall.backend.add(ports) {
        Ok(()) => firewall.note(id, true, true),
        // Someone was at it this very moment.
        Err(_) => firewall.rebuild(networks, None),
    }
}

/// Takes the rules of container `id` away; `forget` then strikes them from its wiring, before anyone
/// can make all rules anew from what is on record.
pub fn take_down(
    roots: &Roots,
    id: &str,
    ports: &[PortRule],
    forget: impl FnOnce() -> Result<()>,
) -> Result<()> {
    if ports.is_empty() {
        return forget();
    }
    let Some(mut firewall) = Firewall::open(roots, Choice::Auto)? else { return forget() };
    if firewall.has_ports_of(id) && !firewall.is_cut_short() {
        let was_intact = firewall.is_intact()?;
        match firewall.backend.remove(ports) {
            Ok(()) => firewall.note(id, false, was_intact)?,
            // Flushed meanwhile.
            Err(_) => firewall.rebuild(&[], Some(id))?,
        }
    } else if firewall.state.is_some() && !firewall.is_intact()? {
        // They may have been made by one that was killed before it could note it.
        firewall.rebuild(&[], Some(id))?;
    }
    forget()
}

/// Takes the rules of a network away that is about to go.
pub fn forget(roots: &Roots, network: &Network) -> Result<()> {
    if !roots.run.join("firewall.json").exists() {
        return Ok(());
    }
    let Some(mut firewall) = Firewall::open(roots, Choice::Auto)? else { return Ok(()) };
    let Some(state) = firewall.state.as_mut() else { return Ok(()) };
    if !state.networks.contains(&network.id) {
        return Ok(());
    }
    state.networks.retain(|id| *id != network.id);
    if !state.networks.is_empty() {
        return firewall.rebuild(&[], None);
    }
    firewall.erase()
}

/// What is wrong with the rules, if there are or must be any; a reload mends it.
pub fn flaws(roots: &Roots) -> Result<Vec<String>> {
    let mut flaws = Vec::new();
    if !roots.run.join("firewall.json").exists() {
        return Ok(flaws);
    }
    let Some(mut firewall) = Firewall::open(roots, Choice::Auto)? else { return Ok(flaws) };
    let mut wirings = wirings(roots, None)?;
    wirings.retain(|(_, wiring)| !wiring.endpoints.is_empty());
    let owners = firewall.state.as_ref().map(|state| state.owners.clone()).unwrap_or_default();
    for owner in owners.iter().filter(|owner| !wirings.iter().any(|(id, _)| id == *owner)) {
        let owner = owner.get(..12).unwrap_or(owner);
        flaws
            .push(format!("the firewall lets traffic through to container {owner}, which is gone"));
    }
    if firewall.is_cut_short() {
        flaws.push("a change of the firewall's rules was cut short".to_owned());
    } else if flaws.is_empty() && !wirings.is_empty() && !firewall.is_intact()? {
        flaws.push("the firewall's rules of this engine were changed by others".to_owned());
    }
    Ok(flaws)
}

/// Makes all rules anew.
pub fn reload(roots: &Roots, choice: Choice, networks: &[&Network]) -> Result<()> {
    match Firewall::open(roots, choice)? {
        Some(mut firewall) => firewall.rebuild(networks, None).context(|| "set the firewall up"),
        None => fail!("{NO_IPTABLES}"),
    }
}

/// What the host lacks for rules to be made, in words.
pub fn lack(roots: &Roots, choice: Choice) -> Option<String> {
    if roots.run.join("firewall.json").exists() {
        return None;
    }
    match choice.backend(&tag(roots)) {
        Some(backend) => backend.lack(),
        None => Some(NO_IPTABLES.to_owned()),
    }
}

const NO_IPTABLES: &str = "there is no iptables-restore in PATH or /usr/sbin; install the package iptables, or \
                           choose --firewall nftables";

/// What all running containers have of networks, by id.
fn wirings(roots: &Roots, except: Option<&str>) -> Result<Vec<(String, Wiring)>> {
    let mut wirings = Vec::new();
    for id in wiring::all_ids(roots)? {
        if except != Some(id.as_str()) {
            let wiring = Wiring::read(roots, &id)?;
            wirings.push((id, wiring));
        }
    }
    Ok(wirings)
}

/// What the chains of a state root end in: nothing for the default one, else digits of its own, so
/// that two roots on one host don't touch each other's.
fn tag(roots: &Roots) -> String {
    match roots.state.as_os_str() == DEFAULT_ROOT {
        true => String::new(),
        false => format!("-{:08x}", config::hash(roots.state.as_os_str().as_encoded_bytes())),
    }
}

/// A pattern for all bridges of ours, of every state root.
fn all_bridges() -> String {
    format!("{BRIDGE_PREFIX}+")
}
