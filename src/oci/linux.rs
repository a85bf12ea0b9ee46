//! The object `linux` of config.json as parts of the runtime's `Spec` (config-linux.md):
//! namespaces, ID mappings, cgroup, devices, sysctls, seccomp, root propagation and mount label.
//! `resources`, `scheduling`, `net_devices` and `config` read the rest. Of the fields directly in
//! `linux`, only `intelRdt` is not supported: `refuse_rdt` reports it.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use super::field::{MAX_ENTRIES, absolute, one_of};
use super::resources::{self, Limits};
use super::systemd::Unit;
use crate::error::{Context, Result, fail};
use crate::json::Node;
use crate::runtime::label;
use crate::runtime::seccomp::Seccomp;
use crate::runtime::spec::{
    Cgroup, DeviceNode, IdMaps, IdRange, LastPropagation, Namespace, Namespaces, NodeKind,
    PropagationKind, TimeOffset,
};
use crate::runtime::sysctl::{self, Owner};
use crate::runtime::user_namespace;
use crate::seccomp_profile;

/// The maximum length of cgroupsPath, in bytes. The kernel limits a path to 4096 bytes, and the
/// hierarchy's mount point is a part of the cgroup's path.
const MAX_CGROUPS_PATH: usize = 3072;

/// The kinds of namespaces.
pub const NAMESPACES: [&str; 8] =
    ["pid", "ipc", "uts", "network", "user", "cgroup", "time", "mount"];

/// All namespaces of the container. For a kind that the list lacks, the container stays in the
/// runtime's namespace.
pub fn namespaces(linux: &Node<'_>) -> Result<Namespaces> {
    let mut found: [Option<Namespace>; 8] = [const { None }; 8];
    linux.list("namespaces", MAX_ENTRIES, |entry| {
        let kind = entry.need("type")?;
        let at = one_of(&kind, &NAMESPACES)?;
        let namespace = match entry.get("path")? {
            Some(path) if !path.is_empty() => Namespace::Path(absolute(&path)?.into()),
            _ => Namespace::Private,
        };
        match found[at].replace(namespace) {
            Some(_) => Err(kind.wrong("in the list once")),
            None => Ok(()),
        }
    })?;
    let [pid, ipc, uts, network, user, cgroup, time, mount] =
        found.map(|namespace| namespace.unwrap_or(Namespace::Host));
    if mount != Namespace::Private && user != Namespace::Host {
        fail!(
            "config.json: linux.namespaces should have a new mount namespace beside a user namespace"
        );
    }
    let time_offsets = match linux.get("timeOffsets")? {
        Some(offsets) if time == Namespace::Private => time_offsets(&offsets)?,
        Some(offsets) if !offsets.is_empty() => {
            return Err(offsets.wrong("absent without a new time namespace"));
        }
        _ => Vec::new(),
    };
    Ok(Namespaces { mount, pid, ipc, uts, network, user, cgroup, time, time_offsets })
}

fn time_offsets(offsets: &Node<'_>) -> Result<Vec<TimeOffset>> {
    offsets.fields(MAX_ENTRIES, |clock, offset| {
        let number = |key| offset.get(key)?.map_or(Ok(0), |node| node.signed());
        Ok(TimeOffset {
            clock: match clock {
                "monotonic" => 1,
                "boottime" => 7,
                _ => return Err(offset.wrong("of the clock 'monotonic' or 'boottime'")),
            },
            seconds: number("secs")?,
            nanoseconds: u32::try_from(number("nanosecs")?)
                .ok()
                .filter(|nanoseconds| *nanoseconds < 1_000_000_000)
                .ok_or_else(|| offset.wrong("with less than 1000000000 nanoseconds"))?,
        })
    })
}

