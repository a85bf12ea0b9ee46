//! Converts a container's record to the `Spec` that `runtime` executes, at each start.
//!
//! This file composes the files for name resolution, finds the namespaces to join, and computes
//! mounts, devices and limits with the present device numbers. Values that are fixed at creation
//! are already in the record (`create`). The runtime reads neither the image store nor the
//! networks' records.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::warning::Warning;
use super::{Engine, confine, filesystems};
use crate::address::HostAddress;
use crate::container::files::Files;
use crate::container::joined;
use crate::container::mode::NetworkMode;
use crate::container::record::{MountKind, MountRecord, Record};
use crate::container_id::ContainerId;
use crate::error::{Context, Result, fail};
use crate::network::create;
use crate::network::names::{self, NameFiles, Names};
use crate::raw;
use crate::runtime::DEFAULT_PATH;
use crate::runtime::devices::{host_node, host_nodes, nodes_below};
use crate::runtime::spec::{
    Attributes, Capabilities, Cgroup, DeviceAccess, DeviceKind, DeviceNode, DeviceRule,
    DeviceVerdict, FurtherLimits, Hooks, IdMaps, Identity, Mount, MountSource, NodeKind, Process,
    Resources, Root, Scheduling, Spec,
};
use crate::store::{self, Durability};
use crate::tty;

/// The default of `--pids-limit`, which protects the host from a fork bomb. Docker has no limit;
/// Podman has this one.
pub(super) const DEFAULT_PIDS: u32 = 2048;

/// The longest chain of containers that share a network. The limit ends a circle, which only a
/// damaged record can make.
const MAX_SHARES: usize = 1000;

impl Engine {
    /// Returns the `Spec` of a container for this start. Mounts its volumes with options, composes
    /// its files for name resolution, and finds the processes whose namespaces it joins. Fails if
    /// such a process does not run.
    pub(super) fn spec(&self, record: &Record) -> Result<Spec> {
        let files = Files::new(&self.roots, &record.id);
        self.mount_volumes(record, &record.id)?;
        let namespaces = joined::namespaces(&self.roots, record)?;
        let links = self.links(record)?;
        let mut texts = Vec::new();
        if record.network.container().is_none() {
            let mut add_hosts = self.added_hosts(record)?;
            add_hosts.extend(links.hosts);
            let names = Names {
                hostname: &record.hostname,
                add_hosts: &add_hosts,
                resolver: &record.resolver,
                host_network: record.network == NetworkMode::Host,
                fallback: &|| self.fallback_servers(record),
            };
            texts = names::texts(&files.dir, &names)?;
        }
        let mut mounts = filesystems::standard(record);
        mounts.extend(self.name_mounts(record));
        mounts.extend(record.mounts.iter().map(|found| mount(record, found, &files)));
        if record.mounts.iter().any(|mount| mount.kind == MountKind::Image) {
            store::make_dir(&files.empty())?;
        }
        let mut root = self.root_of(record)?;
        if let Root::Overlay { volatile, .. } = &mut root {
            // A container of `run --rm` is removed at its end, so its files need no sync to disk.
            *volatile = record.lifecycle.remove && record.run;
        }
        let (devices, device_access) =
            if record.privileged { (host_nodes()?, DeviceAccess::All) } else { devices(record)? };
        Ok(Spec {
            root,
            system: record.system.clone(),
            mount_point: files.run,
            process: process_with(record, record.streams.tty, links.variables)?,
            hostname: Some(record.hostname.clone()),
            namespaces,
            loopback_by_caller: record.networks.is_empty(),
            ids: record.ids().map(IdMaps::from),
            mounts,
            texts,
            devices,
            device_access,
            cgroup: cgroup(record)?,
            default_sysctls: default_sysctls(record),
            system_paths: filesystems::system_paths(record)?,
            root_propagation: None,
            mount_label: None,
            hooks: Hooks::default(),
        })
    }

