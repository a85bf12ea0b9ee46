//! The parent of a macvlan or ipvlan network. The parent is a link that the host has, or a link
//! that mydocker makes for the network: a VLAN (`eth0.20`), or a dummy interface if the user named
//! no parent.
//!
//! The network's record is written before the link is made. So a kill can leave a network without
//! its link, but no link without a record. A missing link is made when a container needs it. One
//! system call makes the link and sets its alias, by which `remove` recognizes the link.
//! References: rtnetlink(7), ip-link(8).

use rustix::io::Errno;

use super::direct::{Direct, Kind, MacvlanMode, Origin, vlan_of};
use super::link::{self, Link};
use super::record::{Network, known};
use super::{alias, bridge};
use crate::error::{Context, Result, fail};
use crate::store::Roots;
use crate::sys::netlink::{Batch, Socket};
use crate::sys::trace::Traced;

/// The options of a macvlan or ipvlan network.
#[derive(Clone, Debug)]
pub struct DirectOptions {
    pub kind: Kind,
    /// `-o parent`: the name of the host's link.
    pub parent: Option<String>,
}

/// Chooses the parent of a new network, and makes nothing. Fails if the parent's name is bad, or if
/// another network uses the parent in an incompatible way. For a parent that no network uses, also
/// fails if the host has no such link and the name is not a VLAN on a link of the host, or if
/// mydocker has to make the link and `alias` is too long for the kernel.
pub fn choose(
    host: &mut Socket,
    id: &str,
    alias: &str,
    wanted: &DirectOptions,
    others: &[Network],
) -> Result<Direct> {
    let kind = wanted.kind;
    // Without its alias, `remove` would take the link for another program's and keep it.
    let check_alias = || -> Result<()> {
        if alias.len() > link::MAX_ALIAS {
            fail!(
                "the path of the state directory is too long to mark a link with it; make the \
                 parent with `ip link` and name it by -o parent="
            );
        }
        Ok(())
    };
    let Some(parent) = wanted.parent.clone() else {
        // Docker uses the same prefixes for its dummy interfaces.
        let start = if kind.driver() == "macvlan" { "dm-" } else { "di-" };
        let parent = format!("{start}{}", &id[..link::MAX_NAME - start.len()]);
        check_alias()?;
        return Ok(Direct { kind, parent, origin: Origin::Dummy });
    };
    if parent == "lo" {
        fail!("-o parent=lo: the loopback interface can't be a parent");
    }
    if parent.is_empty() || parent.len() > link::MAX_NAME {
        fail!("-o parent={parent}: a link's name has 1 to {} bytes", link::MAX_NAME);
    }
    let mut directs = others.iter().filter_map(|other| Some((&other.name, other.direct.as_ref()?)));
    let shared = directs.find(|(_, other)| other.parent == parent);
    let is_for_one = |kind| kind == Kind::Macvlan(MacvlanMode::Passthru);
    if let Some((name, other)) = &shared {
        // The interfaces of a parent are all macvlan or all ipvlan. All ipvlan interfaces of a
        // parent have the same mode. A macvlan interface in passthru mode has the parent to itself.
        let fits = match (kind, other.kind) {
            (Kind::Macvlan(_), Kind::Macvlan(_)) => !is_for_one(kind) && !is_for_one(other.kind),
            (kind, other) => kind == other,
        };
        if !fits {
            fail!(
                "-o parent={parent}: network {name} ({} {}) has this parent; choose another",
                other.kind.driver(),
                other.kind.mode()
            );
        }
        return Ok(Direct { kind, parent, origin: other.origin });
    }
    if link::find(host, &parent)?.is_some() {
        return Ok(Direct { kind, parent, origin: Origin::Host });
    }
    match vlan_of(&parent) {
        Some((below, _)) if link::find(host, below)?.is_some() => {
            check_alias()?;
            Ok(Direct { kind, parent, origin: Origin::Vlan })
        }
        _ => fail!(
            "-o parent={parent}: the host has no such link; `ip link` lists them, and LINK.ID makes \
             a VLAN, such as eth0.20"
        ),
    }
}

/// Makes the network's bridge or parent if it is missing.
pub fn make_ready(host: &mut Socket, roots: &Roots, network: &Network) -> Result<()> {
    match &network.direct {
        Some(direct) => ensure(host, roots, network, direct).map(drop),
        None => bridge::ensure(host, roots, network).map(drop),
    }
}

/// Returns the parent. If the parent is missing, makes the parent first. Fails if a missing parent
/// was a link of the host (`Origin::Host`), or if the link below a missing VLAN is missing too.
pub fn ensure(
    host: &mut Socket,
    roots: &Roots,
    network: &Network,
    direct: &Direct,
) -> Result<Link> {
    let Direct { parent, origin, .. } = direct;
    if let Some(found) = link::find(host, parent)?
        && (found.is_up || *origin == Origin::Host)
    {
        return Ok(found);
    }
    let _change = network.lock(roots)?;
    if link::find(host, parent)?.is_none() {
        make(host, roots, network, direct)?;
    }
    match link::find(host, parent)? {
        Some(found) => Ok(found),
        None => fail!("link {parent} was removed right after it was created"),
    }
}

fn make(host: &mut Socket, roots: &Roots, network: &Network, direct: &Direct) -> Result<()> {
    let Direct { parent, origin, .. } = direct;
    let mut batch = Batch::default();
    let alias = alias::of(roots, &network.name);
    let kind = match (origin, vlan_of(parent)) {
        (Origin::Vlan, Some((below, id))) => {
            let Some(below) = link::find(host, below)? else {
                fail!("network {}: the host has no link {below} for {parent}", network.name)
            };
            link::add_vlan(&mut batch, parent, &alias, below.index, id);
            "vlan"
        }
        (Origin::Dummy, _) => {
            link::add_dummy(&mut batch, parent, &alias);
            "dummy"
        }
        _ => fail!("network {}: the host has no link {parent}, its parent", network.name),
    };
    let made = host.send(batch).traced("RTM_NEWLINK", || format!("{kind} {parent}"));
    explain_lack(made, kind)
}

/// Explains the kernel's error EOPNOTSUPP ("Unknown device type"): the kernel lacks this kind of
/// link.
pub fn explain_lack(made: Result<()>, kind: &str) -> Result<()> {
    match made {
        Err(error) if error.errno() == Some(Errno::OPNOTSUPP) => {
            Err(error).context(|| format!("this kernel makes no {kind} links"))
        }
        made => made,
    }
}

/// Removes the parent if mydocker made it and no other network uses it.
pub fn remove(host: &mut Socket, roots: &Roots, network: &Network, direct: &Direct) -> Result<()> {
    let Direct { parent, origin, .. } = direct;
    let shares = |other: &Network| {
        other.id != network.id
            && other.direct.as_ref().is_some_and(|direct| direct.parent == *parent)
    };
    if *origin == Origin::Host || known(roots)?.iter().any(shares) {
        return Ok(());
    }
    alias::remove_own(host, roots, parent)
}
