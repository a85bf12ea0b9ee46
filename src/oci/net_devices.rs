//! `netDevices` of config.json (config-linux.md, "Network Devices"): `create` moves these
//! interfaces from the runtime's network namespace into the container's. Nothing tracks them
//! afterwards: when the namespace ends, the kernel deletes a virtual interface and returns a
//! physical one to the host.

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::Pid;

use super::field::MAX_ENTRIES;
use crate::error::{Context, Result};
use crate::json::Node;
use crate::network::endpoint::NetworkNamespace;
use crate::network::link;
use crate::runtime::spec::{Namespace, Namespaces};
use crate::sys::netlink::Socket;

/// An interface to move.
pub struct NetDevice {
    /// The name on the host.
    name: String,
    /// The name in the container. The kernel replaces `%d` by a number.
    inside: String,
}

/// Reads the interfaces to move. Fails if there are interfaces and the container uses the host's
/// network, if a name is not valid, or if two interfaces get the same name in the container.
pub fn parse(linux: &Node<'_>, namespaces: &Namespaces) -> Result<Vec<NetDevice>> {
    let Some(all) = linux.get("netDevices")? else { return Ok(Vec::new()) };
    if !all.is_empty() && namespaces.network == Namespace::Host {
        return Err(all.wrong("absent without a network namespace in linux.namespaces"));
    }
    let mut devices: Vec<NetDevice> = Vec::new();
    all.fields(MAX_ENTRIES, |name, device| {
        let inside = Some(device.text("name")?).filter(|inside| !inside.is_empty());
        let inside = inside.unwrap_or_else(|| name.to_owned());
        if !is_name(name) || name.contains('%') || !is_name(&inside) {
            let what = format!("of interfaces' names, with at most {} bytes", link::MAX_NAME);
            return Err(device.wrong(&what));
        }
        if !inside.contains('%') && devices.iter().any(|other| other.inside == inside) {
            return Err(device.wrong(&format!("the only interface with the name '{inside}'")));
        }
        devices.push(NetDevice { name: name.to_owned(), inside });
        Ok(())
    })?;
    Ok(devices)
}

/// Whether `name` is valid as the name of an interface. The name may contain one `%d`. Unlike the
/// kernel, refuses control characters.
fn is_name(name: &str) -> bool {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
    let is_template = !name.contains('%') || name.matches('%').count() == 1 && name.contains("%d");
    !matches!(name, "" | "." | "..")
        && name.len() <= link::MAX_NAME
        && name.chars().all(is_plain)
        && is_template
}

/// Moves the interfaces into the container's network namespace. If the configuration gives a path
/// of the namespace, opens this path, because the container's first process may not have joined
/// the namespace yet. Otherwise, opens the namespace of process `pid`.
pub fn move_all(devices: &[NetDevice], namespaces: &Namespaces, pid: Pid) -> Result<()> {
    if devices.is_empty() {
        return Ok(());
    }
    let mut host = Socket::route()?;
    let mut namespace = match &namespaces.network {
        Namespace::Path(path) => {
            let handle = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
            NetworkNamespace::of(handle.context(|| format!("open {}", path.display()))?)?
        }
        _ => NetworkNamespace::open(pid)?,
    };
    for NetDevice { name, inside } in devices {
        namespace
            .move_link_in(&mut host, name, inside)
            .context(|| format!("config.json: linux.netDevices.{name}"))?;
    }
    Ok(())
}