    /// Returns the mounts of /etc/hosts, /etc/resolv.conf and /etc/hostname, except where the user
    /// mounts something.
    pub(super) fn name_mounts(&self, record: &Record) -> Vec<Mount> {
        // Containers that share a network share these files.
        let files = NameFiles::below(&Files::new(&self.roots, &self.network_owner(record)).dir);
        let mut mounts = Vec::with_capacity(record.mounts.len() + 3);
        for (path, target) in [
            (files.hosts, "/etc/hosts"),
            (files.resolv_conf, "/etc/resolv.conf"),
            (files.hostname, "/etc/hostname"),
        ] {
            if !record.mounts.iter().any(|mount| mount.target == target) {
                // In a read-only container the program cannot write to these files; the engine
                // still can, from the host.
                let mount = Mount::new(MountSource::Copy(path), target);
                mounts.push(Mount { read_only: record.system.read_only, ..mount });
            }
        }
        mounts
    }

    /// Returns the container that made the network namespace of `record`: the last of a chain of
    /// containers, each of which shares the network of the next.
    fn network_owner(&self, record: &Record) -> ContainerId {
        let mut owner = record.id.clone();
        let mut next = record.network.container().cloned();
        for _ in 0..MAX_SHARES {
            let Some(id) = next else { break };
            // If the record is gone, the start fails at the namespace.
            let shared = Record::read(&self.roots, &id).ok();
            next = shared.and_then(|shared| shared.network.container().cloned());
            owner = id;
        }
        owner
    }

    /// Returns name servers for a container that can reach no name server in the host's
    /// resolv.conf. If a name server of the host listens on a gateway of the container's first
    /// network, returns that gateway. Otherwise returns public servers, or none if the network is
    /// internal or the container has no network. Warns of public servers once per boot.
    fn fallback_servers(&self, record: &Record) -> Result<Vec<IpAddr>> {
        let Some(network) = record.networks.first() else { return Ok(Vec::new()) };
        let network = create::open(&self.roots, &network.name)?;
        let served = network.pools.iter().find(|pool| names::is_served_at(pool.gateway.0));
        if let Some(pool) = served {
            return Ok(vec![pool.gateway.0]);
        }
        if network.internal {
            return Ok(Vec::new());
        }
        let mark = self.roots.run.join(".public-name-servers");
        if !mark.exists() {
            (self.warn)(&Warning::PublicNameServers(names::PUBLIC_SERVERS));
            store::replace(&mark, b"", Durability::Lazy)?;
        }
        Ok(names::PUBLIC_SERVERS.to_vec())
    }

    /// Returns the hosts of `--add-host`. `host-gateway` becomes the gateway of the container's
    /// first network, or 127.0.0.1 with the host's network. Fails if there is no such address.
    fn added_hosts(&self, record: &Record) -> Result<Vec<(String, IpAddr)>> {
        let mut hosts = Vec::with_capacity(record.add_hosts.len());
        for (name, address) in &record.add_hosts {
            let address = match (address, record.networks.first()) {
                (HostAddress::Ip(address), _) => *address,
                (HostAddress::Gateway, Some(network)) => {
                    let network = create::open(&self.roots, &network.name)?;
                    let Some(pool) = network.pools.first() else {
                        fail!(
                            "--add-host {name}:{}: network {} has no addresses",
                            HostAddress::Gateway,
                            network.name
                        )
                    };
                    pool.gateway.0
                }
                (HostAddress::Gateway, None) if record.network == NetworkMode::Host => {
                    Ipv4Addr::LOCALHOST.into()
                }
                (HostAddress::Gateway, None) => {
                    fail!("--add-host {name}:{} needs a network", HostAddress::Gateway)
                }
            };
            hosts.push((name.clone(), address));
        }
        Ok(hosts)
    }
}

/// Returns the default sysctls, as in Docker: in a container with its own network, all users may
/// listen on all ports and send pings.
fn default_sysctls(record: &Record) -> Vec<(&'static str, String)> {
    if record.network.is_shared() {
        return Vec::new();
    }
    // The sysctls are written from outside the user namespace, so the IDs are the host's. The
    // kernel accepts IDs of at most 31 bits.
    let (first, count) = record.ids().map_or((0, u32::MAX), |ids| (ids.gid, ids.size));
    let last = first.saturating_add(count.saturating_sub(1)).min(i32::MAX as u32);
    vec![
        ("net.ipv4.ip_unprivileged_port_start", "0".to_owned()),
        ("net.ipv4.ping_group_range", format!("{first} {last}")),
    ]
}

