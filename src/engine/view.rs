//! What the engine answers with: facts for the command line to print, not yet text.

pub use crate::container::health::HealthStatus;
pub use crate::image::transfer::{Event as TransferEvent, Step as TransferStep};
use crate::time::Instant;

/// A container as `ps` tells of it.
#[derive(Clone, Debug)]
pub struct ContainerView {
    pub id: String,
    pub name: String,
    /// As it was named when the container was made.
    pub image: String,
    pub image_id: String,
    pub args: Vec<String>,
    pub created: Instant,
    pub status: Status,
    /// Of one that runs and has a health check.
    pub health: Option<HealthStatus>,
    /// As `-p` published them.
    pub ports: Vec<String>,
    pub labels: Vec<(String, String)>,
    pub mounts: Vec<String>,
    pub networks: Vec<String>,
    /// Those it has now.
    pub addresses: Vec<String>,
    /// Bytes that it wrote, and with its image; `None`: not asked for.
    pub size: Option<(u64, u64)>,
}

/// What a prune knows of something before it removes it.
pub struct PruneCandidate<'a> {
    pub created: Option<Instant>,
    pub labels: &'a [(String, String)],
}

/// Chooses what a prune removes of what nothing uses.
pub type PruneChoice<'a> = &'a dyn Fn(&PruneCandidate<'_>) -> bool;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Created,
    Running {
        pid: i32,
        started: Instant,
        paused: bool,
    },
    /// Ended so, and waiting to be begun again.
    Restarting {
        code: u8,
        finished: Instant,
    },
    Exited {
        code: u8,
        finished: Instant,
        oom_killed: bool,
    },
    /// Its record can't be read, or its removal was cut short: the reason.
    Dead {
        reason: String,
    },
}

/// A line of `stats`.
#[derive(Clone, Debug)]
pub struct StatsView {
    pub id: String,
    pub name: String,
    /// A whole processor is 100.
    pub cpu_percent: f64,
    /// Bytes, as all below but the last.
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
    /// Of one processor, since it began.
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
    /// Of the manifest by which a registry has it.
    pub digest: Option<String>,
    pub labels: Vec<(String, String)>,
    /// `sha256:…`
    pub id: String,
    pub created: Option<Instant>,
    /// Bytes of all layers, unpacked.
    pub size: u64,
}

/// A line of `history`.
#[derive(Clone, Debug)]
pub struct HistoryView {
    /// Of the image, if this step made it as it is now.
    pub id: Option<String>,
    pub created: Option<Instant>,
    pub created_by: String,
    pub size: u64,
    pub comment: String,
}

/// A line of `system df`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskUse {
    pub kind: &'static str,
    pub total: usize,
    pub active: usize,
    /// Bytes.
    pub size: u64,
    pub reclaimable: u64,
}

/// `system df -v`
#[derive(Clone, Debug)]
pub struct DiskDetail {
    pub images: Vec<ImageUse>,
    pub containers: Vec<ContainerUse>,
    pub volumes: Vec<VolumeUse>,
}

#[derive(Clone, Debug)]
pub struct ImageUse {
    pub image: ImageView,
    /// Bytes of its layers that other images have too.
    pub shared: u64,
    /// How many are made of it.
    pub containers: usize,
}

#[derive(Clone, Debug)]
pub struct ContainerUse {
    pub container: ContainerView,
    /// How many it has.
    pub volumes: usize,
    /// Bytes that it wrote.
    pub size: u64,
}

#[derive(Clone, Debug)]
pub struct VolumeUse {
    pub name: String,
    /// How many containers have it.
    pub users: usize,
    pub size: u64,
}

/// What a prune took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub removed: Vec<String>,
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
    pub labels: Vec<(String, String)>,
}

impl Status {
    /// Docker's word for it.
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
}

/// A line of `network ls`.
#[derive(Clone, Debug)]
pub struct NetworkView {
    pub id: String,
    pub name: String,
    pub driver: &'static str,
    pub subnets: Vec<String>,
    pub gateways: Vec<String>,
    /// How many run on it.
    pub containers: usize,
    pub internal: bool,
    pub ipv6: bool,
    pub labels: Vec<(String, String)>,
}

/// Whether there is a label `wanted`, which is `key` or `key=value`, as filters take it.
pub fn has_label(labels: &[(String, String)], wanted: &str) -> bool {
    labels.iter().any(|(key, value)| match wanted.split_once('=') {
        Some((wanted_key, wanted)) => key == wanted_key && value == wanted,
        None => key == wanted,
    })
}
