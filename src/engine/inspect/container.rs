//! `container inspect`: a container's record (`config.json`), its present state and its resources,
//! in the format of Docker's Engine API.
//!
//! `settings` makes the network settings. A container that is still starting after a short wait is
//! shown as created. A field that mydocker does not fill in has its zero value. `Runtime` is always
//! `runc`.

use std::time::Duration;

use super::settings::port_bindings;
use super::value::{
    array, instant, map, number, object, or_nil_list, or_nil_map, set, signed, strings, text,
};
use super::{graph_driver, healthcheck};
use crate::container::files::Files;
use crate::container::health::Health;
use crate::container::mode::NamespaceMode;
use crate::container::record::{MountKind, MountRecord, Record, UserNamespaceRecord};
use crate::container::state::{Condition, is_paused};
use crate::container_id::ContainerId;
use crate::engine::Engine;
use crate::engine::options::{Propagation, RateKind, Recursion, Resources};
use crate::error::Result;
use crate::network::names::NameFiles;
use crate::runtime::cgroup::DEFAULT_PARENT;
use crate::template::{Value, omit_empty};

impl Engine {
    /// Returns what `inspect` shows of a container; with `with_size` also the sizes of its root.
    pub(super) fn container(&self, record: &Record, with_size: bool) -> Result<Value> {
        // Wait only this long for a container that hangs in its start, and then show it.
        const MAX_WAIT: Duration = Duration::from_secs(1);
        let id = &record.id;
        let files = Files::new(&self.roots, id);
        let condition = self.condition_within(record, MAX_WAIT)?;
        let mut args = record.args().into_iter();
        let graph = [
            ("LowerDir", reversed(&record.layers).join(":")),
            ("UpperDir", files.upper().display().to_string()),
            ("WorkDir", files.work().display().to_string()),
        ];
        let paused = matches!(&condition, Condition::Running(state) if is_paused(&files, state));
        let health = match (&condition, record.health_check()) {
            (Condition::Running(_), Some(_)) => Health::read(&files)?,
            _ => None,
        };
        // A link in the run directory leads to a running container's copies of `hosts`,
        // `resolv.conf` and `hostname`.
        let names = NameFiles::below(&match &condition {
            Condition::Running(_) if record.network.container().is_none() => {
                self.roots.hosts_files(&record.id)
            }
            _ => files.dir.clone(),
        });
        let (own, all) = if with_size { Some(self.sizes(record)?).unzip() } else { (None, None) };
        let exec_ids = match &condition {
            Condition::Running(state) => self.exec_ids(record, state),
            _ => Vec::new(),
        };
        let size = |bytes: Option<u64>| bytes.map_or_else(|| omit_empty(Value::Nil), number);
        Ok(object([
            ("Id", text(id)),
            ("Created", instant(record.created)),
            ("Path", text(args.next().unwrap_or_default())),
            ("Args", strings(args)),
            ("State", state(&condition, paused, health.as_ref())),
            ("Image", text(record.image_id)),
            ("ResolvConfPath", text(names.resolv_conf.display())),
            ("HostnamePath", text(names.hostname.display())),
            ("HostsPath", text(names.hosts.display())),
            (
                "LogPath",
                text(if record.log.disabled {
                    String::new()
                } else {
                    files.log().display().to_string()
                }),
            ),
            ("Name", text(format!("/{}", record.name))),
            ("RestartCount", number(restarts(&condition).into())),
            ("Driver", text("overlay2")),
            ("Platform", text("linux")),
            ("MountLabel", text("")),
            ("ProcessLabel", text("")),
            ("AppArmorProfile", text(crate::engine::confine::apparmor_profile(record))),
            ("ExecIDs", or_nil_list(strings(exec_ids))),
            ("HostConfig", host_config(record, self.shown_links(record))?),
            ("GraphDriver", graph_driver(graph)),
            ("SizeRw", size(own)),
            ("SizeRootFs", size(all)),
            (
                "Mounts",
                array(record.mounts.iter().filter(|mount| !is_of_tmpfs_flag(mount)).map(mount)),
            ),
            ("Config", config(record)),
            ("NetworkSettings", self.network_settings(record, &condition)?),
        ]))
    }

    /// Returns the links as `/db:/web/alias`. A linked container that was removed is shown by its
    /// short id.
    fn shown_links(&self, record: &Record) -> Vec<String> {
        let links = record.links.iter();
        links.map(|(id, alias)| format!("/{}:/{}/{alias}", self.name_of(id), record.name)).collect()
    }
}

