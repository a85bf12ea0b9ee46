//! The host's packet filter: it lets containers reach other machines, publishes ports, and
//! separates networks.
//!
//! The records of a state root determine the rules (`rules`). `state` records a stamp of the packet
//! filter in the run root. A container's start normally finds the stamp, or the fingerprint of
//! mydocker's own rules, unchanged, and adds only the rules of the container's ports. If the stamp
//! and the fingerprint have changed, another program may have changed the rules. Then the start
//! makes all rules of this state root again. A start also makes all rules again if a network of the
//! container has no rules yet. A reboot removes the stamp with the rules.
//!
//! A `Backend` writes the rules: by iptables, or in nf_tables directly. `Choice::Auto` prefers
//! iptables, because other programs' rules are in the same chains. This module reads no record of a
//! network or a container. Imports go one way: a file knows only the files above it in this list,
//! which a test reads.
//!
//! 1. `rules`: the rules as data
//! 2. `expression`: the expressions of an nf_tables rule
//! 3. `message`: the messages of nf_tables
//! 4. `compat`: the rules of ports as iptables-nft writes them
//! 5. `handles`: the numbers of the rules in the kernel
//! 6. `backend`: the interface of the two back ends
//! 7. `state`: the file `firewall.json`
//! 8. `iptables`: rules by iptables-restore
//! 9. `nftables`: rules by netlink

mod backend;
mod compat;
mod expression;
mod handles;
mod iptables;
mod message;
mod nftables;
pub mod rules;
mod state;

use self::backend::Backend;
pub use self::backend::BackendKind;
use self::rules::{Collect, PortRule};
use self::state::State;
use super::naming;
use crate::container_id::ContainerId;
use crate::error::{Context, Result, fail};
use crate::store::{self, Durability, Lock, LockMode, OrEmpty, Roots};

/// `--firewall`: which back end makes the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The back end that made the present rules, if it is known and installed. Otherwise iptables
    /// if it is installed, and nftables if not.
    #[default]
    Auto,
    Kind(BackendKind),
}

impl Choice {
    /// Parses the value of `--firewall`.
    pub fn parse(text: &str) -> Result<Choice> {
        if text == "auto" { Ok(Choice::Auto) } else { text.parse().map(Choice::Kind) }
    }

    /// The back end for the state root whose chains have this suffix; `None` if its tool isn't
    /// installed.
    fn backend(self, suffix: &str) -> Option<Box<dyn Backend>> {
        match self {
            Choice::Auto => {
                let all = [BackendKind::Iptables, BackendKind::Nftables];
                all.into_iter().find_map(|kind| backend(kind, suffix))
            }
            Choice::Kind(kind) => backend(kind, suffix),
        }
    }
}

fn backend(kind: BackendKind, suffix: &str) -> Option<Box<dyn Backend>> {
    match kind {
        BackendKind::Iptables => Some(Box::new(iptables::Iptables::find(suffix)?)),
        BackendKind::Nftables => Some(Box::new(nftables::Nftables::new(suffix))),
    }
}

/// The packet filter of the host, locked against other processes that use this run root.
struct Firewall<'a> {
    roots: &'a Roots,
    backend: Box<dyn Backend>,
    state: Option<State>,
    _lock: Lock,
}

