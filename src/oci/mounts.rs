//! The array `mounts` of config.json (config.md, "Mounts") as mounts of the runtime. An option sets
//! attributes of the mount, sets its propagation, or selects the kind of mount (`bind`, `rbind`,
//! `remount`, `idmap`, `ridmap`, `tmpcopyup`). Options in `NEUTRAL` have no effect. All other
//! options are passed to the file system. For a bind or a remount they are errors, and a mount of
//! the cgroups ignores them. `copy-symlink` is known but not supported, so it is an error.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use linux_raw_sys::general::{
    MOUNT_ATTR__ATIME as ATIME, MOUNT_ATTR_NOATIME as NOATIME, MOUNT_ATTR_NODEV as NODEV,
    MOUNT_ATTR_NODIRATIME as NODIRATIME, MOUNT_ATTR_NOEXEC as NOEXEC, MOUNT_ATTR_NOSUID as NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW as NOSYMFOLLOW, MOUNT_ATTR_RDONLY as RDONLY,
    MOUNT_ATTR_STRICTATIME as STRICTATIME,
};

use super::field::MAX_ENTRIES;
use super::linux::mappings;
use crate::error::{Error, Result};
use crate::json::Node;
use crate::order;
use crate::runtime::spec::{
    Attributes, IdMaps, LastPropagation, Mount, MountSource, Owners, Propagation, PropagationKind,
    Recursion,
};

/// Options that change attributes: the attributes that each one sets and clears. With the prefix
/// `r`, an option also applies to the mounts below.
const OPTIONS: [(&str, u32, u32); 19] = [
    ("ro", RDONLY, 0),
    ("rw", 0, RDONLY),
    ("nosuid", NOSUID, 0),
    ("suid", 0, NOSUID),
    ("nodev", NODEV, 0),
    ("dev", 0, NODEV),
    ("noexec", NOEXEC, 0),
    ("exec", 0, NOEXEC),
    ("noatime", NOATIME, ATIME),
    ("atime", 0, ATIME),
    ("strictatime", STRICTATIME, ATIME),
    ("nostrictatime", 0, ATIME),
    ("relatime", 0, ATIME),
    ("norelatime", 0, 0),
    ("nodiratime", NODIRATIME, 0),
    ("diratime", 0, NODIRATIME),
    ("nosymfollow", NOSYMFOLLOW, 0),
    ("symfollow", 0, NOSYMFOLLOW),
    ("defaults", 0, 0),
];

/// Options of mount(8) and of devpts that this runtime accepts and ignores.
const NEUTRAL: [&str; 9] = [
    "async",
    "nolazytime",
    "nomand",
    "loud",
    "silent",
    "noiversion",
    "iversion",
    "mand",
    "newinstance",
];

/// The propagation that a bind mount inherits if `rootfsPropagation` is shared.
const SHARED: Option<LastPropagation> =
    Some(LastPropagation { kind: PropagationKind::Shared, recursive: true });

/// The options of mount propagation. With the prefix `r`, an option also applies to the mounts
/// below.
const PROPAGATION: [&str; 4] = ["private", "slave", "shared", "unbindable"];

/// The mounts in their order. A bind mount without a propagation option gets the root's
/// propagation, or `private` if the root is unbindable.
pub fn parse(
    node: &Node<'_>,
    bundle: &Path,
    ids: Option<&IdMaps>,
    root: Option<LastPropagation>,
) -> Result<Vec<Mount>> {
    node.list("mounts", MAX_ENTRIES, |node| mount(node, bundle, ids, root))
}