/// Reports whether the mount comes from `--tmpfs`. Docker shows such a mount only in
/// `HostConfig.Tmpfs`.
fn is_of_tmpfs_flag(mount: &MountRecord) -> bool {
    mount.kind == MountKind::Tmpfs && mount.given.is_some()
}

fn restarts(condition: &Condition) -> u32 {
    match condition {
        Condition::Running(state) => state.restarts,
        Condition::Restarting(outcome) | Condition::Exited(outcome) => outcome.restarts,
        Condition::Created(_) | Condition::Starting | Condition::Leftover => 0,
    }
}

fn state(condition: &Condition, paused: bool, health: Option<&Health>) -> Value {
    let (status, pid, started, outcome) = match condition {
        Condition::Created(outcome) => ("created", 0, 0, outcome.as_ref()),
        Condition::Starting => ("created", 0, 0, None),
        Condition::Running(state) if paused => ("paused", state.pid, state.started, None),
        Condition::Running(state) => ("running", state.pid, state.started, None),
        Condition::Exited(outcome) => ("exited", 0, outcome.started, Some(outcome)),
        Condition::Restarting(last) => ("restarting", 0, last.started, Some(last)),
        Condition::Leftover => ("dead", 0, 0, None),
    };
    object([
        ("Status", text(status)),
        ("Running", Value::Bool(matches!(condition, Condition::Running(_)))),
        ("Paused", Value::Bool(status == "paused")),
        ("Restarting", Value::Bool(status == "restarting")),
        ("OOMKilled", Value::Bool(outcome.is_some_and(|outcome| outcome.oom_killed))),
        ("Dead", Value::Bool(status == "dead")),
        ("Pid", number(pid as u64)),
        ("ExitCode", number(outcome.map_or(0, |outcome| outcome.exit_code.into()))),
        ("Error", text(outcome.map_or("", |outcome| &outcome.error))),
        ("StartedAt", instant(started)),
        ("FinishedAt", instant(outcome.map_or(0, |outcome| outcome.finished))),
        ("Health", health.map_or_else(|| omit_empty(Value::Nil), health_state)),
    ])
}

fn health_state(health: &Health) -> Value {
    let results = health.log.iter().map(|result| {
        object([
            ("Start", instant(result.start)),
            ("End", instant(result.end)),
            ("ExitCode", signed(result.exit_code.into())),
            ("Output", text(&result.output)),
        ])
    });
    object([
        ("Status", text(health.status.name())),
        ("FailingStreak", number(health.failing_streak.into())),
        ("Log", array(results)),
    ])
}