impl<'a> Firewall<'a> {
    /// Opens and locks the packet filter. `None` if the chosen back end's tool isn't installed.
    fn open(roots: &'a Roots, choice: Choice) -> Result<Option<Firewall<'a>>> {
        let lock = Lock::wait(&roots.run.join("firewall.lock"), LockMode::Exclusive)?;
        // If the state can't be read, continue without a state: then `set_up` and `take_down` make
        // all rules again.
        let state: Option<State> =
            store::read_json(&roots.run.join("firewall.json")).unwrap_or_default();
        let suffix = naming::chain_suffix(roots);
        let maker = state.as_ref().filter(|_| choice == Choice::Auto);
        let maker = maker.and_then(|state| state.backend.0);
        // The back end is also `None` if the tool that made the rules was removed later.
        let backend = maker.and_then(|kind| backend(kind, &suffix));
        let Some(backend) = backend.or_else(|| choice.backend(&suffix)) else { return Ok(None) };
        Ok(Some(Firewall { roots, backend, state, _lock: lock }))
    }

    /// Whether mydocker's rules count as unchanged since the state was written. If only the stamp
    /// has changed, records the new stamp.
    fn is_intact(&mut self) -> Result<bool> {
        let Some(state) = &self.state else { return Ok(false) };
        if state.backend != self.maker() {
            return Ok(false);
        }
        // Take the stamp before the fingerprint: if a program changes rules between these two
        // steps, the next stamp differs, and the fingerprint is compared again.
        let stamp = self.stamp(state.ipv6);
        if stamp.is_some() && stamp == state.stamp.0 {
            return Ok(true);
        }
        let fingerprint = self.fingerprint(state.ipv6);
        if fingerprint.is_none() || fingerprint != state.fingerprint.0 {
            return Ok(false);
        }
        if let (Some(stamp), Some(state)) = (stamp, self.state.take()) {
            self.write(State { stamp: OrEmpty(Some(stamp)), ..state })?;
        }
        Ok(true)
    }

    fn maker(&self) -> OrEmpty<BackendKind> {
        OrEmpty(Some(self.backend.kind()))
    }

    fn stamp(&self, ipv6: bool) -> Option<String> {
        Some(format!("{} {}", crate::sys::process::boot_id(), self.backend.stamp(ipv6)?))
    }

    /// The fingerprint of mydocker's rules, with the boot id: handles start from 1 again at each
    /// boot.
    fn fingerprint(&self, ipv6: bool) -> Option<String> {
        Some(format!("{} {}", crate::sys::process::boot_id(), self.backend.fingerprint(ipv6)?))
    }

    fn covers(&self, network: &str) -> bool {
        self.state.as_ref().is_some_and(|state| state.networks.iter().any(|id| id == network))
    }

    fn has_ports_of(&self, id: &ContainerId) -> bool {
        self.state.as_ref().is_some_and(|state| state.owners.iter().any(|owner| owner == id))
    }

    /// Whether the last `rebuild` did not finish, for example because the command was killed.
    fn is_cut_short(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.backend.is_none())
    }

    /// Makes all rules again: those that `collect` returns for `networks` (ids) and for the
    /// networks that have rules now, without the ports of container `except`. If no network needs
    /// rules, removes all rules.
    ///
    /// While the back end makes the rules, the state names no back end. So after a kill the next
    /// `set_up` makes all rules again, and `system check` reports a change that was cut short.
    /// Rules of another back end are removed last.
    fn rebuild(
        &mut self,
        networks: &[&str],
        except: Option<&ContainerId>,
        collect: &Collect<'_>,
    ) -> Result<()> {
        let had = self.state.as_ref().map(|state| state.networks.as_slice()).unwrap_or_default();
        let kept: Vec<&str> =
            networks.iter().copied().chain(had.iter().map(String::as_str)).collect();
        let rules = collect(&kept, except)?;
        if rules.networks.is_empty() {
            return self.erase();
        }
        let covered = rules.networks.iter().map(|network| network.id.clone()).collect();
        let (ipv6, networks, backend) = (rules.has_ipv6(), covered, OrEmpty(None));
        let (stamp, fingerprint, owners) = (OrEmpty(None), OrEmpty(None), rules.owners());
        let before = self.state.take();
        let made_by_us = before.as_ref().is_some_and(|state| state.backend == self.maker());
        self.write(State { backend, stamp, fingerprint, ipv6, networks, owners })?;
        if let Err(error) = self.backend.rebuild(&rules) {
            // Report this failure, and restore the former state. If iptables changed some rules
            // before the failure, the stamp and the fingerprint normally differ from those in the
            // former state, so the next `set_up` makes all rules again.
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
            Some(state) => self.remember(State { backend: self.maker(), ..state }, true),
            None => Ok(()),
        }
    }