/// The ID mappings of the user namespace; `None` if the container has no user namespace. For a
/// namespace that is given by its path, reads the mappings from this namespace. Fails if mappings
/// are given without a user namespace, or are missing for a new one.
pub fn ids(linux: &Node<'_>, namespaces: &Namespaces) -> Result<Option<IdMaps>> {
    let IdMaps { uids, gids } = mappings(linux)?;
    match &namespaces.user {
        Namespace::Host if uids.is_empty() && gids.is_empty() => Ok(None),
        Namespace::Host => {
            fail!("config.json: linux.uidMappings needs a user namespace in linux.namespaces")
        }
        Namespace::Path(path) => user_namespace::ids_of(path).map(Some),
        _ if uids.is_empty() || gids.is_empty() => {
            fail!("config.json: linux.uidMappings and linux.gidMappings should not be empty")
        }
        _ => Ok(Some(IdMaps { uids, gids })),
    }
}

/// Reads `uidMappings` and `gidMappings` of `linux` or of a mount.
pub fn mappings(node: &Node<'_>) -> Result<IdMaps> {
    let ranges = |key| node.list(key, MAX_ENTRIES, range);
    Ok(IdMaps { uids: ranges("uidMappings")?, gids: ranges("gidMappings")? })
}

fn range(node: &Node<'_>) -> Result<IdRange> {
    let of = |key: &str| node.need(key)?.id();
    let (inside, outside, size) = (of("containerID")?, of("hostID")?, of("size")?);
    match inside.checked_add(size).and(outside.checked_add(size)) {
        Some(_) if size > 0 => Ok(IdRange { inside, outside, size }),
        _ => Err(node.wrong("a range of at least one ID below 4294967295")),
    }
}

/// The cgroup, and the systemd unit if systemd makes the cgroup.
pub fn cgroup(linux: &Node<'_>, id: &str, by_systemd: bool) -> Result<(Cgroup, Option<Unit>)> {
    let path = linux.text("cgroupsPath")?;
    let unit = if by_systemd { Some(Unit::parse(&path, id)?) } else { None };
    let path = unit.as_ref().map_or(path, Unit::cgroup);
    let path = match path.as_str() {
        // As in crun, a path is relative to the roots of the hierarchies. Without a path, the
        // cgroup has the container's id as its name.
        "" => Path::new("/").join(id),
        path => Path::new("/").join(path),
    };
    // Refuse a name that the kernel does not accept, and `..`, which could lead to another cgroup.
    let plain = path.as_os_str().len() <= MAX_CGROUPS_PATH
        && path.components().all(|part| match part {
            Component::Normal(name) => name.len() <= 255 && !name.as_bytes().contains(&0),
            part => part == Component::RootDir,
        });
    if !plain || path.file_name().is_none() {
        fail!(
            "config.json: linux.cgroupsPath should be the path of a directory of the container's \
             own, without '..', not '{}'",
            path.display()
        )
    }
    let limits = match linux.get("resources")? {
        Some(resources) => resources::limits(&resources)?,
        None => Limits::default(),
    };
    let cgroup = Cgroup {
        path: path.display().to_string(),
        resources: limits.resources,
        further: limits.further,
        default_pids: None,
        default_memory_swap: None,
        every_controller: true,
        name_limit: |name| format!("config.json: linux.resources.{name}"),
    };
    Ok((cgroup, unit))
}

/// The device nodes to make in addition to the standard ones (config-linux.md, "Default Devices").
pub fn devices(linux: &Node<'_>) -> Result<Vec<DeviceNode>> {
    linux.list("devices", MAX_ENTRIES, |node| {
        let path = absolute(&node.need("path")?)?;
        let kind = match one_of(&node.need("type")?, &["c", "u", "b", "p"])? {
            0 | 1 => NodeKind::Character,
            2 => NodeKind::Block,
            _ => NodeKind::Fifo,
        };
        let number = |key: &str| match kind {
            NodeKind::Fifo => Ok(0),
            _ => node.need(key)?.id(),
        };
        let id = |key: &str| node.get(key)?.map_or(Ok(0), |id| id.id());
        let mode = node.get("fileMode")?.map_or(Ok(0o666), |mode| mode.id())?;
        Ok(DeviceNode {
            path,
            kind,
            major: number("major")?,
            minor: number("minor")?,
            mode: mode & 0o7777,
            uid: id("uid")?,
            gid: id("gid")?,
        })
    })
}

