//! `containers/<id>/config.json`: what a container is, as it was asked for and resolved when it was
//! made. Written once by `create` (and by `rename`), read by everything else.

use std::path::{Path, PathBuf};

use miniserde::{Deserialize, Serialize};
use rustix::io::Errno;

use super::health::{HealthRecord, OnFailure};
use super::restart::RestartPolicy;
use crate::error::{Context, EXIT_NOT_FOUND, Error, Result, fail};
use crate::runtime::spec::{Device, DeviceRule, IdMap, Propagation, Recursion, Resources, Rlimit};
use crate::store::{self, Durability, Lock, LockMode, Roots};

/// Bumped when a field changes its meaning.
pub const VERSION: u32 = 1;

#[derive(Clone, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    pub id: String,
    pub name: String,
    /// Nanoseconds since 1970.
    pub created: i64,
    /// Made by `run`, which starts at once: one that never ended was cut off.
    pub run: bool,
    /// `--rm`
    pub remove: bool,
    pub restart: RestartPolicy,
    /// The image's health check with the flags' changes; it may say `NONE`.
    pub health: Option<HealthRecord>,
    /// `--depends-on`, as given.
    pub depends_on: Option<Vec<String>>,
    /// As given on the command line.
    pub image: String,
    /// `sha256:…`; empty with `--rootfs`.
    pub image_id: String,
    /// The image's layer directories, base first.
    pub layers: Vec<String>,
    /// `--rootfs`
    pub rootfs: Option<String>,
    /// The image's or the user's entrypoint, and the command after it.
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub env: Vec<String>,
    pub cwd: String,
    pub user: String,
    /// `--group-add`
    pub groups: Option<Vec<String>>,
    pub hostname: String,
    pub domainname: Option<String>,
    pub tty: bool,
    pub interactive: bool,
    pub read_only: bool,
    pub init: bool,
    pub privileged: bool,
    pub confinement: ConfinementRecord,
    pub stop_signal: String,
    /// Seconds; -1 is for ever; `None` is the default.
    pub stop_timeout: Option<i64>,
    pub labels: Vec<(String, String)>,
    pub annotations: Option<Vec<(String, String)>>,
    pub rlimits: Vec<Rlimit>,
    pub sysctls: Vec<(String, String)>,
    pub shm_size: u64,
    pub add_hosts: Vec<(String, String)>,
    pub dns: Vec<String>,
    pub dns_search: Vec<String>,
    pub dns_options: Option<Vec<String>>,
    /// `none`, `host`, `container:<id>` or the name of the first of `networks`.
    pub network: String,
    /// `--link`: a container's id, and what it is called here.
    pub links: Option<Vec<(String, String)>>,
    /// Those it is on, in the order of its interfaces.
    pub networks: Vec<NetworkRecord>,
    /// `private`, `host` or `container:<id>`.
    pub pid: String,
    /// Or `shareable`, as ours always is, or `none`: without /dev/shm.
    pub ipc: String,
    pub uts: String,
    /// `None`: the host's.
    pub user_namespace: Option<UserNamespaceRecord>,
    pub cgroup_parent: String,
    /// `--cgroupns host`
    pub host_cgroups: Option<bool>,
    pub resources: Resources,
    pub oom_score_adj: Option<i32>,
    pub devices: Vec<Device>,
    pub device_rules: Vec<DeviceRule>,
    pub mounts: Vec<MountRecord>,
    /// `8080:80/tcp` and the like, as given.
    pub publish: Vec<String>,
    pub exposed: Vec<String>,
    /// `--log-driver none`
    pub log_disabled: bool,
    pub log_max_size: u64,
    pub log_max_file: u32,
    /// Further `--log-opt`, which change nothing here and are shown by `inspect`.
    pub log_options: Option<Vec<(String, String)>>,
}

/// `--userns`, but for `host`.
#[derive(Clone, Serialize, Deserialize)]
pub struct UserNamespaceRecord {
    pub ids: IdMap,
    /// The range is leased (`id_range`).
    pub auto: bool,
    /// The targets of binds whose owners stay the host's (`noidmap`).
    pub unmapped: Vec<String>,
}

