//! A bundle's config.json (OCI runtime specification 1.3, config.md) as the runtime's `Spec`.
//!
//! The file is untrusted: its size is bounded, and an error about a value names the field
//! (`json::Node`). A property that the specification defines and this runtime does not support is
//! an error. A property that the specification does not define is ignored, as the specification
//! demands. `process`, `mounts`, `linux`, `resources`, `scheduling` and `net_devices` read their
//! parts of the file.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::field::{MAX_ENTRIES, absolute, flag, refuse};
use super::net_devices::{self, NetDevice};
use super::systemd::Unit;
use super::{linux, mounts, process, resources, scheduling};
use crate::error::{Context, Result, fail};
use crate::json::{self, Node};
use crate::runtime::spec::{Hook, Hooks, Namespace, Root, Spec, SystemPaths, SystemSettings};

/// The maximum size in bytes of config.json, and of other JSON files that the caller names.
const MAX_CONFIG: u64 = 8 << 20;

/// The content of config.json.
pub struct Config {
    pub spec: Spec,
    /// The systemd unit of the cgroup, if systemd makes the cgroup.
    pub unit: Option<Unit>,
    pub host_hooks: HostHooks,
    pub annotations: BTreeMap<String, String>,
    pub net_devices: Vec<NetDevice>,
    /// The root file system's path on the host.
    pub rootfs: String,
}

/// The hooks that run in the runtime's namespaces, in the order in which they run.
#[derive(Default)]
pub struct HostHooks {
    pub prestart: Vec<Hook>,
    pub create_runtime: Vec<Hook>,
    pub poststart: Vec<Hook>,
    pub poststop: Vec<Hook>,
}

/// Reads config.json. Fails if the file is empty, larger than 8 MiB or not a regular file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut options = std::fs::OpenOptions::new();
    // O_NONBLOCK: otherwise open(2) of a named pipe would wait until the pipe has a writer.
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.context(|| format!("open {}", path.display()))?;
    let found = file.metadata().context(|| format!("look at {}", path.display()))?;
    if !found.is_file() {
        fail!("{} is not a file", path.display());
    }
    read_opened(file, found.len(), path)
}

/// Reads the bytes of a file that the caller names. The file may be a pipe. Fails if the file is
/// empty or larger than 8 MiB.
pub fn read_given(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).context(|| format!("open {}", path.display()))?;
    read_opened(file, 0, path)
}

/// Reads an open file to its end. `expected` is its length in bytes, or 0 if the length is unknown.
fn read_opened(file: std::fs::File, expected: u64, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(expected.min(MAX_CONFIG) as usize + 1);
    let read = file.take(MAX_CONFIG + 1).read_to_end(&mut bytes);
    read.context(|| format!("read {}", path.display()))?;
    if bytes.len() as u64 > MAX_CONFIG {
        fail!("{} is too long; at most {MAX_CONFIG} bytes are read", path.display());
    }
    if bytes.is_empty() {
        fail!("{} is empty; it should be a JSON object", path.display());
    }
    Ok(bytes)
}

/// Parses the config.json of the directory `bundle` for the container `id`. The root is mounted on
/// itself, or on the directory `scratch` if the root is the host's `/`. With `by_systemd`, systemd
/// makes the cgroup. An error about a value names the field.
pub fn parse(
    bytes: &[u8],
    id: &str,
    bundle: &Path,
    scratch: &Path,
    by_systemd: bool,
) -> Result<Config> {
    let value = json::parse("config.json", bytes)?;
    let root = Node::root("config.json", &value);
    check_version(&root.need("ociVersion")?)?;
    for other in ["solaris", "windows", "vm", "zos", "freebsd"] {
        refuse(&root, other)?;
    }
    let asked_root = root.need("root")?;
    let path = asked_root.need("path")?;
    let rootfs = resolve_root(&path, bundle)?;
    let asked_process = root.get("process")?;
    let mut process = asked_process.as_ref().map_or_else(|| Ok(process::none()), process::parse)?;
    let none = json::parse("config.json", b"{}")?;
    let linux = root.get("linux")?.unwrap_or(Node::root("config.json", &none));
    let namespaces = linux::namespaces(&linux)?;
    let ids = linux::ids(&linux, &namespaces)?;
    let hostname = text_if_private(&root, "hostname", &namespaces.uts)?;
    let domainname = text_if_private(&root, "domainname", &namespaces.uts)?;
    let root_propagation = linux::root_propagation(&linux)?;
    let mounts = mounts::parse(&root, bundle, ids.as_ref(), root_propagation)?;
    let (cgroup, unit) = linux::cgroup(&linux, id, by_systemd)?;
    let sysctls = linux::sysctls(&linux, &namespaces)?;
    let system_paths = SystemPaths {
        masked: absolute_paths(&linux, "maskedPaths")?,
        read_only: absolute_paths(&linux, "readonlyPaths")?,
    };
    let (host_hooks, hooks) = hooks(&root, bundle)?;
    let annotations = match root.get("annotations")? {
        Some(all) => all.fields(MAX_ENTRIES, |key, value| {
            if key.is_empty() {
                return Err(all.wrong("without an empty key"));
            }
            Ok((key.to_owned(), value.string()?))
        })?,
        None => Vec::new(),
    };
    let annotations = annotations.into_iter().collect();
    let capabilities = process.capabilities.bounding;
    process.seccomp = linux::seccomp(&linux, capabilities, id, bundle, &annotations)?;
    let device_access = match linux.get("resources")? {
        Some(resources) => resources::device_access(&resources)?,
        None => resources::none(),
    };
    scheduling::of_linux(&linux, &mut process.scheduling)?;
    linux::refuse_rdt(&linux)?;
    let net_devices = net_devices::parse(&linux, &namespaces)?;
    // Hooks and the sources of bind mounts refer to the root by its path in the bundle, so mount
    // the root on this path. The host's `/` is the exception: a lookup that starts at `/` does not
    // enter a mount on `/`.
    let is_hosts_root = rootfs == Path::new("/");
    if is_hosts_root && namespaces.mount == Namespace::Host {
        return Err(path.wrong("another directory than / without a new mount namespace"));
    }
    let mount_point = if is_hosts_root { scratch } else { &rootfs }.to_owned();
    let read_only = flag(&asked_root, "readonly")?;
    let system = SystemSettings { read_only, init: false, domainname, sysctls };
    let spec = Spec {
        root: Root::Directory { path: rootfs.clone(), mapped: false },
        system,
        mount_point,
        process,
        hostname,
        devices: linux::devices(&linux)?,
        root_propagation,
        mount_label: linux::mount_label(&linux)?,
        namespaces,
        loopback_by_caller: true,
        ids,
        mounts,
        texts: Vec::new(),
        device_access,
        cgroup,
        default_sysctls: Vec::new(),
        system_paths,
        hooks,
    };
    Ok(Config {
        spec,
        unit,
        host_hooks,
        annotations,
        net_devices,
        rootfs: rootfs.display().to_string(),
    })
}

