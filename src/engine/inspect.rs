//! `inspect` of containers, images and volumes: everything on record as JSON under Docker's field
//! names, so that scripts and templates written for Docker work. The JSON is built as a value here
//! and printed by `cli::inspect`. Networks, and the network settings of a container, are in
//! `network_view`.

use std::time::Duration;

use miniserde::json::{Array, Number, Object, Value, to_string};

use super::Engine;
use super::network_view::port_bindings;
use super::options::{InspectKind, Propagation, RateKind, Resources};
use crate::container::health::Health;
use crate::container::names;
use crate::container::record::{Files, MountKind, MountRecord, Record, UserNamespaceRecord, short};
use crate::container::state::{Condition, is_paused};
use crate::error::{Result, fail};
use crate::image::config::healthcheck_value;
use crate::image::{Image, ImageStore};
use crate::time::Instant;
use crate::volume;

/// Docker's time for "not yet".
const NEVER: &str = "0001-01-01T00:00:00Z";

impl Engine {
    /// Returns a JSON object for the container, image, volume or network with this name, searched
    /// in this order.
    pub fn inspect(&self, name: &str, kind: Option<InspectKind>) -> Result<String> {
        if matches!(kind, None | Some(InspectKind::Container)) {
            match names::find(&self.roots, name) {
                // Something else may have this name.
                Ok(names::Match::None) | Err(_) if kind.is_none() => {}
                found => return self.container(&self.record_of(&found?.one(name)?, name)?),
            }
        }
        if matches!(kind, None | Some(InspectKind::Image)) {
            if let Some(image) = ImageStore::open(&self.roots).resolve(name)? {
                return self.image(&image);
            }
            if kind.is_some() {
                fail!("no such image: {name}");
            }
        }
        if matches!(kind, None | Some(InspectKind::Volume)) {
            match volume::read(&self.roots, name) {
                Ok(volume) => return Ok(self.volume(&volume)),
                Err(error) if kind.is_some() => return Err(error),
                Err(_) => {}
            }
        }
        match self.network_inspect(name) {
            Err(_) if kind.is_none() => {
                fail!("no such container, image, volume or network: {name}")
            }
            result => result,
        }
    }

    fn container(&self, record: &Record) -> Result<String> {
        // A container that hangs in its start is shown as it is, without a wait.
        const MAX_WAIT: Duration = Duration::from_secs(1);
        let id = &record.id;
        let files = Files::new(&self.roots, id);
        let condition = self.condition_within(record, MAX_WAIT)?;
        let mut args = record.args().into_iter();
        let graph = object([
            ("LowerDir", text(reversed(&record.layers).join(":"))),
            ("UpperDir", text(files.upper().display())),
            ("WorkDir", text(files.work().display())),
        ]);
        let paused = matches!(&condition, Condition::Running(state) if is_paused(&files, state));
        let health = match (&condition, record.health_check()) {
            (Condition::Running(_), Some(_)) => Health::read(&files)?,
            _ => None,
        };
        Ok(to_string(&object([
            ("Id", text(id)),
            ("Created", instant(record.created)),
            ("Path", text(args.next().unwrap_or_default())),
            ("Args", strings(args)),
            ("State", state(&condition, paused, health.as_ref())),
            ("Image", text(&record.image_id)),
            ("ResolvConfPath", text(files.dir.join("resolv.conf").display())),
            ("HostnamePath", text(files.dir.join("hostname").display())),
            ("HostsPath", text(files.dir.join("hosts").display())),
            ("LogPath", text(files.log().display())),
            // Without Docker's slash, which is a leftover of links that no script needs.
            ("Name", text(format!("/{}", record.name))),
            ("RestartCount", number(restarts(&condition).into())),
            ("Driver", text("overlay")),
            ("Platform", text("linux")),
            ("MountLabel", text("")),
            ("ProcessLabel", text("")),
            ("AppArmorProfile", text("")),
            ("HostConfig", host_config(record)),
            ("GraphDriver", object([("Name", text("overlay")), ("Data", graph)])),
            ("Mounts", array(record.mounts.iter().map(mount))),
            ("Config", config(record)),
            (
                "NetworkSettings",
                self.network_settings(record, matches!(condition, Condition::Running(_)))?,
            ),
        ])))
    }