    /// Removes all rules of this state root, and the state file.
    fn erase(&mut self) -> Result<()> {
        let made_by_us = self.state.take().is_some_and(|state| state.backend == self.maker());
        self.backend.erase()?;
        if !made_by_us {
            self.erase_others()?;
        }
        store::remove_file(&self.roots.run.join("firewall.json"))
    }

    fn erase_others(&self) -> Result<()> {
        let suffix = naming::chain_suffix(self.roots);
        let all = [BackendKind::Iptables, BackendKind::Nftables].into_iter();
        all.filter(|kind| *kind != self.backend.kind())
            .filter_map(|kind| backend(kind, &suffix))
            .try_for_each(|other| other.erase())
    }

    /// Writes the state, with the present stamp and fingerprint if `intact`, otherwise without
    /// them.
    fn remember(&mut self, mut state: State, intact: bool) -> Result<()> {
        // Without a stamp and a fingerprint, the next `set_up` makes all rules again.
        let known = |text: Option<String>| OrEmpty(text.filter(|_| intact));
        state.stamp = known(self.stamp(state.ipv6));
        state.fingerprint = known(self.fingerprint(state.ipv6));
        self.write(state)
    }

    fn write(&mut self, state: State) -> Result<()> {
        store::replace_json(&self.roots.run.join("firewall.json"), &state, Durability::Lazy)?;
        self.state = Some(state);
        Ok(())
    }

    /// Records that the rules of container `id`'s ports exist. All rules must be intact.
    fn record_ports(&mut self, id: &ContainerId) -> Result<()> {
        let Some(mut state) = self.state.take() else { return Ok(()) };
        state.owners.retain(|owner| owner != id);
        state.owners.push(id.clone());
        self.remember(state, true)
    }

    /// Records that the rules of container `id`'s ports no longer exist. `intact` says whether the
    /// other rules are unchanged.
    fn forget_ports(&mut self, id: &ContainerId, intact: bool) -> Result<()> {
        let Some(mut state) = self.state.take() else { return Ok(()) };
        state.owners.retain(|owner| owner != id);
        self.remember(state, intact)
    }
}

/// Makes sure that the networks with the ids `networks` have their rules, and that container `id`
/// has the rules of its `ports`. If the chosen back end is missing or has a `shortcoming`, succeeds
/// only without `ports`. The container's attachment must be written already, because another
/// command may make all rules from the attachments at any moment.
pub fn set_up(
    roots: &Roots,
    choice: Choice,
    networks: &[&str],
    id: &ContainerId,
    ports: &[PortRule],
    collect: &Collect<'_>,
) -> Result<()> {
    let Some(mut firewall) = Firewall::open(roots, choice)? else {
        if ports.is_empty() {
            return Ok(());
        }
        fail!("ports can't be published by iptables: {NO_IPTABLES}");
    };
    if !firewall.is_intact()? || !networks.iter().all(|network| firewall.covers(network)) {
        return match firewall.rebuild(networks, None, collect) {
            // Ignore the error: once per boot, a command warns of what the kernel lacks.
            Err(_) if ports.is_empty() && firewall.backend.shortcoming().is_some() => Ok(()),
            result => result.context(|| "set the firewall up"),
        };
    }
    if ports.is_empty() || firewall.has_ports_of(id) {
        return Ok(());
    }
    match firewall.backend.add(ports) {
        Ok(()) => firewall.record_ports(id),
        // Another program may have changed the rules at this moment, so make all of them again.
        Err(_) => firewall.rebuild(networks, None, collect),
    }
}

/// Removes the rules of container `id`'s `ports`, then calls `forget`, which must write an
/// attachment of the container that no longer asks for these rules. If there are `ports`, `forget`
/// runs under the lock, so that no other command makes the rules again from the old attachment.
pub fn take_down(
    roots: &Roots,
    id: &ContainerId,
    ports: &[PortRule],
    collect: &Collect<'_>,
    forget: impl FnOnce() -> Result<()>,
) -> Result<()> {
    if ports.is_empty() {
        return forget();
    }
    let Some(mut firewall) = Firewall::open(roots, Choice::Auto)? else { return forget() };
    if firewall.has_ports_of(id) && !firewall.is_cut_short() {
        let was_intact = firewall.is_intact()?;
        match firewall.backend.remove(ports) {
            Ok(()) => firewall.forget_ports(id, was_intact)?,
            // Another program may have changed the rules, so make all other rules again.
            Err(_) => firewall.rebuild(&[], Some(id), collect)?,
        }
    } else if !firewall.is_intact()? {
        // The state does not name the container or does not name a back end, for example because
        // the state was removed, or because a command was killed before it recorded the rules. The
        // container's rules may exist, so make all other rules again.
        firewall.rebuild(&[], Some(id), collect)?;
    }
    forget()
}