/// `--cap-add`, `--cap-drop`, `--security-opt`
#[derive(Clone, Serialize, Deserialize)]
pub struct ConfinementRecord {
    /// `CAP_NET_ADMIN` or `ALL`.
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    /// Empty is the default; else `unconfined`, or a profile's JSON itself.
    pub seccomp: String,
    pub no_new_privileges: bool,
    /// The name of a profile, or `unconfined`; `None` is the default.
    pub apparmor: Option<String>,
    /// `user:…`, `role:…`, `type:…`, `level:…`
    pub selinux: Vec<String>,
    pub system_paths_unconfined: bool,
}

/// One network that a container is on, as asked for.
#[derive(Clone, Serialize, Deserialize)]
pub struct NetworkRecord {
    pub name: String,
    /// `--ip`, one of a family; empty: any.
    pub addresses: Vec<String>,
    pub mac: Option<String>,
    /// Further names there, beside the container's own.
    pub aliases: Vec<String>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct MountRecord {
    pub kind: MountKind,
    /// The volume's name, if it is one.
    pub volume: Option<String>,
    /// Anonymous volumes are removed with the container by `rm -v` and `--rm`.
    pub anonymous: bool,
    /// On the host; empty for a tmpfs.
    pub source: String,
    pub target: String,
    pub read_only: bool,
    /// `-v`, whose source is made where it is missing; `--mount` refuses that.
    pub make_source: Option<bool>,
    /// Fill an empty volume from the image.
    pub copy_up: bool,
    pub tmpfs_options: String,
    /// Left out by older versions: the defaults.
    pub propagation: Option<Propagation>,
    pub recursion: Option<Recursion>,
    /// Of a volume or an image, the part that is mounted.
    pub subpath: Option<String>,
    /// What `source` names, if it is an image.
    pub image: Option<ImageMount>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    Bind,
    Volume,
    Tmpfs,
    Image,
}

/// `--mount type=image`
#[derive(Clone, Serialize, Deserialize)]
pub struct ImageMount {
    /// `sha256:…`
    pub id: String,
    /// Its layer directories, base first.
    pub layers: Vec<String>,
}

impl Record {
    /// The first process's whole argument vector.
    pub fn args(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.command).cloned().collect()
    }

    /// The IDs of its user namespace, if it has one.
    pub fn ids(&self) -> Option<IdMap> {
        self.user_namespace.as_ref().map(|namespace| namespace.ids)
    }

    /// Its health check, if it has one that runs.
    pub fn health_check(&self) -> Option<&HealthRecord> {
        self.health.as_ref().filter(|health| health.check.runs())
    }

    /// Whether it is on the network of that name, or will be when it starts.
    pub fn is_on(&self, network: &str) -> bool {
        self.networks.iter().any(|known| known.name == network)
    }

    /// Whether its monitor may start it again.
    pub fn may_restart(&self) -> bool {
        !self.restart.is_no() || self.restarts_unhealthy()
    }

    /// Whether its monitor starts it again when it has become unhealthy.
    pub fn restarts_unhealthy(&self) -> bool {
        self.health_check().is_some_and(|health| health.on_failure == OnFailure::Restart)
    }

    /// Makes the sources of `-v` that are missing, each time that the container starts.
    pub fn make_sources(&self) -> Result<()> {
        for mount in self.mounts.iter().filter(|mount| mount.kind == MountKind::Bind) {
            let source = Path::new(&mount.source);
            if source.exists() {
                continue;
            }
            if mount.make_source != Some(true) {
                return Err(Error::new(format!(
                    "bind source {} does not exist; make it, or use -v, which makes it",
                    mount.source
                ))
                .exit_with(EXIT_NOT_FOUND));
            }
            std::fs::create_dir_all(source)
                .context(|| format!("make bind source {}", mount.source))?;
        }
        Ok(())
    }

    /// Losing a container that is removed at its end anyway needs no guarding against.
    pub fn durability(&self) -> Durability {
        if self.remove { Durability::Lazy } else { Durability::Synced }
    }

