//! The facts that the engine returns to the command line: one struct for each kind of output line,
//! without text and columns.
//!
//! `cli` prints the facts as tables, as JSON or by templates. Sizes are in bytes, times are
//! `Instant`s (nanoseconds since 1970), and ids are complete.

use std::net::SocketAddr;

use crate::address::Ip;
pub use crate::container::health::HealthStatus;
pub use crate::container_id::ContainerId;
pub use crate::digest::{Digest, ImageId};
pub use crate::image::transfer::{Event as TransferEvent, Step as TransferStep};
pub use crate::image::{ListedImage, Loaded};
use crate::image_name::ImageName;
use crate::network::subnet::Subnet;
use crate::port::Protocol;
pub use crate::reference::Reference;
use crate::time::Instant;

/// A line of `ps`. If the container's record cannot be read, only `id` and `status` have a value.
#[derive(Clone, Debug)]
pub struct ContainerView {
    pub id: ContainerId,
    pub name: String,
    /// The image's name at the container's creation. If the name no longer belongs to this image,
    /// `Engine::containers` replaces the name by the start of the image's id. `None` if the
    /// container has no image, as with `--rootfs`.
    pub image: Option<ImageName>,
    pub image_id: Option<ImageId>,
    pub args: Vec<String>,
    pub created: Instant,
    pub status: Status,
    /// `None` unless the container runs and has a health check.
    pub health: Option<HealthStatus>,
    pub published: Vec<PublishedPort>,
    /// The exposed ports that are not published, each in the form `80/tcp`; empty unless the
    /// container runs.
    pub exposed: Vec<String>,
    pub labels: Vec<(String, String)>,
    /// For each mount, the volume, or the source if there is no volume. A mount with neither is
    /// left out.
    pub mounts: Vec<String>,
    /// The names of the mounted volumes.
    pub volumes: Vec<String>,
    /// The ids of the mounted images.
    pub mounted_images: Vec<ImageId>,
    pub networks: Vec<String>,
    /// The addresses on the container's networks; empty unless the container runs.
    pub addresses: Vec<Ip>,
    /// The bytes that the container wrote, and the sum of these bytes and the image's bytes. For
    /// `system df -v` the second number is 0 instead. `None` unless the caller requested sizes.
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

/// The facts of `info`.
#[derive(Clone, Debug)]
pub struct InfoView {
    pub containers: usize,
    pub running: usize,
    pub paused: usize,
    pub stopped: usize,
    pub images: usize,
    pub state_directory: String,
    pub run_directory: String,
    /// Docker's name of the file system that containers write to.
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
    /// The machine's memory in bytes.
    pub memory: u64,
    /// Those of `apparmor`, `seccomp` and `cgroupns` that containers get by default on this host.
    pub confinements: Vec<&'static str>,
    /// The error is the reason why user namespaces cannot be used.
    pub user_namespaces: std::result::Result<(), String>,
    /// The mirrors of Docker Hub.
    pub mirrors: Vec<String>,
    pub insecure_registries: Vec<String>,
    /// HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment, with their passwords.
    pub http_proxy: String,
    pub https_proxy: String,
    pub no_proxy: String,
    /// Warnings about this host, and about wrong settings of registries.
    pub warnings: Vec<String>,
}

/// An object that a prune may remove.
pub struct PruneCandidate<'a> {
    pub created: Option<Instant>,
    pub labels: &'a [(String, String)],
}

/// Decides which of the unused objects a prune removes.
pub type PruneChoice<'a> = &'a dyn Fn(&PruneCandidate<'_>) -> bool;

/// The condition of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Created,
    Running {
        pid: i32,
        started: Instant,
        paused: bool,
    },
    /// The program exited with `code`, and the monitor waits for the restart.
    Restarting {
        code: u8,
        finished: Instant,
    },
    Exited {
        code: u8,
        finished: Instant,
        oom_killed: bool,
    },
    /// The record or the state cannot be read.
    Dead {
        reason: String,
    },
}

/// A line of `stats`.
#[derive(Clone, Debug)]
pub struct StatsView {
    /// The name that the user typed, or the id.
    pub container: String,
    pub id: String,
    pub name: String,
    /// In percent of one CPU.
    pub cpu_percent: f64,
    /// In bytes, like the fields below except `processes`.
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
    /// In this struct, the user ID and the PIDs are the host's.
    pub uid: u32,
    pub pid: i32,
    pub parent: i32,
    /// In percent of one CPU since the process started.
    pub cpu_percent: u64,
    pub started: Instant,
    pub terminal: Option<String>,
    pub cpu_seconds: u64,
    pub command: String,
}