fn mount(
    node: &Node<'_>,
    bundle: &Path,
    ids: Option<&IdMaps>,
    root: Option<LastPropagation>,
) -> Result<Mount> {
    let destination = node.need("destination")?;
    let target = destination.string()?;
    if target.is_empty() || target.contains('\0') {
        return Err(destination.wrong("a path in the container"));
    }
    // A relative target is deprecated. The specification demands that it is relative to `/`.
    let target = Path::new("/").join(target);
    let options = read_options(node)?;
    let (kind, source) = (node.text("type")?, node.text("source")?);
    let kernel = |kind: &str| -> Result<CString> {
        CString::new(kind).map_err(|_| Error::new(format!("{} holds a zero byte", node.path())))
    };
    let data = options.data.join(",");
    let mut recursion = Recursion::Enabled;
    let source = match kind.as_str() {
        _ if options.remount => {
            if let Some(unknown) = options.data.first() {
                let what = format!("without '{unknown}', which no remount changes");
                return Err(node.need("options")?.wrong(&what));
            }
            MountSource::Remount
        }
        _ if options.bind || options.rbind || kind == "bind" => {
            if source.is_empty() {
                return Err(node.wrong("given a source, because it is a bind"));
            }
            if let Some(unknown) = options.data.first() {
                let what = format!("without '{unknown}', which no bind has");
                return Err(node.need("options")?.wrong(&what));
            }
            recursion = if options.rbind { Recursion::Writable } else { Recursion::Disabled };
            MountSource::Bind(bundle.join(source))
        }
        "" => return Err(node.wrong("given a type")),
        "cgroup" | "cgroup2" => MountSource::Cgroups,
        "proc" | "sysfs" | "devpts" | "mqueue" => {
            MountSource::Kernel { kind: kernel(&kind)?.into(), options: data.into() }
        }
        "tmpfs" if target == Path::new("/dev") => MountSource::Devices { options: data.into() },
        other => MountSource::Filesystem {
            kind: kernel(other)?,
            // A source that begins with `.` is a path in the bundle. Pass on any other source as it
            // is: for an overlay or a tmpfs it is only a label.
            source: if source.starts_with('.') { absolute(bundle, &source) } else { source },
            options: data,
        },
    };
    let owners = owners(node, &options, ids)?;
    if owners.is_some() && !matches!(source, MountSource::Bind(_)) {
        return Err(node.need("options")?.wrong("without 'idmap', because it is no bind"));
    }
    let is_new = matches!(source, MountSource::Filesystem { .. });
    if options.copy_up && !is_new {
        let what = "without 'tmpcopyup', because it is no tmpfs of the container's own";
        return Err(node.need("options")?.wrong(what));
    }
    let copy_up = options.copy_up;
    let inherited = match root.map(|root| root.kind) {
        Some(PropagationKind::Slave) => Propagation::Slave,
        Some(PropagationKind::Shared) => Propagation::Shared,
        _ => Propagation::Private,
    };
    let (own, mut last_propagation) = (options.propagation, options.last_propagation);
    let mut propagation = own.unwrap_or(inherited);
    let mut propagation_below = options.propagation_below.unwrap_or(inherited);
    let is_bind = matches!(source, MountSource::Bind(_));
    if is_bind && (own, inherited) == (None, Propagation::Shared) {
        last_propagation = SHARED;
    }
    if !is_bind {
        // A new file system is in no peer group of the host, and has no mounts below it. A remount
        // is treated the same: it can only make the mount itself shared or unbindable.
        last_propagation =
            last_propagation.map(|last| LastPropagation { recursive: false, ..last });
        (propagation, propagation_below) = (Propagation::Private, Propagation::Private);
    }
    if matches!(source, MountSource::Cgroups) && last_propagation.is_some() {
        let what = "without 'shared' and 'unbindable', because the cgroups are the container's own";
        return Err(node.need("options")?.wrong(what));
    }
    let read_only = matches!(source, MountSource::Cgroups) && options.attributes.set & RDONLY != 0;
    let attributes = options.attributes;
    Ok(Mount {
        read_only,
        owners,
        copy_up,
        attributes,
        propagation,
        propagation_below,
        last_propagation,
        recursion,
        ..Mount::new(source, target)
    })
}

/// The ID mapping of a mount: the mount's own, or the container's if the mount has the option
/// `idmap` or `ridmap` and no mapping. Fails if only one of `uidMappings` and `gidMappings` is
/// given, or if the option needs the container's mapping and the container has none.
fn owners(node: &Node<'_>, options: &Options, ids: Option<&IdMaps>) -> Result<Option<Owners>> {
    let own = mappings(node)?;
    let ids = match (own.uids.is_empty(), own.gids.is_empty(), options.maps_owners) {
        (true, true, None) => return Ok(None),
        (false, false, _) => own,
        (true, true, Some(_)) => match ids {
            Some(ids) => ids.clone(),
            None => {
                let what = "without 'idmap', because there is no mapping and no user namespace";
                return Err(node.need("options")?.wrong(what));
            }
        },
        _ => return Err(node.wrong("given both uidMappings and gidMappings")),
    };
    Ok(Some(Owners { ids, recursive: options.maps_owners == Some(Recursion::Enabled) }))
}

fn absolute(bundle: &Path, source: &str) -> String {
    let path: PathBuf = bundle.join(source).components().collect();
    path.display().to_string()
}