    pub fn write(&self, roots: &Roots) -> Result<()> {
        let files = Files::new(roots, &self.id);
        store::replace_json(&files.config(), self, self.durability()).context(|| {
            format!("keep the labels, variables and other facts of container {}", self.name)
        })
    }

    pub fn read(roots: &Roots, id: &str) -> Result<Record> {
        let path = Files::new(roots, id).config();
        let record: Record = store::read_json(&path)?.ok_or_else(|| {
            Error::new(format!("container {} is only half made; `rm` removes it", short(id)))
        })?;
        if record.version != VERSION {
            fail!("{} is of version {}, not {VERSION}", path.display(), record.version);
        }
        Ok(record)
    }
}

/// The first twelve digits, as Docker shows ids.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// A new id: 64 random hexadecimal digits.
pub fn new_id() -> Result<String> {
    let mut bytes = [0u8; 32];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    if filled.context(|| "get random bytes")? != bytes.len() {
        fail!("the kernel gave too few random bytes");
    }
    let mut id = String::with_capacity(64);
    for byte in bytes {
        id.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
        id.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
    }
    Ok(id)
}

/// Where one container's files lie.
pub struct Files {
    pub dir: PathBuf,
    /// Also the mount point on which the root is assembled: seen by its first process alone.
    pub run: PathBuf,
}

impl Files {
    pub fn new(roots: &Roots, id: &str) -> Files {
        Files { dir: roots.containers().join(id), run: roots.run_dir(id) }
    }

    pub fn config(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// How the last run went (`state::Outcome`).
    pub fn outcome(&self) -> PathBuf {
        self.dir.join("outcome.json")
    }

    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }

    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// Serialises changes: start, rename, removal, reclaim. The directory itself is what is
    /// locked, which takes no room on a full disk.
    pub fn lock_changes(&self) -> Result<Option<Lock>> {
        Lock::wait_existing(&self.dir, LockMode::Exclusive)
    }

    /// Makes the run directory and takes its lock, which the monitor keeps.
    pub fn lock_monitor(&self) -> Result<Lock> {
        const MAX_TRIES: u32 = 16;
        for _ in 0..MAX_TRIES {
            store::make_dir(&self.run)?;
            match Lock::wait(&self.monitor_lock(), LockMode::Exclusive) {
                Ok(lock) if self.monitor_lock().exists() => return Ok(lock),
                Err(error) if error.errno() != Some(Errno::NOENT) => return Err(error),
                // A sweep took the still empty directory for a leftover.
                _ => {}
            }
        }
        fail!("{} is being removed as fast as it is made", self.run.display())
    }

    /// Held by the monitor for as long as it lives.
    pub fn monitor_lock(&self) -> PathBuf {
        self.run.join("monitor.lock")
    }

    pub fn state(&self) -> PathBuf {
        self.run.join("state.json")
    }

    /// An empty directory, the topmost layer of images that are mounted. All containers have the same:
    /// the root of each covers its own run directory.
    pub fn empty(&self) -> PathBuf {
        self.run.with_file_name("empty")
    }

    /// Whether its program works (`health::Health`).
    pub fn health(&self) -> PathBuf {
        self.run.join("health.json")
    }

    /// How it ended, where the disk that `outcome` is on had no room.
    pub fn parked_outcome(&self) -> PathBuf {
        self.run.join("outcome.json")
    }

    /// Says that the container is held still (`state::is_paused`).
    pub fn paused(&self) -> PathBuf {
        self.run.join("paused")
    }

    /// Says that the container is not to be begun again (`state::StopMark`).
    pub fn stop_mark(&self) -> PathBuf {
        self.run.join("stop")
    }
}

/// Whether `path` is a plain name below the containers' directory: 64 hexadecimal digits.
pub fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// All containers' ids, in no order.
pub fn all_ids(roots: &Roots) -> Result<Vec<String>> {
    let mut ids = store::list(Path::new(&roots.containers()))?;
    ids.retain(|name| is_id(name));
    Ok(ids)
}
