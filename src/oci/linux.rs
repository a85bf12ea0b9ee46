//! `linux` of config.json as the parts of the runtime's `Spec` (config-linux.md): namespaces, ID
//! mappings, cgroup, devices, sysctls, seccomp. Each function reads one field; `refuse_unsupported`
//! names those that this runtime does not have.

use std::path::{Path, PathBuf};

use super::config::{MAX_ENTRIES, flag, refuse};
use crate::error::{Error, Result, fail};
use crate::json::Node;
use crate::runtime::seccomp::Seccomp;
use crate::runtime::spec::{
    Cgroup, DeviceAccess, DeviceKind, DeviceNode, DeviceRule, DeviceVerdict, FurtherLimits, IdMaps,
    IdRange, Namespace, Namespaces, Resources, RootPropagation, TimeOffset,
};
use crate::runtime::user_namespace;
use crate::seccomp_profile;

/// Where a container's cgroups are made if config.json doesn't say.
const DEFAULT_PARENT: &str = "/mydocker-runtime";

/// One of `words`, by its place.
fn one_of(node: &Node<'_>, words: &[&str]) -> Result<usize> {
    let text = node.string()?;
    let found = words.iter().position(|word| *word == text);
    found.ok_or_else(|| node.wrong(&format!("one of {}, not '{text}'", words.join(", "))))
}