#[derive(Default)]
struct Options {
    bind: bool,
    rbind: bool,
    attributes: Attributes,
    propagation: Option<Propagation>,
    propagation_below: Option<Propagation>,
    last_propagation: Option<LastPropagation>,
    /// `remount`: only change the attributes and the propagation of the existing mount.
    remount: bool,
    /// `idmap` or `ridmap`: the mount has an ID mapping, with `ridmap` also the mounts below it.
    maps_owners: Option<Recursion>,
    /// `tmpcopyup`: copy the files of the covered directory into the new file system.
    copy_up: bool,
    /// Options that are passed to the file system.
    data: Vec<String>,
}

impl Options {
    /// Replaces the effect of earlier propagation options, except that `slave` then `shared` means
    /// both. If the option is not `recursive`, keeps `propagation_below`.
    fn propagate(&mut self, kind: usize, recursive: bool) {
        let was_slave = self.propagation == Some(Propagation::Slave);
        let last = |kind| Some(LastPropagation { kind, recursive });
        let (propagation, last) = match kind {
            0 => (Propagation::Private, None),
            1 => (Propagation::Slave, None),
            2 if was_slave => (Propagation::Slave, last(PropagationKind::Shared)),
            // If the source is in no peer group of the host, the bind mount starts a new group.
            2 => (Propagation::Shared, last(PropagationKind::Shared)),
            _ => (Propagation::Private, last(PropagationKind::Unbindable)),
        };
        (self.propagation, self.last_propagation) = (Some(propagation), last);
        if recursive {
            self.propagation_below = Some(propagation);
        }
    }
}

fn read_options(mount: &Node<'_>) -> Result<Options> {
    let mut read = Options::default();
    mount.list("options", MAX_ENTRIES, |option| {
        let text = option.string()?;
        let find = |name: &str| OPTIONS.iter().find(|(known, ..)| *known == name);
        let attributes = &mut read.attributes;
        // Options apply in their order, so a later option overrides an earlier one.
        let apply = |to: (&mut u32, &mut u32), (set, clear): (u32, u32)| {
            *to.0 = *to.0 & !clear | set;
            *to.1 = *to.1 & !set | clear | if set & ATIME != 0 { ATIME } else { 0 };
        };
        if let Some((_, set, clear)) = find(&text) {
            apply((&mut attributes.set, &mut attributes.clear), (*set, *clear));
            return Ok(());
        }
        if let Some((_, set, clear)) = text.strip_prefix('r').and_then(find) {
            attributes.set &= !clear;
            attributes.clear &= !set;
            let masks = (&mut attributes.set_recursive, &mut attributes.clear_recursive);
            apply(masks, (*set, *clear));
            return Ok(());
        }
        let below = text.strip_prefix('r');
        let find = |name: &str| PROPAGATION.iter().position(|known| *known == name);
        if let Some(kind) = find(below.unwrap_or(&text)) {
            read.propagate(kind, below.is_some());
            return Ok(());
        }
        match text.as_str() {
            "bind" => read.bind = true,
            "rbind" => read.rbind = true,
            "idmap" => read.maps_owners = Some(Recursion::Disabled),
            "ridmap" => read.maps_owners = Some(Recursion::Enabled),
            "tmpcopyup" => read.copy_up = true,
            "remount" => read.remount = true,
            "copy-symlink" => return Err(option.wrong("another, because it is not supported")),
            text if NEUTRAL.contains(&text) => {}
            _ => read.data.push(text),
        }
        Ok(())
    })?;
    Ok(read)
}

/// The supported options, for the command `features`.
pub fn known() -> Vec<String> {
    let mut names: Vec<String> = OPTIONS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    names.extend(
        OPTIONS
            .iter()
            .filter(|(name, ..)| *name != "defaults")
            .map(|(name, ..)| format!("r{name}")),
    );
    names.extend(PROPAGATION.iter().flat_map(|kind| [(*kind).to_owned(), format!("r{kind}")]));
    let others = ["bind", "rbind", "remount", "idmap", "ridmap", "tmpcopyup"];
    // The kernel takes these from the options that are passed to any file system.
    let passed_on = ["sync", "dirsync", "lazytime"];
    let others = others.iter().chain(&passed_on).chain(&NEUTRAL);
    names.extend(others.map(|name| (*name).to_owned()));
    order::sort(&mut names);
    names
}