impl Config {
    /// Whether the file has the object `process`. Without it, `create` succeeds and `start` fails.
    pub fn has_process(&self) -> bool {
        // `process::parse` requires `args` with at least the program.
        !self.spec.process.args.is_empty()
    }
}

/// Reads a config.json that `parse` has accepted before. Returns its host hooks, and whether it has
/// the object `process`.
pub fn parse_again(bytes: &[u8]) -> Result<(HostHooks, bool)> {
    let value = json::parse("config.json", bytes)?;
    let root = Node::root("config.json", &value);
    Ok((hooks(&root, Path::new("/"))?.0, root.get("process")?.is_some()))
}

/// Accepts 1.x.y with or without suffixes: versions with the same major number are compatible.
fn check_version(version: &Node<'_>) -> Result<()> {
    let text = version.string()?;
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<Option<u32>> = core.split('.').map(|part| part.parse().ok()).collect();
    match parts.as_slice() {
        [Some(1), Some(_), Some(_)] => Ok(()),
        _ => Err(version.wrong(&format!("a version 1.x.y of the specification, not '{text}'"))),
    }
}

/// The path of the root file system. Fails if the path is no directory or contains `..` or a
/// symbolic link: a user who can change the bundle could redirect the link.
fn resolve_root(path: &Node<'_>, bundle: &Path) -> Result<PathBuf> {
    let text = path.string()?;
    if text.is_empty() {
        return Err(path.wrong("the path of a directory"));
    }
    let joined = bundle.join(text);
    let found = std::fs::canonicalize(&joined)
        .context(|| format!("{} {}", path.path(), joined.display()))?;
    let plain: PathBuf = joined.components().collect();
    if found != plain {
        fail!("{}: {} leads through a symbolic link or '..'", path.path(), joined.display());
    }
    if !found.is_dir() {
        fail!("{}: {} is not a directory", path.path(), joined.display());
    }
    Ok(found)
}

fn absolute_paths(linux: &Node<'_>, key: &str) -> Result<Vec<String>> {
    linux.list(key, MAX_ENTRIES, absolute)
}

fn text_if_private(root: &Node<'_>, key: &str, uts: &Namespace) -> Result<Option<String>> {
    let Some(node) = root.get(key)? else { return Ok(None) };
    let text = node.string()?;
    if text.is_empty() {
        return Ok(None);
    }
    if *uts == Namespace::Host {
        return Err(node.wrong("absent without a uts namespace, because it would be the host's"));
    }
    Ok(Some(text))
}

fn hooks(root: &Node<'_>, bundle: &Path) -> Result<(HostHooks, Hooks)> {
    let Some(all) = root.get("hooks")? else { return Ok(Default::default()) };
    let list = |kind: &str| all.list(kind, MAX_ENTRIES, hook);
    let host = HostHooks {
        prestart: list("prestart")?,
        create_runtime: list("createRuntime")?,
        poststart: list("poststart")?,
        poststop: list("poststop")?,
    };
    let inside = Hooks {
        create_container: list("createContainer")?,
        start_container: list("startContainer")?,
        directory: bundle.to_owned(),
        state: String::new(),
    };
    Ok((host, inside))
}

fn hook(node: &Node<'_>) -> Result<Hook> {
    let path = absolute(&node.need("path")?)?;
    let timeout = match node.get("timeout")? {
        Some(seconds) => match seconds.signed()? {
            seconds @ 1.. => Some(seconds as u64),
            _ => return Err(seconds.wrong("a number of seconds greater than 0")),
        },
        None => None,
    };
    Ok(Hook {
        path,
        args: node.texts("args", MAX_ENTRIES)?.unwrap_or_default(),
        env: node.texts("env", MAX_ENTRIES)?,
        timeout,
    })
}
