//! The facts that the engine returns to the command line: one struct for each kind of output line,
//! without text and columns. `cli` prints them as tables, JSON or by templates. Sizes are bytes,
//! times are `Instant`s, ids are in full.

use std::net::SocketAddr;

use crate::address::Ip;
pub use crate::container::health::HealthStatus;
pub use crate::container_id::ContainerId;
pub use crate::digest::{Digest, ImageId};
pub use crate::image::Loaded;
pub use crate::image::transfer::{Event as TransferEvent, Step as TransferStep};
use crate::image_name::ImageName;
use crate::network::subnet::Subnet;
use crate::port::Protocol;
pub use crate::reference::Reference;
use crate::time::Instant;

/// A line of `ps`.
#[derive(Clone, Debug)]
pub struct ContainerView {
    pub id: ContainerId,
    pub name: String,
    /// The name that was given when the container was created.
    pub image: Option<ImageName>,
    pub image_id: Option<ImageId>,
    pub args: Vec<String>,
    pub created: Instant,
    pub status: Status,
    /// Set if the container runs and has a health check.
    pub health: Option<HealthStatus>,
    pub published: Vec<PublishedPort>,
    /// The exposed ports that are not published, each `80/tcp`.
    pub exposed: Vec<String>,
    pub labels: Vec<(String, String)>,
    pub mounts: Vec<String>,
    /// The name of the volume of each mount that has one.
    pub volumes: Vec<String>,
    /// The ids of the images that it mounts.
    pub mounted_images: Vec<ImageId>,
    pub networks: Vec<String>,
    /// The present addresses.
    pub addresses: Vec<Ip>,
    /// The bytes that it wrote, and those together with its image; `None` if not asked for.
    pub size: Option<(u64, u64)>,
}

/// A line of `port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPort {
    pub container_port: u16,
    pub protocol: Protocol,
    /// The address and port on the host.
    pub host: SocketAddr,
}

/// `info`
#[derive(Clone, Debug)]
pub struct InfoView {
    pub containers: usize,
    pub running: usize,
    pub paused: usize,
    pub stopped: usize,
    pub images: usize,
    pub state_directory: String,
    pub run_directory: String,
    /// The file system that containers write to, as Docker names it.
    pub file_system: &'static str,
    /// `1` if any controller is in a v1 hierarchy; empty without cgroups.
    pub cgroup_version: &'static str,
    pub cgroup_controllers: Vec<String>,
    pub has_memory: bool,
    pub has_cpu: bool,
    pub has_cpuset: bool,
    pub has_pids: bool,
    pub has_oom_control: bool,
    pub forwards_ipv4: bool,
    pub bridge_iptables: bool,
    pub bridge_ip6tables: bool,
    pub kernel: String,
    pub architecture: String,
    pub name: String,
    pub operating_system: String,
    pub os_version: String,
    pub cpus: usize,
    /// Bytes.
    pub memory: u64,
    /// `apparmor`, `seccomp` and `cgroupns`, as far as they are there.
    pub confinements: Vec<&'static str>,
    /// The error says why there are none.
    pub user_namespaces: std::result::Result<(), String>,
    /// The mirrors of Docker's registry.
    pub mirrors: Vec<String>,
    pub insecure_registries: Vec<String>,
    /// What this host lacks.
    pub warnings: Vec<String>,
}

/// An object that a prune may remove.
pub struct PruneCandidate<'a> {
    pub created: Option<Instant>,
    pub labels: &'a [(String, String)],
}

/// Decides which of the unused objects a prune removes.
pub type PruneChoice<'a> = &'a dyn Fn(&PruneCandidate<'_>) -> bool;

/// What a container is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Created,
    Running {
        pid: i32,
        started: Instant,
        paused: bool,
    },
    /// Exited with `code`, and waiting for a restart.
    Restarting {
        code: u8,
        finished: Instant,
    },
    Exited {
        code: u8,
        finished: Instant,
        oom_killed: bool,
    },
    /// The record can't be read, or the removal was cut short.
    Dead {
        reason: String,
    },
}

/// A line of `stats`.
#[derive(Clone, Debug)]
pub struct StatsView {
    /// The name as given, or the id.
    pub container: String,
    pub id: String,
    pub name: String,
    /// Percent of one CPU.
    pub cpu_percent: f64,
    /// Bytes, like the fields below except `processes`.
    pub memory: u64,
    pub memory_limit: u64,
    pub received: u64,
    pub sent: u64,
    pub read: u64,
    pub written: u64,
    pub processes: u64,
}

/// A line of `top`.
#[derive(Clone, Debug)]
pub struct ProcessView {
    /// All numbers are the host's.
    pub uid: u32,
    pub pid: i32,
    pub parent: i32,
    /// Percent of one CPU, since the process started.
    pub cpu_percent: u64,
    pub started: Instant,
    pub terminal: Option<String>,
    pub cpu_seconds: u64,
    pub command: String,
}