fn host_config(record: &Record, links: Vec<String>) -> Result<Value> {
    let system_paths = crate::engine::filesystems::system_paths(record)?;
    let device_rules = record.devices.rules.iter().map(ToString::to_string);
    let resources = &record.resources;
    // `HostConfig` does not show anonymous volumes; `Config.Volumes` does. As in Docker, the mounts
    // of `--volumes-from` are only in the `Mounts` at the top of the document.
    let named = || record.mounts.iter().filter(|mount| !mount.anonymous && !mount.borrowed);
    let given_as = |is_kind: fn(MountKind) -> bool| {
        named()
            .filter_map(move |mount| Some((mount, mount.given.as_ref()?)))
            .filter(move |(mount, _)| is_kind(mount.kind))
    };
    let binds = given_as(|kind| kind != MountKind::Tmpfs).map(|(mount, options)| {
        let colon = if options.is_empty() { "" } else { ":" };
        format!("{}:{}{colon}{options}", source(mount), mount.target)
    });
    let mounts = named().filter(|mount| mount.given.is_none()).map(mount_given);
    let devices = record.devices.given.iter().map(|device| {
        object([
            ("PathOnHost", text(&device.source)),
            ("PathInContainer", text(&device.target)),
            ("CgroupPermissions", text(&device.access)),
        ])
    });
    let ulimits = record.limits.rlimits.iter().map(|limit| {
        let (soft, hard) = (limit.soft as i64, limit.hard as i64);
        let fields = [("Name", text(&limit.name)), ("Hard", signed(hard)), ("Soft", signed(soft))];
        Value::printed(format!("{}={soft}:{hard}", limit.name), object(fields))
    });
    let storage = record.storage_size.iter().map(|size| ("size".to_owned(), size.clone()));
    let storage: Vec<(String, String)> = storage.collect();
    let tmpfs: Vec<(String, String)> = given_as(|kind| kind == MountKind::Tmpfs)
        .map(|(mount, options)| (mount.target.clone(), options.clone()))
        .collect();
    Ok(object([
        ("Binds", or_nil_list(strings(binds))),
        ("ContainerIDFile", text("")),
        (
            "LogConfig",
            object([("Type", text(record.log.driver())), ("Config", map(&record.log.given))]),
        ),
        ("NetworkMode", text(&record.network)),
        ("PortBindings", port_bindings(record)),
        (
            "RestartPolicy",
            object([
                ("Name", text(record.lifecycle.restart)),
                ("MaximumRetryCount", number(record.lifecycle.restart.max_retries.into())),
            ]),
        ),
        ("AutoRemove", Value::Bool(record.lifecycle.remove)),
        ("VolumeDriver", text("")),
        ("VolumesFrom", or_nil_list(strings(&record.volumes_from))),
        ("CapAdd", or_nil_list(strings(&record.confinement.cap_add))),
        ("CapDrop", or_nil_list(strings(&record.confinement.cap_drop))),
        ("CgroupnsMode", text(if record.namespaces.host_cgroups { "host" } else { "private" })),
        ("Dns", strings(&record.resolver.servers)),
        ("DnsOptions", strings(&record.resolver.options)),
        ("DnsSearch", strings(&record.resolver.search)),
        (
            "ExtraHosts",
            or_nil_list(strings(
                record.add_hosts.iter().map(|(name, address)| format!("{name}:{address}")),
            )),
        ),
        ("GroupAdd", or_nil_list(strings(&record.user.groups))),
        ("IpcMode", text(&record.namespaces.ipc)),
        ("Cgroup", text("")),
        ("Links", or_nil_list(strings(links))),
        ("OomScoreAdj", signed(record.limits.oom_score_adj.unwrap_or(0).into())),
        ("PidMode", text(unless_private(&record.namespaces.pid))),
        ("Privileged", Value::Bool(record.privileged)),
        ("PublishAllPorts", Value::Bool(record.publish_all)),
        ("ReadonlyRootfs", Value::Bool(record.system.read_only)),
        ("SecurityOpt", or_nil_list(strings(crate::engine::confine::options(&record.confinement)))),
        ("StorageOpt", omit_empty(or_nil_map(map(&storage)))),
        ("Mounts", omit_empty(or_nil_list(array(mounts)))),
        ("Tmpfs", omit_empty(or_nil_map(map(&tmpfs)))),
        ("UTSMode", text(unless_private(&record.namespaces.uts))),
        ("UsernsMode", text(userns_mode(record))),
        ("ShmSize", number(record.shm_size)),
        ("Sysctls", omit_empty(or_nil_map(map(&record.system.sysctls)))),
        ("Runtime", text("runc")),
        ("ConsoleSize", array([number(0), number(0)])),
        ("Isolation", text("")),
        ("CpuShares", number(resources.cpu_shares.unwrap_or(0))),
        ("Memory", signed(resources.memory.unwrap_or(0))),
        ("NanoCpus", number(resources.nano_cpus.unwrap_or(0))),
        (
            "CgroupParent",
            text(if record.cgroup_parent == DEFAULT_PARENT { "" } else { &record.cgroup_parent }),
        ),
        ("BlkioWeight", number(resources.blkio_weight.unwrap_or(0).into())),
        ("BlkioWeightDevice", array([])),
        ("BlkioDeviceReadBps", or_nil_list(rates(resources, RateKind::ReadBytes))),
        ("BlkioDeviceWriteBps", or_nil_list(rates(resources, RateKind::WriteBytes))),
        ("BlkioDeviceReadIOps", or_nil_list(rates(resources, RateKind::ReadOperations))),
        ("BlkioDeviceWriteIOps", or_nil_list(rates(resources, RateKind::WriteOperations))),
        ("CpuPeriod", number(resources.cpu_period.unwrap_or(0))),
        ("CpuQuota", signed(resources.cpu_quota.unwrap_or(0))),
        ("CpuRealtimePeriod", number(0)),
        ("CpuRealtimeRuntime", number(0)),
        ("CpusetCpus", text(resources.cpuset_cpus.as_deref().unwrap_or(""))),
        ("CpusetMems", text(resources.cpuset_mems.as_deref().unwrap_or(""))),
        ("Devices", array(devices)),
        ("DeviceCgroupRules", or_nil_list(strings(device_rules))),
        ("DeviceRequests", Value::NilList),
        ("KernelMemory", number(0)),
        ("KernelMemoryTCP", number(0)),
        ("MemoryReservation", signed(resources.memory_reservation.unwrap_or(0))),
        ("MemorySwap", signed(crate::engine::spec::memory_and_swap(resources).unwrap_or(0))),
        ("MemorySwappiness", resources.memory_swappiness.map_or(Value::Nil, number)),
        ("OomKillDisable", Value::Bool(resources.oom_kill_disable == Some(true))),
        ("PidsLimit", signed(resources.pids.unwrap_or(crate::engine::spec::DEFAULT_PIDS.into()))),
        ("Ulimits", or_nil_list(array(ulimits))),
        ("CpuCount", number(0)),
        ("CpuPercent", number(0)),
        ("IOMaximumIOps", number(0)),
        ("IOMaximumBandwidth", number(0)),
        ("MaskedPaths", or_nil_list(strings(system_paths.masked))),
        ("ReadonlyPaths", or_nil_list(strings(system_paths.read_only))),
        ("Init", if record.system.init { Value::Bool(true) } else { omit_empty(Value::Nil) }),
        ("Annotations", omit_empty(map(&record.annotations))),
        ("IDMappings", id_mappings(record)),
    ]))
}