/// All namespaces: those that the list lacks are the caller's.
pub fn namespaces(linux: &Node<'_>) -> Result<Namespaces> {
    const KINDS: [&str; 8] = ["pid", "ipc", "uts", "network", "user", "cgroup", "time", "mount"];
    let mut found: [Option<Namespace>; 8] = [const { None }; 8];
    if let Some(list) = linux.get("namespaces")? {
        list.each(MAX_ENTRIES, |entry| {
            let kind = entry.need("type")?;
            let at = one_of(&kind, &KINDS)?;
            let namespace = match entry.get("path")? {
                Some(path) if !path.is_empty() => {
                    let text = path.string()?;
                    if !text.starts_with('/') {
                        return Err(path.wrong("an absolute path"));
                    }
                    Namespace::Path(text.into())
                }
                _ => Namespace::Private,
            };
            match found[at].replace(namespace) {
                Some(_) => Err(kind.wrong("in the list once")),
                None => Ok(()),
            }
        })?;
    }
    let [pid, ipc, uts, network, user, cgroup, time, mount] =
        found.map(|namespace| namespace.unwrap_or(Namespace::Host));
    if mount != Namespace::Private {
        fail!("config.json: linux.namespaces should have a new mount namespace");
    }
    let time_offsets = match linux.get("timeOffsets")? {
        Some(offsets) if time == Namespace::Private => time_offsets(&offsets)?,
        Some(offsets) if !offsets.is_empty() => {
            return Err(offsets.wrong("absent without a new time namespace"));
        }
        _ => Vec::new(),
    };
    Ok(Namespaces { pid, ipc, uts, network, user, cgroup, time, time_offsets })
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

/// The IDs of the user namespace, if there is one.
pub fn ids(linux: &Node<'_>, namespaces: &Namespaces) -> Result<Option<IdMaps>> {
    let ranges = |key| match linux.get(key)? {
        Some(list) => list.each(MAX_ENTRIES, range),
        None => Ok(Vec::new()),
    };
    let (uids, gids) = (ranges("uidMappings")?, ranges("gidMappings")?);
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

fn range(node: &Node<'_>) -> Result<IdRange> {
    let of = |key: &str| node.need(key)?.id();
    let (inside, outside, size) = (of("containerID")?, of("hostID")?, of("size")?);
    match inside.checked_add(size).and(outside.checked_add(size)) {
        Some(_) if size > 0 => Ok(IdRange { inside, outside, size }),
        _ => Err(node.wrong("a range of at least one ID below 4294967295")),
    }
}

/// The cgroup.
pub fn cgroup(linux: &Node<'_>, id: &str) -> Result<Cgroup> {
    let path = linux.text("cgroupsPath")?;
    let path = match path.as_str() {
        "" => Path::new(DEFAULT_PARENT).join(id),
        path if path.starts_with('/') => PathBuf::from(path),
        path => Path::new(DEFAULT_PARENT).join(path),
    };
    let plain = path.components().all(|part| {
        matches!(part, std::path::Component::Normal(_) | std::path::Component::RootDir)
    });
    if !plain || path.file_name().is_none() {
        fail!(
            "config.json: linux.cgroupsPath should be the path of a directory of the container's \
             own, without '..', not '{}'",
            path.display()
        )
    }
    Ok(Cgroup {
        path: path.display().to_string(),
        resources: match linux.get("resources")? {
            Some(resources) => limits(&resources)?,
            None => Resources::default(),
        },
        further: FurtherLimits::default(),
        default_pids: None,
        default_memory_swap: None,
        every_controller: true,
        name_limit: |name| format!("config.json: linux.resources.{name}"),
    })
}

/// The limits of `linux.resources`, and of `update`.
pub fn limits(resources: &Node<'_>) -> Result<Resources> {
    let mut limits = Resources::default();
    for key in ["hugepageLimits", "network", "rdma", "unified"] {
        refuse(resources, key)?;
    }
    // Zero, and for sizes a negative number, is no limit.
    let number = |node: &Node<'_>, key: &str| -> Result<Option<u64>> {
        let found = node.get(key)?.map(|node| node.signed()).transpose()?;
        Ok(found.filter(|number| *number > 0).map(|number| number as u64))
    };
    if let Some(memory) = resources.get("memory")? {
        for key in ["kernel", "kernelTCP", "useHierarchy", "checkBeforeUpdate"] {
            if number_or_flag(&memory, key)? {
                refuse(&memory, key)?;
            }
        }
        // -1 is no limit.
        let size = |key| -> Result<Option<i64>> {
            let size = memory.get(key)?.map(|size| size.signed()).transpose()?;
            Ok(size.filter(|size| *size != 0))
        };
        limits.memory = size("limit")?;
        limits.memory_reservation = size("reservation")?;
        limits.memory_swap = size("swap")?;
        limits.memory_swappiness =
            memory.get("swappiness")?.map(|swappiness| swappiness.unsigned()).transpose()?;
        limits.oom_kill_disable = Some(flag(&memory, "disableOOMKiller")?).filter(|off| *off);
    }
    if let Some(cpu) = resources.get("cpu")? {
        for key in ["burst", "realtimeRuntime", "realtimePeriod", "idle"] {
            refuse(&cpu, key)?;
        }
        limits.cpu_shares = number(&cpu, "shares")?;
        limits.cpu_quota = cpu.get("quota")?.map(|quota| quota.signed()).transpose()?;
        limits.cpu_quota = limits.cpu_quota.filter(|quota| *quota != 0);
        limits.cpu_period = number(&cpu, "period")?;
        let text = |key| Ok::<_, Error>(Some(cpu.text(key)?).filter(|text| !text.is_empty()));
        (limits.cpuset_cpus, limits.cpuset_mems) = (text("cpus")?, text("mems")?);
    }
    if let Some(pids) = resources.get("pids")? {
        limits.pids = pids.get("limit")?.map(|limit| limit.signed()).transpose()?;
        limits.pids = limits.pids.filter(|limit| *limit != 0);
    }
    if let Some(io) = resources.get("blockIO")? {
        for key in [
            "leafWeight",
            "weightDevice",
            "throttleReadBpsDevice",
            "throttleWriteBpsDevice",
            "throttleReadIOPSDevice",
            "throttleWriteIOPSDevice",
        ] {
            refuse(&io, key)?;
        }
        if let Some(weight) = number(&io, "weight")? {
            let weight = u16::try_from(weight).ok().filter(|weight| (10..=1000).contains(weight));
            let wrong =
                || Error::new("config.json: linux.resources.blockIO.weight should be 10 to 1000");
            limits.blkio_weight = Some(weight.ok_or_else(wrong)?);
        }
    }
    Ok(limits)
}

/// Whether the field asks for something: -1 is no limit.
fn number_or_flag(node: &Node<'_>, key: &str) -> Result<bool> {
    Ok(node.get(key)?.is_some_and(|found| found.signed().map_or(true, |number| number > 0)))
}

/// The devices that the rules allow.
pub fn device_access(linux: &Node<'_>) -> Result<DeviceAccess> {
    let mut access = DeviceAccess::Only(Vec::new());
    let Some(resources) = linux.get("resources")? else { return Ok(access) };
    let Some(rules) = resources.get("devices")? else { return Ok(access) };
    rules.each(MAX_ENTRIES, |node| {
        let allow = node.need("allow")?.boolean()?;
        let kind = match node.get("type")? {
            Some(kind) => match kind.string()?.as_str() {
                "" | "a" => DeviceKind::Any,
                "b" => DeviceKind::Block,
                "c" | "u" => DeviceKind::Character,
                _ => return Err(kind.wrong("one of a, b, c")),
            },
            None => DeviceKind::Any,
        };
        // A negative number is any.
        let number = |key| -> Result<Option<u32>> {
            let number = node.get(key)?.map(|number| number.signed()).transpose()?;
            let number = number.filter(|number| *number >= 0);
            number
                .map(|n| u32::try_from(n).map_err(|_| node.wrong("of 32-bit numbers")))
                .transpose()
        };
        let (major, minor) = (number("major")?, number("minor")?);
        let letters = node.text("access")?;
        let letters = if letters.is_empty() { "rwm".to_owned() } else { letters };
        if letters.chars().any(|letter| !"rwm".contains(letter)) {
            return Err(node.need("access")?.wrong("some of rwm"));
        }
        let is_all = kind == DeviceKind::Any
            && (major, minor) == (None, None)
            && "rwm".chars().all(|letter| letters.contains(letter));
        match (allow, is_all, &mut access) {
            (true, true, _) => access = DeviceAccess::All,
            (false, true, _) => access = DeviceAccess::Only(Vec::new()),
            (_, false, DeviceAccess::Only(rules)) => {
                let verdict = if allow { DeviceVerdict::Allow } else { DeviceVerdict::Deny };
                rules.push((verdict, DeviceRule { kind, major, minor, access: letters }));
            }
            (true, false, DeviceAccess::All) => {}
            (false, false, DeviceAccess::All) => {
                return Err(node.wrong("a rule that allows, or one that denies all"));
            }
        }
        Ok(())
    })?;
    Ok(access)
}

/// The nodes to make beside the standard ones.
pub fn devices(linux: &Node<'_>) -> Result<Vec<DeviceNode>> {
    let Some(devices) = linux.get("devices")? else { return Ok(Vec::new()) };
    devices.each(MAX_ENTRIES, |node| {
        let path = node.need("path")?;
        if !path.string()?.starts_with("/dev/") {
            return Err(path.wrong("below /dev"));
        }
        let kinds = ["c", "u", "b"];
        let is_block = one_of(&node.need("type")?, &kinds)? == 2;
        let id = |key: &str| node.get(key)?.map_or(Ok(0), |id| id.id());
        let mode = node.get("fileMode")?.map_or(Ok(0o666), |mode| mode.id())?;
        Ok(DeviceNode {
            path: path.string()?,
            is_block,
            major: node.need("major")?.id()?,
            minor: node.need("minor")?.id()?,
            mode: mode & 0o7777,
            uid: id("uid")?,
            gid: id("gid")?,
        })
    })
}

/// The kernel's settings, of namespaces that the container has for itself.
pub fn sysctls(linux: &Node<'_>, namespaces: &Namespaces) -> Result<Vec<(String, String)>> {
    const IPC: [&str; 9] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.shm_next_id",
    ];
    let Some(all) = linux.get("sysctl")? else { return Ok(Vec::new()) };
    all.fields(MAX_ENTRIES, |key, value| {
        let name = if key.contains('/') { key.replace('/', ".") } else { key.to_owned() };
        let own = |namespace: &Namespace| *namespace != Namespace::Host;
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            && !name.split('.').any(str::is_empty);
        let holds = if IPC.contains(&name.as_str()) || name.starts_with("fs.mqueue.") {
            own(&namespaces.ipc)
        } else if name.starts_with("net.") {
            own(&namespaces.network)
        } else {
            matches!(name.as_str(), "kernel.domainname" | "kernel.hostname") && own(&namespaces.uts)
        };
        if holds && is_plain {
            Ok((name, value.string()?))
        } else {
            Err(value.wrong("a setting of a namespace that the container has for itself"))
        }
    })
}

/// The filter of system calls.
pub fn seccomp(linux: &Node<'_>, capabilities: u64, id: &str, bundle: &Path) -> Result<Seccomp> {
    let Some(profile) = linux.get("seccomp")? else { return Ok(Seccomp::Unconfined) };
    let mut filter = seccomp_profile::parse(&profile, capabilities)?;
    if let Some(listener) = &mut filter.listener {
        (listener.id, listener.bundle) = (id.to_owned(), bundle.display().to_string());
    }
    Ok(Seccomp::Filter(Box::new(filter)))
}

/// The propagation of the container's `/`.
pub fn root_propagation(linux: &Node<'_>) -> Result<Option<RootPropagation>> {
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
    Ok(match one_of(&node, &WORDS)? {
        0 | 1 => None,
        2 | 3 => Some(RootPropagation::Slave),
        4 | 5 => Some(RootPropagation::Shared),
        _ => Some(RootPropagation::Unbindable),
    })
}

/// Fails for what the specification knows and this runtime does not.
pub fn refuse_unsupported(linux: &Node<'_>) -> Result<()> {
    for key in ["intelRdt", "personality", "mountLabel", "memoryPolicy", "netDevices"] {
        refuse(linux, key)?;
    }
    Ok(())
}