/// Returns the path and the limits of the container's cgroups. Fails if a device of a limit does
/// not exist or is no block device.
pub(super) fn cgroup(record: &Record) -> Result<Cgroup> {
    Ok(Cgroup {
        path: format!("{}/{}", record.cgroup_parent, record.id),
        resources: resources(&record.resources)?,
        further: FurtherLimits::default(),
        default_pids: Some(DEFAULT_PIDS),
        default_memory_swap: memory_and_swap(&record.resources),
        every_controller: false,
        name_limit: |name| flag_of(name).to_owned(),
    })
}

/// Returns the limits with the present numbers of their devices.
fn resources(asked: &Resources) -> Result<Resources> {
    let mut resources = asked.clone();
    for rate in resources.device_rates.iter_mut().flatten() {
        rate.numbers = Some(device_numbers(&rate.path)?);
    }
    Ok(resources)
}

/// Returns the limit of memory and swap together in bytes; -1 means no limit. If only memory is
/// limited, allows as much swap as memory, as Docker does. Returns `None` if neither is limited.
pub(super) fn memory_and_swap(resources: &Resources) -> Option<i64> {
    match (resources.memory_swap, resources.memory) {
        (Some(total), _) => Some(total),
        (None, Some(memory)) => Some(memory.saturating_mul(2)),
        (None, None) => None,
    }
}

/// Returns the flag that sets a limit, or `name` if there is no such flag. `name` is the limit's
/// name in the OCI runtime specification.
fn flag_of(name: &str) -> &str {
    match name {
        "memory.limit" => "--memory",
        "memory.swap" => "--memory-swap",
        "memory.reservation" => "--memory-reservation",
        "memory.swappiness" => "--memory-swappiness",
        "memory.disableOOMKiller" => "--oom-kill-disable",
        "cpu.shares" => "--cpu-shares",
        "cpu.quota" => "--cpus",
        "cpu.cpus" => "--cpuset-cpus",
        "cpu.mems" => "--cpuset-mems",
        "pids.limit" => "--pids-limit",
        "blockIO.weight" => "--blkio-weight",
        "blockIO.throttleReadBpsDevice" => "--device-read-bps",
        "blockIO.throttleWriteBpsDevice" => "--device-write-bps",
        "blockIO.throttleReadIOPSDevice" => "--device-read-iops",
        "blockIO.throttleWriteIOPSDevice" => "--device-write-iops",
        other => other,
    }
}