/// The sysctls to set. Fails if a sysctl has a bad name, belongs to no namespace, or belongs to a
/// namespace that the container shares with the host.
pub fn sysctls(linux: &Node<'_>, namespaces: &Namespaces) -> Result<Vec<(String, String)>> {
    let Some(all) = linux.get("sysctl")? else { return Ok(Vec::new()) };
    all.fields(MAX_ENTRIES, |key, value| {
        let name = key.replace('/', ".");
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            && !name.split('.').any(str::is_empty);
        let namespace = sysctl::owner(&name).map(|owner| match owner {
            Owner::Ipc => &namespaces.ipc,
            Owner::Network => &namespaces.network,
            Owner::Uts => &namespaces.uts,
        });
        if is_plain && namespace.is_some_and(|namespace| *namespace != Namespace::Host) {
            Ok((name, value.string()?))
        } else {
            Err(value.wrong("a setting of a namespace that the container has for itself"))
        }
    })
}

/// The seccomp filter. If an agent decides on calls, the agent receives the container's id, bundle
/// and annotations.
pub fn seccomp(
    linux: &Node<'_>,
    capabilities: u64,
    id: &str,
    bundle: &Path,
    annotations: &BTreeMap<String, String>,
) -> Result<Seccomp> {
    let Some(profile) = linux.get("seccomp")? else { return Ok(Seccomp::Unconfined) };
    let mut filter = seccomp_profile::parse(&profile, capabilities)?;
    if let Some(listener) = &mut filter.listener {
        (listener.id, listener.bundle) = (id.to_owned(), bundle.display().to_string());
        listener.annotations = annotations.clone();
    }
    Ok(Seccomp::Filter(Box::new(filter)))
}

/// The mount propagation of the container's `/`; `None` if it is private.
pub fn root_propagation(linux: &Node<'_>) -> Result<Option<LastPropagation>> {
    const WORDS: [&str; 8] = [
        "private",
        "rprivate",
        "slave",
        "rslave",
        "shared",
        "rshared",
        "unbindable",
        "runbindable",
    ];
    let Some(node) = linux.get("rootfsPropagation")? else { return Ok(None) };
    if node.is_empty() {
        return Ok(None);
    }
    let word = one_of(&node, &WORDS)?;
    let kind = match word {
        0 | 1 => return Ok(None),
        2 | 3 => PropagationKind::Slave,
        4 | 5 => PropagationKind::Shared,
        _ => PropagationKind::Unbindable,
    };
    Ok(Some(LastPropagation { kind, recursive: word % 2 == 1 }))
}

/// The SELinux label of files in new file systems. Fails if this host has no such label.
pub fn mount_label(linux: &Node<'_>) -> Result<Option<String>> {
    let label = Some(linux.text("mountLabel")?).filter(|label| !label.is_empty());
    if let Some(label) = &label {
        label::check_selinux(label).context(|| "config.json: linux.mountLabel")?;
    }
    Ok(label)
}

/// Fails if `intelRdt` sets anything.
pub fn refuse_rdt(linux: &Node<'_>) -> Result<()> {
    if linux.get("intelRdt")?.is_none_or(|rdt| rdt.is_empty()) {
        return Ok(());
    }
    // The kernel creates the directory if the processor supports resctrl.
    if Path::new("/sys/fs/resctrl").exists() {
        fail!("config.json: linux.intelRdt is not supported, although there is resctrl");
    }
    fail!("config.json: linux.intelRdt: this host has no resctrl")
}