/// Removes the rules of the network with this id, which is about to be removed.
pub fn forget(roots: &Roots, network: &str, collect: &Collect<'_>) -> Result<()> {
    if !roots.run.join("firewall.json").exists() {
        return Ok(());
    }
    let Some(mut firewall) = Firewall::open(roots, Choice::Auto)? else { return Ok(()) };
    if !firewall.covers(network) {
        return Ok(());
    }
    let Some(state) = firewall.state.as_mut() else { return Ok(()) };
    state.networks.retain(|id| id != network);
    if !state.networks.is_empty() {
        return firewall.rebuild(&[], None, collect);
    }
    firewall.erase()
}

/// The back end's name, and the rules about `wanted`, which are names of bridges or ids of
/// containers (`backend::only_about`). With nftables, fails if nft(8) cannot be run.
pub fn show(roots: &Roots, wanted: &[String]) -> Result<(&'static str, Vec<String>)> {
    let Some(firewall) = Firewall::open(roots, Choice::Auto)? else { fail!("{NO_IPTABLES}") };
    let rules = backend::only_about(firewall.backend.show()?, wanted);
    Ok((firewall.backend.kind().name(), rules))
}

/// The flaws of the rules, one sentence each; `reload` repairs them. Empty if there is no state
/// file. `attached` returns the ids of the containers that are on a network.
pub fn flaws(
    roots: &Roots,
    attached: impl FnOnce() -> Result<Vec<ContainerId>>,
) -> Result<Vec<String>> {
    let mut flaws = Vec::new();
    if !roots.run.join("firewall.json").exists() {
        return Ok(flaws);
    }
    let Some(mut firewall) = Firewall::open(roots, Choice::Auto)? else { return Ok(flaws) };
    let attached = attached()?;
    let owners = firewall.state.as_ref().map(|state| state.owners.clone()).unwrap_or_default();
    for owner in owners.iter().filter(|owner| !attached.contains(owner)) {
        flaws.push(format!(
            "the firewall lets traffic through to container {}, which is gone",
            owner.short()
        ));
    }
    if firewall.is_cut_short() {
        flaws.push("a change of the firewall's rules was cut short".to_owned());
    } else if flaws.is_empty() && !attached.is_empty() && !firewall.is_intact()? {
        flaws.push("the firewall's rules of this engine were changed by others".to_owned());
    }
    Ok(flaws)
}

/// Makes all rules again, including those of the networks with the ids `networks`. Fails if the
/// chosen back end isn't installed.
pub fn reload(
    roots: &Roots,
    choice: Choice,
    networks: &[&str],
    collect: &Collect<'_>,
) -> Result<()> {
    match Firewall::open(roots, choice)? {
        Some(mut firewall) => {
            firewall.rebuild(networks, None, collect).context(|| "set the firewall up")
        }
        None => fail!("{NO_IPTABLES}"),
    }
}

/// A sentence about what the host lacks for the rules; `None` if the host lacks nothing, or if the
/// state file exists.
pub fn shortcoming(roots: &Roots, choice: Choice) -> Option<String> {
    if roots.run.join("firewall.json").exists() {
        return None;
    }
    match choice.backend(&naming::chain_suffix(roots)) {
        Some(backend) => backend.shortcoming(),
        None => Some(NO_IPTABLES.to_owned()),
    }
}

const NO_IPTABLES: &str = "there is no iptables-restore in PATH or /usr/sbin; install the package iptables, or \
                           choose --firewall nftables";