/// Returns `MAJOR:MINOR` of a block device. Fails if `path` does not exist or is no block device.
pub(super) fn device_numbers(path: &str) -> Result<String> {
    let found = std::fs::metadata(raw::path(path)).context(|| format!("look at device {path}"))?;
    if !found.file_type().is_block_device() {
        fail!("{path} is not a block device; a rate is for a whole disk such as /dev/sda");
    }
    let device = found.rdev();
    Ok(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
}

/// Returns the device nodes of `--device`, and the device rules: one for each node, then those of
/// `--device-cgroup-rule`. A directory in `--device` means all device nodes below it at this start.
/// Fails if there is none.
fn devices(record: &Record) -> Result<(Vec<DeviceNode>, DeviceAccess)> {
    let (mut nodes, mut rules) = (Vec::new(), Vec::new());
    let allow = |rule| (DeviceVerdict::Allow, rule);
    let mut give = |source: &Path, target: String, access: &str| -> Result<()> {
        let node = host_node(source, target)?;
        rules.push(allow(DeviceRule {
            kind: if node.kind == NodeKind::Block {
                DeviceKind::Block
            } else {
                DeviceKind::Character
            },
            major: Some(node.major),
            minor: Some(node.minor),
            access: access.to_owned(),
        }));
        nodes.push(node);
        Ok(())
    };
    for device in &record.devices.given {
        let source = raw::path(&device.source);
        if !source.is_dir() {
            give(&source, device.target.clone(), &device.access)?;
            continue;
        }
        let below = nodes_below(&source)?;
        if below.is_empty() {
            fail!("--device {}: no device lies below this directory", device.source);
        }
        let target = raw::path(&device.target);
        for path in below {
            // Each path in `below` starts with the path of `source`.
            let Ok(name) = path.strip_prefix(&source) else { continue };
            give(&path, raw::encode_path(&target.join(name)), &device.access)?;
        }
    }
    rules.extend(record.devices.rules.iter().cloned().map(allow));
    Ok((nodes, DeviceAccess::Only(rules)))
}

/// Like [`process`], but adds those of `variables` that the environment does not have yet.
pub(super) fn process_with(
    record: &Record,
    terminal: bool,
    variables: Vec<String>,
) -> Result<Process> {
    let mut process = process(record, terminal)?;
    for pair in variables {
        let name = pair.split('=').next();
        if !process.env.iter().any(|known| known.split('=').next() == name) {
            process.env.push(pair);
        }
    }
    Ok(process)
}

/// Returns the environment of a container's process: the defaults and the variables of the record,
/// which override the defaults. As in Docker, a name without `=` removes a default.
fn environment(record: &Record, terminal: bool) -> Vec<String> {
    let mut env = vec![format!("PATH={DEFAULT_PATH}"), format!("HOSTNAME={}", record.hostname)];
    if terminal {
        env.push("TERM=xterm".to_owned());
    }
    let mut given: Vec<&String> = record.env.iter().collect();
    for default in &mut env {
        let name = default.split('=').next();
        if let Some(at) = given.iter().position(|pair| pair.split('=').next() == name) {
            default.clone_from(given.remove(at));
        }
    }
    env.extend(given.into_iter().cloned());
    env.retain(|pair| pair.contains('='));
    env
}

/// Returns the container's first process. A process of `exec` has the same defaults. `terminal`
/// says whether the process has a terminal.
pub(super) fn process(record: &Record, terminal: bool) -> Result<Process> {
    Ok(Process {
        args: record.args(),
        env: environment(record, terminal),
        cwd: if record.cwd.is_empty() { "/".to_owned() } else { record.cwd.clone() },
        user: Identity::Named(record.user.clone()),
        completes_env: true,
        terminal,
        window: if terminal { tty::size() } else { None },
        capabilities: Capabilities {
            bounding: confine::capabilities(record),
            ..Capabilities::default()
        },
        seccomp: confine::seccomp(record)?,
        no_new_privileges: record.confinement.no_new_privileges,
        label: confine::label(record),
        limits: record.limits.clone(),
        scheduling: Scheduling::default(),
        umask: 0o022,
        new_keyring: true,
        preserved: 0,
    })
}

/// Returns the mount of a record as the runtime takes it.
pub(super) fn mount(record: &Record, mount: &MountRecord, files: &Files) -> Mount {
    let source = match mount.kind {
        MountKind::Bind | MountKind::Volume => {
            let source = mount.source.as_deref().unwrap_or_default();
            MountSource::Bind(raw::path(source).into())
        }
        MountKind::Tmpfs => MountSource::Tmpfs { options: mount.tmpfs_options.clone() },
        MountKind::Image => {
            let layers = mount.image.iter().flat_map(|image| &image.layers);
            let empty = std::iter::once(files.empty());
            let layers = layers.map(|layer| raw::path(layer).into()).chain(empty).collect();
            MountSource::Image { layers }
        }
    };
    let unmapped = record.user_namespace.as_ref().map(|namespace| &namespace.unmapped);
    Mount {
        last_propagation: None,
        source,
        mapped: unmapped.is_some_and(|unmapped| !unmapped.contains(&mount.target)),
        target: raw::path(&mount.target).into(),
        read_only: mount.read_only,
        copy_up: mount.copy_up,
        subpath: mount.access.subpath.as_deref().map(|path| raw::path(path).into()),
        propagation: mount.access.propagation,
        // Names with and without an `r`, such as `rshared` and `shared`, mean the same here.
        propagation_below: mount.access.propagation,
        needs_group: true,
        recursion: mount.access.recursion,
        attributes: Attributes::default(),
        owners: None,
    }
}