    fn image(&self, image: &Image) -> Result<String> {
        let config = &image.config;
        let defaults = &config.config;
        let found = ImageStore::open(&self.roots).list()?;
        let id = image.id.to_string();
        let tags = found.iter().filter(|view| view.id == image.id).filter_map(|view| {
            Some(format!("{}:{}", view.repository.as_ref()?, view.tag.as_ref()?))
        });
        let digests = found.iter().filter(|view| view.id == image.id).filter_map(|view| {
            Some(format!("{}@{}", view.repository.as_ref()?, view.digest.as_ref()?))
        });
        let mut digests: Vec<String> = digests.collect();
        digests.sort_unstable();
        digests.dedup();
        let size = found.iter().find(|view| view.id == image.id).map_or(0, |view| view.size);
        let created = config.created.map_or_else(|| NEVER.to_owned(), Instant::to_rfc3339);
        Ok(to_string(&object([
            ("Id", text(&id)),
            ("RepoTags", strings(tags)),
            ("RepoDigests", strings(digests)),
            ("Created", text(created)),
            ("Author", text(&config.author)),
            ("Comment", text(config.history.last().map_or("", |step| &step.comment))),
            ("Architecture", text(&config.architecture)),
            ("Os", text(&config.os)),
            ("Size", number(size)),
            (
                "Config",
                with(
                    object([
                        ("User", text(&defaults.user)),
                        ("ExposedPorts", set(&defaults.exposed_ports)),
                        ("Env", strings(&defaults.env)),
                        ("Cmd", defaults.cmd.as_ref().map_or(Value::Null, strings)),
                        ("Volumes", set(&defaults.volumes)),
                        ("WorkingDir", text(&defaults.working_dir)),
                        ("Entrypoint", defaults.entrypoint.as_ref().map_or(Value::Null, strings)),
                        ("Labels", map(&defaults.labels)),
                        ("StopSignal", text(defaults.stop_signal.as_deref().unwrap_or_default())),
                    ]),
                    "Healthcheck",
                    defaults.healthcheck.as_ref().map(healthcheck_value),
                ),
            ),
            (
                "RootFS",
                object([
                    ("Type", text("layers")),
                    ("Layers", strings(config.diff_ids.iter().map(ToString::to_string))),
                ]),
            ),
        ])))
    }

    fn volume(&self, volume: &volume::Volume) -> String {
        to_string(&object([
            ("CreatedAt", instant(volume.created)),
            ("Driver", text("local")),
            ("Labels", map(&volume.labels)),
            ("Mountpoint", text(volume::data(&self.roots, &volume.name).display())),
            ("Name", text(&volume.name)),
            ("Options", object([])),
            ("Scope", text("local")),
        ]))
    }
}