/// Returns the name of the volume, the path on the host or the name of the image; empty if the
/// mount has none of them.
fn source(mount: &MountRecord) -> &str {
    mount.volume.as_deref().or(mount.source.as_deref()).unwrap_or_default()
}

/// Returns a mount in the form of `--mount`.
fn mount_given(mount: &MountRecord) -> Value {
    let read_only = if mount.read_only { Value::Bool(true) } else { omit_empty(Value::Nil) };
    object([
        ("Type", text(kind_name(mount.kind))),
        ("Source", omit_empty(text(source(mount)))),
        ("Target", text(&mount.target)),
        ("ReadOnly", read_only),
        ("BindOptions", bind_options(mount)),
        ("VolumeOptions", volume_options(mount)),
        ("TmpfsOptions", tmpfs_options(mount)),
    ])
}

/// Returns the propagation of a bind and whether the mounts below it are left out; absent if both
/// have their default. Other options of a bind are not shown.
fn bind_options(mount: &MountRecord) -> Value {
    let propagation = match mount.access.propagation {
        Propagation::Private => "",
        Propagation::Slave => "rslave",
        Propagation::Shared => "rshared",
    };
    let is_alone = mount.access.recursion == Recursion::Disabled;
    if propagation.is_empty() && !is_alone {
        return omit_empty(Value::Nil);
    }
    let is_alone = if is_alone { Value::Bool(true) } else { omit_empty(Value::Nil) };
    object([("Propagation", omit_empty(text(propagation))), ("NonRecursive", is_alone)])
}

/// Returns `NoCopy` and the subpath of a volume; absent if both have their default. `NoCopy` is
/// also true for a volume with options or a subpath. Labels and the driver's options are not shown.
fn volume_options(mount: &MountRecord) -> Value {
    let subpath = mount.access.subpath.as_deref().unwrap_or_default();
    if mount.kind != MountKind::Volume || (mount.copy_up && subpath.is_empty()) {
        return omit_empty(Value::Nil);
    }
    object([
        ("NoCopy", omit_empty(Value::Bool(!mount.copy_up))),
        ("Subpath", omit_empty(text(subpath))),
        ("DriverConfig", object([])),
    ])
}

/// Returns the size and the mode of a tmpfs; absent if there is neither.
fn tmpfs_options(mount: &MountRecord) -> Value {
    let value = |key: &str| {
        let pairs = mount.tmpfs_options.split(',').filter_map(|option| option.split_once('='));
        pairs.filter(|(known, _)| *known == key).map(|(_, value)| value).next_back()
    };
    let size = value("size").and_then(|size| size.parse::<u64>().ok());
    let mode = value("mode").and_then(|mode| u64::from_str_radix(mode, 8).ok());
    if size.is_none() && mode.is_none() {
        return omit_empty(Value::Nil);
    }
    let or_absent = |number_of: Option<u64>| number_of.map_or(omit_empty(Value::Nil), number);
    object([("SizeBytes", or_absent(size)), ("Mode", or_absent(mode))])
}

fn kind_name(kind: MountKind) -> &'static str {
    match kind {
        MountKind::Bind => "bind",
        MountKind::Volume => "volume",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Image => "image",
    }
}

fn rates(resources: &Resources, kind: RateKind) -> Value {
    let rates = resources.device_rates.iter().flatten().filter(|rate| rate.kind == kind);
    array(rates.map(|rate| object([("Path", text(&rate.path)), ("Rate", number(rate.rate))])))
}

/// Returns the value of `--userns`. A container without a user namespace has an empty text, also
/// after `--userns host`.
fn userns_mode(record: &Record) -> String {
    match &record.user_namespace {
        None => String::new(),
        Some(namespace) if namespace.auto => "auto".to_owned(),
        Some(UserNamespaceRecord { ids, .. }) => format!("{}:{}:{}", ids.uid, ids.gid, ids.size),
    }
}