/// A line of `images` or of `system df -v`.
#[derive(Clone, Debug)]
pub struct ImageView {
    pub listed: ListedImage,
    /// `None` except for `system df -v`.
    pub usage: Option<ImageUsage>,
}

/// A line of `history`.
#[derive(Clone, Debug)]
pub struct HistoryView {
    /// The id of the image; `None` for all steps but the newest.
    pub id: Option<ImageId>,
    pub created: Option<Instant>,
    pub created_by: String,
    pub size: u64,
    pub comment: String,
}

/// The kinds of objects that take disk space.
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
    /// In bytes, like `reclaimable`.
    pub size: u64,
    pub reclaimable: u64,
}

/// The facts of `system df -v`.
#[derive(Clone, Debug)]
pub struct DiskDetail {
    pub images: Vec<ImageView>,
    pub containers: Vec<ContainerView>,
    pub volumes: Vec<VolumeView>,
    pub cache: Vec<CacheView>,
}

/// An entry of the build cache, or a cache mount.
#[derive(Clone, Debug)]
pub struct CacheView {
    pub id: String,
    /// The instruction of the step, or `cache mount` and the id of the cache mount.
    pub title: String,
    pub created: Instant,
    pub used: Instant,
    /// The bytes of the entry's layer or of the cache mount.
    pub size: u64,
    /// True if an image has the layer too.
    pub shared: bool,
}

/// The use of an image.
#[derive(Clone, Copy, Debug)]
pub struct ImageUsage {
    /// The bytes of the layers that other images have too.
    pub shared: u64,
    /// The number of containers of the image.
    pub containers: usize,
}

/// The use of a volume.
#[derive(Clone, Copy, Debug)]
pub struct VolumeUsage {
    /// The number of containers that use the volume.
    pub containers: usize,
    /// In bytes.
    pub size: u64,
}

/// The result of a prune.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub removed: Vec<String>,
    /// In bytes.
    pub reclaimed: u64,
}

/// The result of the removal of an image or of one of its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovedImage {
    pub untagged: Vec<Reference>,
    /// The digests of the removed image and of its removed layers.
    pub deleted: Vec<Digest>,
}

/// The result of `image prune`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrunedImages {
    pub images: Vec<RemovedImage>,
    /// In bytes.
    pub reclaimed: u64,
}

/// A line of `diff`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    /// An absolute path in the container.
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
    /// The directory of the volume's files on the host.
    pub mountpoint: String,
    /// True if a container uses the volume, running or not. Also true if the containers were not
    /// searched, or if a container's record cannot be read.
    pub is_used: bool,
    /// `None` except for `system df -v`.
    pub usage: Option<VolumeUsage>,
    pub labels: Vec<(String, String)>,
}

impl Status {
    /// Returns Docker's name of the status.
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

    /// Reports whether the container runs or waits for a restart.
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
    /// The number of running containers on the network; 0 for `host` and `none`.
    pub containers: usize,
    pub internal: bool,
    pub ipv6: bool,
    pub labels: Vec<(String, String)>,
    /// True if the network always exists.
    pub is_builtin: bool,
}

/// Reports whether an object matches `filters`, by Docker's rule: of each kind of filter that is
/// given, at least one filter must match. The filters that `all_of` accepts must all match. `holds`
/// checks one filter.
pub fn pass<F>(filters: &[F], all_of: impl Fn(&F) -> bool, holds: impl Fn(&F) -> bool) -> bool {
    pass_by(filters, std::mem::discriminant, all_of, holds)
}

/// Like [`pass`], for filters whose kind is more than their variant. `kind` returns the kind.
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

/// Reports whether there is a label `wanted`. As in Docker's filters, `wanted` is `key` or
/// `key=value`.
pub fn has_label(labels: &[(String, String)], wanted: &str) -> bool {
    labels.iter().any(|(key, value)| match wanted.split_once('=') {
        Some((wanted_key, wanted)) => key == wanted_key && value == wanted,
        None => key == wanted,
    })
}