/// `object` with one more field, which Docker leaves out where there is none.
fn with(mut object: Value, name: &str, field: Option<Value>) -> Value {
    if let (Value::Object(object), Some(field)) = (&mut object, field) {
        object.insert(name.to_owned(), field);
    }
    object
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
    let state = object([
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
    ]);
    with(state, "Health", health.map(health_state))
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

fn host_config(record: &Record) -> Value {
    let resources = &record.resources;
    let is_bind = |mount: &&MountRecord| matches!(mount.kind, MountKind::Bind | MountKind::Volume);
    let binds = record.mounts.iter().filter(is_bind).map(|mount| {
        let source = mount.volume.as_ref().unwrap_or(&mount.source);
        format!("{source}:{}{}", mount.target, if mount.read_only { ":ro" } else { "" })
    });
    let devices = record.devices.iter().map(|device| {
        object([
            ("PathOnHost", text(&device.source)),
            ("PathInContainer", text(&device.target)),
            ("CgroupPermissions", text(&device.access)),
        ])
    });
    let ulimits = record.rlimits.iter().map(|limit| {
        object([
            ("Name", text(&limit.name)),
            ("Hard", signed(limit.hard as i64)),
            ("Soft", signed(limit.soft as i64)),
        ])
    });
    let mut log_options = vec![
        ("max-size".to_owned(), record.log_max_size.to_string()),
        ("max-file".to_owned(), record.log_max_file.to_string()),
    ];
    log_options.extend(record.log_options.iter().flatten().cloned());
    let tmpfs: Vec<(String, String)> = record
        .mounts
        .iter()
        .filter(|mount| mount.kind == MountKind::Tmpfs)
        .map(|mount| (mount.target.clone(), mount.tmpfs_options.clone()))
        .collect();
    let log_type = if record.log_disabled { "none" } else { "local" };
    object([
        ("Binds", strings(binds)),
        ("LogConfig", object([("Type", text(log_type)), ("Config", map(&log_options))])),
        ("NetworkMode", text(&record.network)),
        ("Links", self_links(record)),
        (
            "RestartPolicy",
            object([
                ("Name", text(record.restart)),
                ("MaximumRetryCount", number(record.restart.max_retries.into())),
            ]),
        ),
        ("PortBindings", port_bindings(record)),
        ("AutoRemove", Value::Bool(record.remove)),
        ("Privileged", Value::Bool(record.privileged)),
        ("CapAdd", strings(&record.confinement.cap_add)),
        ("CapDrop", strings(&record.confinement.cap_drop)),
        ("SecurityOpt", strings(super::confine::options(&record.confinement))),
        ("ReadonlyRootfs", Value::Bool(record.read_only)),
        ("Init", Value::Bool(record.init)),
        ("PidMode", text(&record.pid)),
        ("IpcMode", text(&record.ipc)),
        ("UTSMode", text(&record.uts)),
        ("UsernsMode", text(userns_mode(record))),
        ("IDMappings", id_mappings(record)),
        ("CgroupParent", text(&record.cgroup_parent)),
        ("ShmSize", number(record.shm_size)),
        ("Tmpfs", map(&tmpfs)),
        ("Dns", strings(&record.dns)),
        ("DnsSearch", strings(&record.dns_search)),
        ("DnsOptions", strings(record.dns_options.iter().flatten())),
        ("GroupAdd", strings(record.groups.iter().flatten())),
        ("Annotations", map(record.annotations.as_deref().unwrap_or_default())),
        ("CgroupnsMode", text(if record.host_cgroups == Some(true) { "host" } else { "private" })),
        (
            "ExtraHosts",
            strings(record.add_hosts.iter().map(|(name, address)| format!("{name}:{address}"))),
        ),
        ("Sysctls", map(&record.sysctls)),
        ("Ulimits", array(ulimits)),
        ("Devices", array(devices)),
        ("OomScoreAdj", signed(record.oom_score_adj.unwrap_or(0).into())),
        ("Memory", number(resources.memory.unwrap_or(0))),
        ("MemorySwap", signed(resources.memory_swap.unwrap_or(0))),
        ("MemoryReservation", number(resources.memory_reservation.unwrap_or(0))),
        ("NanoCpus", number(resources.nano_cpus.unwrap_or(0))),
        ("CpuShares", number(resources.cpu_shares.unwrap_or(0))),
        ("CpuQuota", signed(resources.cpu_quota.unwrap_or(0))),
        ("CpuPeriod", number(resources.cpu_period.unwrap_or(0))),
        ("CpusetCpus", text(resources.cpuset_cpus.as_deref().unwrap_or(""))),
        ("CpusetMems", text(resources.cpuset_mems.as_deref().unwrap_or(""))),
        ("PidsLimit", signed(resources.pids.unwrap_or(super::spec::DEFAULT_PIDS.into()))),
        ("MemorySwappiness", resources.memory_swappiness.map_or(Value::Null, number)),
        ("OomKillDisable", Value::Bool(resources.oom_kill_disable == Some(true))),
        ("BlkioDeviceReadBps", rates(resources, RateKind::ReadBytes)),
        ("BlkioDeviceWriteBps", rates(resources, RateKind::WriteBytes)),
        ("BlkioDeviceReadIOps", rates(resources, RateKind::ReadOperations)),
        ("BlkioDeviceWriteIOps", rates(resources, RateKind::WriteOperations)),
        ("BlkioWeight", number(resources.blkio_weight.unwrap_or(0).into())),
    ])
}

/// `/db:/web/alias`, as in Docker, but with the id of the linked container.
fn self_links(record: &Record) -> Value {
    let links = record.links.iter().flatten();
    strings(links.map(|(id, alias)| format!("/{}:/{}/{alias}", short(id), record.name)))
}

fn rates(resources: &Resources, kind: RateKind) -> Value {
    let rates = resources.device_rates.iter().flatten().filter(|rate| rate.kind == kind);
    array(rates.map(|rate| object([("Path", text(&rate.path)), ("Rate", number(rate.rate))])))
}

/// The value of `--userns`; empty for `host`, as in Docker.
fn userns_mode(record: &Record) -> String {
    match &record.user_namespace {
        None => String::new(),
        Some(namespace) if namespace.auto => "auto".to_owned(),
        Some(UserNamespaceRecord { ids, .. }) => format!("{}:{}:{}", ids.uid, ids.gid, ids.size),
    }
}

/// `CONTAINER_ID:HOST_ID:COUNT`, as in Podman; null without a user namespace.
fn id_mappings(record: &Record) -> Value {
    let Some(ids) = record.ids() else { return Value::Null };
    let map = |first: u32| strings([format!("0:{first}:{}", ids.size)]);
    object([("UidMap", map(ids.uid)), ("GidMap", map(ids.gid))])
}

fn mount(mount: &MountRecord) -> Value {
    let kind = match mount.kind {
        MountKind::Bind => "bind",
        MountKind::Volume => "volume",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Image => "image",
    };
    let propagation = match (mount.kind, mount.propagation.unwrap_or_default()) {
        (MountKind::Bind, Propagation::Private) => "rprivate",
        (_, Propagation::Private) => "",
        (_, Propagation::Slave) => "rslave",
        (_, Propagation::Shared) => "rshared",
    };
    object([
        ("Type", text(kind)),
        ("Name", text(mount.volume.as_deref().unwrap_or(""))),
        ("Source", text(&mount.source)),
        ("Destination", text(&mount.target)),
        ("Mode", text(if mount.read_only { "ro" } else { "" })),
        ("RW", Value::Bool(!mount.read_only)),
        ("Propagation", text(propagation)),
    ])
}

fn config(record: &Record) -> Value {
    let or_null = |words: &[String]| if words.is_empty() { Value::Null } else { strings(words) };
    let volumes = record.mounts.iter().filter(|mount| mount.kind == MountKind::Volume);
    let config = object([
        ("Hostname", text(&record.hostname)),
        ("Domainname", text(record.domainname.as_deref().unwrap_or_default())),
        ("User", text(&record.user)),
        ("Tty", Value::Bool(record.tty)),
        ("OpenStdin", Value::Bool(record.interactive)),
        ("Env", strings(&record.env)),
        ("Cmd", or_null(&record.command)),
        ("Image", text(&record.image)),
        ("Volumes", set(volumes.map(|mount| &mount.target))),
        ("WorkingDir", text(&record.cwd)),
        ("Entrypoint", or_null(&record.entrypoint)),
        ("Labels", map(&record.labels)),
        ("ExposedPorts", set(&record.exposed)),
        ("StopSignal", text(&record.stop_signal)),
        ("StopTimeout", record.stop_timeout.map_or(Value::Null, signed)),
    ]);
    let health = record.health.as_ref();
    let check = health.map(|health| healthcheck_value(&health.check));
    let config = with(config, "Healthcheck", check);
    // Podman's field.
    let action = health.map(|health| text(health.on_failure.name()));
    with(config, "HealthcheckOnFailureAction", action)
}

pub(super) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let mut object = Object::new();
    for (key, value) in fields {
        object.insert(key.to_owned(), value);
    }
    Value::Object(object)
}