/// Returns the ID maps as `CONTAINER_ID:HOST_ID:COUNT`, as in Podman. The field is absent without a
/// user namespace.
fn id_mappings(record: &Record) -> Value {
    let Some(ids) = record.ids() else { return omit_empty(Value::Nil) };
    let map = |first: u32| strings([format!("0:{first}:{}", ids.size)]);
    object([("UidMap", map(ids.uid)), ("GidMap", map(ids.gid))])
}

fn mount(mount: &MountRecord) -> Value {
    // Docker shows a named volume without options with `z`, which is SELinux's shared label.
    let mode = match (mount.kind, mount.given.as_deref().unwrap_or_default()) {
        (MountKind::Volume, "") if !mount.anonymous && !mount.borrowed => "z",
        (MountKind::Tmpfs, _) => "",
        (_, options) => options,
    };
    let propagation = match (mount.kind, mount.access.propagation) {
        (MountKind::Bind, Propagation::Private) => "rprivate",
        (_, Propagation::Private) => "",
        (_, Propagation::Slave) => "rslave",
        (_, Propagation::Shared) => "rshared",
    };
    object([
        ("Type", text(kind_name(mount.kind))),
        ("Name", omit_empty(text(mount.volume.as_deref().unwrap_or("")))),
        ("Source", text(&mount.source)),
        ("Destination", text(&mount.target)),
        ("Driver", omit_empty(text(if mount.volume.is_some() { "local" } else { "" }))),
        ("Mode", text(mode)),
        ("RW", Value::Bool(!mount.read_only)),
        ("Propagation", text(propagation)),
    ])
}

fn config(record: &Record) -> Value {
    let words = |words: &[String]| or_nil_list(strings(words));
    let anonymous = |mount: &&MountRecord| mount.anonymous && !mount.borrowed;
    let volumes = record.mounts.iter().filter(anonymous).map(|mount| &mount.target);
    let health = record.health.as_ref();
    let attached = record.streams.attached;
    // As in Docker, the default signal is not shown.
    let signal = match &record.stop_signal {
        signal if signal.is_default() => String::new(),
        signal => signal.to_string(),
    };
    let mac = record.networks.iter().find_map(|network| network.settings.mac);
    let mac = mac.map(|mac| mac.to_string()).unwrap_or_default();
    object([
        ("Hostname", text(&record.hostname)),
        ("Domainname", text(record.system.domainname.as_deref().unwrap_or_default())),
        ("User", text(&record.user.name)),
        ("AttachStdin", Value::Bool(attached.stdin)),
        ("AttachStdout", Value::Bool(attached.stdout)),
        ("AttachStderr", Value::Bool(attached.stderr)),
        ("ExposedPorts", omit_empty(set(record.exposed_ports()))),
        ("Tty", Value::Bool(record.streams.tty)),
        ("OpenStdin", Value::Bool(record.streams.interactive)),
        ("StdinOnce", Value::Bool(record.streams.interactive && !record.streams.keeps_stdin)),
        ("Env", strings(&record.env)),
        ("Cmd", words(&record.command)),
        ("Healthcheck", healthcheck(health.map(|health| &health.check))),
        ("Image", text(&record.image)),
        ("Volumes", or_nil_map(set(volumes))),
        ("WorkingDir", text(&record.cwd)),
        ("Entrypoint", words(&record.entrypoint)),
        ("OnBuild", Value::NilList),
        ("Labels", map(&record.labels)),
        ("StopSignal", omit_empty(text(&signal))),
        (
            "StopTimeout",
            record.lifecycle.stop_timeout.map_or_else(|| omit_empty(Value::Nil), signed),
        ),
        ("Shell", omit_empty(Value::NilList)),
        ("ArgsEscaped", omit_empty(Value::Bool(false))),
        ("NetworkDisabled", omit_empty(Value::Bool(false))),
        ("MacAddress", omit_empty(text(&mac))),
        // This field is Podman's.
        (
            "HealthcheckOnFailureAction",
            omit_empty(text(health.map_or("", |health| health.on_failure.name()))),
        ),
    ])
}

/// Returns the mode of a namespace. As in Docker, a private namespace has an empty mode.
fn unless_private(mode: &NamespaceMode<ContainerId>) -> String {
    if *mode == NamespaceMode::Private { String::new() } else { mode.to_string() }
}

fn reversed(layers: &[String]) -> Vec<String> {
    layers.iter().rev().cloned().collect()
}