/// A line of `images`.
#[derive(Clone, Debug)]
pub struct ImageView {
    /// `None` is printed as `<none>`.
    pub repository: Option<String>,
    pub tag: Option<String>,
    /// The digest of the registry's manifest.
    pub digest: Option<Digest>,
    pub labels: Vec<(String, String)>,
    pub id: ImageId,
    pub created: Option<Instant>,
    /// Bytes of all layers, unpacked.
    pub size: u64,
    /// What a failed build left to look into: shown only with all.
    pub hidden: bool,
    /// `None` if not asked for.
    pub usage: Option<ImageUsage>,
}

/// A line of `history`.
#[derive(Clone, Debug)]
pub struct HistoryView {
    /// The id of the image, for its newest step.
    pub id: Option<ImageId>,
    pub created: Option<Instant>,
    pub created_by: String,
    pub size: u64,
    pub comment: String,
}

/// The kinds of things that take room on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskKind {
    Images,
    Containers,
    Volumes,
    BuildCache,
}

/// A line of `system df`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskUse {
    pub kind: DiskKind,
    pub total: usize,
    pub active: usize,
    /// Bytes.
    pub size: u64,
    pub reclaimable: u64,
}

/// `system df -v`
#[derive(Clone, Debug)]
pub struct DiskDetail {
    pub images: Vec<ImageView>,
    pub containers: Vec<ContainerView>,
    pub volumes: Vec<VolumeView>,
    pub cache: Vec<CacheView>,
}

/// A step in the build cache.
#[derive(Clone, Debug)]
pub struct CacheView {
    pub id: String,
    /// The instruction.
    pub title: String,
    pub created: Instant,
    pub used: Instant,
    /// Bytes of its layer.
    pub size: u64,
    /// An image has the layer too.
    pub shared: bool,
}

/// The use of an image.
#[derive(Clone, Copy, Debug)]
pub struct ImageUsage {
    /// The bytes of its layers that other images have too.
    pub shared: u64,
    /// The number of containers made from it.
    pub containers: usize,
}

/// The use of a volume.
#[derive(Clone, Copy, Debug)]
pub struct VolumeUsage {
    /// The number of containers that have it.
    pub containers: usize,
    /// Bytes.
    pub size: u64,
}

/// What a prune removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub removed: Vec<String>,
    /// Bytes.
    pub reclaimed: u64,
}

/// What the removal of an image, or of one of its names, took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovedImage {
    pub untagged: Vec<Reference>,
    /// The digests of the image and of its layers that no other image has.
    pub deleted: Vec<Digest>,
}

/// What `image prune` removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrunedImages {
    pub images: Vec<RemovedImage>,
    /// Bytes.
    pub reclaimed: u64,
}

/// A line of `diff`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    /// Absolute, in the container.
    pub path: Vec<u8>,
}

/// The letters A, C and D of `diff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Changed,
    Deleted,
}

/// A line of `volume ls`.
#[derive(Clone, Debug)]
pub struct VolumeView {
    pub name: String,
    /// Where its files are on the host.
    pub mountpoint: String,
    /// Whether a container has it, running or not.
    pub is_used: bool,
    /// `None` if not asked for.
    pub usage: Option<VolumeUsage>,
    pub labels: Vec<(String, String)>,
}

impl Status {
    /// Docker's word for the status.
    pub fn name(&self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running { paused: true, .. } => "paused",
            Status::Running { .. } => "running",
            Status::Restarting { .. } => "restarting",
            Status::Exited { .. } => "exited",
            Status::Dead { .. } => "dead",
        }
    }

    /// Whether it runs, or its restart policy will start it.
    pub fn is_active(&self) -> bool {
        matches!(self, Status::Running { .. } | Status::Restarting { .. })
    }
}

/// A line of `network ls`.
#[derive(Clone, Debug)]
pub struct NetworkView {
    pub id: String,
    pub name: String,
    pub driver: &'static str,
    pub created: Option<Instant>,
    pub subnets: Vec<Subnet>,
    pub gateways: Vec<Ip>,
    /// The number of running containers on it.
    pub containers: usize,
    pub internal: bool,
    pub ipv6: bool,
    pub labels: Vec<(String, String)>,
    /// Whether the network always exists.
    pub is_builtin: bool,
}

/// Whether `filters` let something pass, by Docker's rule: those of one kind are alternatives, and
/// each kind must match. Of a kind in `all_of` every filter must hold.
pub fn pass<F>(filters: &[F], all_of: impl Fn(&F) -> bool, holds: impl Fn(&F) -> bool) -> bool {
    pass_by(filters, std::mem::discriminant, all_of, holds)
}

/// As `pass`, for filters whose kind is more than their variant.
pub fn pass_by<F, K: PartialEq>(
    filters: &[F],
    kind: impl Fn(&F) -> K,
    all_of: impl Fn(&F) -> bool,
    holds: impl Fn(&F) -> bool,
) -> bool {
    filters.iter().all(|filter| {
        let mut alternatives = filters.iter().filter(|other| kind(other) == kind(filter));
        if all_of(filter) { holds(filter) } else { alternatives.any(&holds) }
    })
}

/// Whether there is a label `wanted`, which is `key` or `key=value`, as filters take it.
pub fn has_label(labels: &[(String, String)], wanted: &str) -> bool {
    labels.iter().any(|(key, value)| match wanted.split_once('=') {
        Some((wanted_key, wanted)) => key == wanted_key && value == wanted,
        None => key == wanted,
    })
}