pub(super) fn array(values: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(values.into_iter().collect::<Array>())
}

pub(super) fn strings<S: ToString>(values: impl IntoIterator<Item = S>) -> Value {
    array(values.into_iter().map(|value| Value::String(value.to_string())))
}

/// Go's way to write a set: `{"80/tcp": {}}`.
fn set<S: ToString>(keys: impl IntoIterator<Item = S>) -> Value {
    let mut object = Object::new();
    for key in keys {
        object.insert(key.to_string(), Value::Object(Object::new()));
    }
    Value::Object(object)
}

pub(super) fn map(pairs: &[(String, String)]) -> Value {
    let mut object = Object::new();
    for (key, value) in pairs {
        object.insert(key.clone(), text(value));
    }
    Value::Object(object)
}

pub(super) fn text(value: impl ToString) -> Value {
    Value::String(value.to_string())
}

pub(super) fn number(value: u64) -> Value {
    Value::Number(Number::U64(value))
}

fn signed(value: i64) -> Value {
    Value::Number(Number::I64(value))
}

/// Nanoseconds since 1970; zero is never.
pub(super) fn instant(ns: i64) -> Value {
    if ns == 0 { text(NEVER) } else { text(Instant(ns).to_rfc3339()) }
}

fn reversed(layers: &[String]) -> Vec<String> {
    layers.iter().rev().cloned().collect()
}
