//! The description of a container for the runtime, as plain data.
//!
//! The engine makes a `Spec` from a container's record, and `oci` makes one from a bundle's
//! config.json. Both check most values first, and the runtime checks the rest.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::fmt;
use std::path::PathBuf;

use miniserde::{Deserialize, Serialize};

pub use super::ids::{IdMap, IdMaps, IdRange};
use super::label::Label;
use super::seccomp::Seccomp;
use crate::store::{OrEmpty, stored_flat};
pub use crate::sys::schedule::Scheduler;

/// The description of one container and of its first process.
pub struct Spec {
    /// The root file system.
    pub root: Root,
    pub system: SystemSettings,
    /// The directory of the host on which init mounts the container's root.
    pub mount_point: PathBuf,
    pub process: Process,
    pub hostname: Option<String>,
    pub namespaces: Namespaces,
    /// Whether the process that starts the container sets the loopback interface up while init
    /// builds the root. Should be true if that process would otherwise only wait for init.
    pub loopback_by_caller: bool,
    /// The ID mapping of the container's user namespace; `None` means the host's user namespace.
    pub ids: Option<IdMaps>,
    /// All mounts in order, including the kernel's file systems. The cgroups are mounted last,
    /// wherever they stand in the list.
    pub mounts: Vec<Mount>,
    /// The contents of host files for this start. A `MountSource::Copy` of such a file gets this
    /// text. `copies::save` writes the files.
    pub texts: Vec<(PathBuf, String)>,
    /// The device nodes in addition to the standard ones, usually in /dev.
    pub devices: Vec<DeviceNode>,
    pub device_access: DeviceAccess,
    pub cgroup: Cgroup,
    /// Kernel parameters that are set before `system.sysctls`. An error is ignored.
    pub default_sysctls: Vec<(&'static str, String)>,
    pub system_paths: SystemPaths,
    /// The propagation of the container's `/`; `None` means private.
    pub root_propagation: Option<LastPropagation>,
    /// The SELinux label of the files in new file systems such as a tmpfs.
    pub mount_label: Option<String>,
    pub hooks: Hooks,
}

impl Spec {
    /// Whether any mount is not private at pivot_root(2).
    pub fn propagates(&self) -> bool {
        let is_other = |mount: &Mount| !mount.is_private() || mount.last_propagation.is_some();
        self.root_is_slave() || self.mounts.iter().any(is_other)
    }

    /// Whether a later mount on the host below the root directory also appears in the container.
    pub fn root_is_slave(&self) -> bool {
        self.root_propagation.is_some_and(|last| last.kind == PropagationKind::Slave)
    }
}

/// Paths, usually in the kernel's file systems, that the container may not read (`masked`) or not
/// change (`read_only`). They are absolute paths in the container. A missing path is ignored.
/// Symbolic links are followed inside the container's root.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SystemPaths {
    /// Paths that are masked: a directory appears empty, a file as the null device.
    pub masked: Vec<String>,
    pub read_only: Vec<String>,
}

/// The source of the root file system.
pub enum Root {
    /// An overlayfs. `lower` lists the layers, base first. With `volatile`, overlayfs omits all
    /// syncs to disk.
    Overlay { lower: Vec<PathBuf>, upper: PathBuf, work: PathBuf, volatile: bool },
    /// A directory of the host. With `mapped` the owners on disk are IDs of the user namespace.
    Directory { path: PathBuf, mapped: bool },
}

/// The propagation that a mount gets after all mounts are made (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastPropagation {
    pub kind: PropagationKind,
    /// Whether the mounts below this mount get the same propagation.
    pub recursive: bool,
}

/// A type of propagation other than private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropagationKind {
    /// The mount and its later copies are in one peer group.
    Shared,
    Slave,
    Unbindable,
}

/// Hooks that init runs while a container starts ("POSIX-platform Hooks" in the OCI runtime
/// specification). `oci` itself runs the other hooks.
#[derive(Default)]
pub struct Hooks {
    /// The hooks `createContainer`, which run in the container's namespaces, except the user
    /// namespace, before init pivots to the new root.
    pub create_container: Vec<Hook>,
    /// The hooks `startContainer`, which run inside the container directly before its program.
    pub start_container: Vec<Hook>,
    /// The working directory of the hooks that are programs of the host.
    pub directory: PathBuf,
    /// The input of the hooks: a JSON object without its closing brace. `hooks::input` adds the
    /// status and the PID.
    pub state: String,
}

/// A hook: a program that runs at a fixed point of a container's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The absolute path of the program.
    pub path: String,
    /// The arguments with the program's name first. An empty list means `path` alone.
    pub args: Vec<String>,
    /// The environment variables, as `NAME=value`. If this is `None`, a hook on the host gets the
    /// environment of its caller, and a hook inside the container gets that of the program.
    pub env: Option<Vec<String>>,
    /// The timeout in seconds; `None` means no timeout.
    pub timeout: Option<u64>,
}

/// A process in a container: its program and its rights.
#[derive(Clone)]
pub struct Process {
    pub args: Vec<String>,
    /// The environment variables, as `NAME=value`.
    pub env: Vec<String>,
    pub cwd: String,
    pub user: Identity,
    /// Whether PATH is set if `env` lacks PATH. If the process has a terminal, the same applies to
    /// TERM. HOME is always set.
    pub completes_env: bool,
    pub terminal: bool,
    /// The rows and columns of the terminal at the start.
    pub window: Option<(u16, u16)>,
    pub capabilities: Capabilities,
    pub seccomp: Seccomp,
    /// Whether no executed program may gain privileges (PR_SET_NO_NEW_PRIVS, prctl(2)).
    pub no_new_privileges: bool,
    pub label: Option<Label>,
    pub limits: ProcessLimits,
    pub scheduling: Scheduling,
    pub umask: u32,
    /// Whether the process gets a new session keyring.
    pub new_keyring: bool,
    /// The number of the caller's descriptors, from 3 up, that the program inherits.
    pub preserved: u32,
}

/// The capability sets of a process, with bit N for capability number N. The effective set is
/// missing here, because the kernel computes it at execve(2) (capabilities(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The bounding set.
    pub bounding: u64,
    /// The capabilities that are not permitted, even if they are in the bounding set. This field
    /// has an effect only with `no_new_privileges`: otherwise execve(2) permits root the whole
    /// bounding set.
    pub not_permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
}

/// The scheduling of a process. `None` leaves a setting unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// The policy and priority (sched(7)).
    pub scheduler: Option<Scheduler>,
    /// The I/O class, 1 to 3, and the level in the class, 0 to 7 (ioprio_set(2)).
    pub io_priority: Option<(u8, u8)>,
    /// The NUMA policy with its flags, and the nodes as a bit mask (set_mempolicy(2)).
    pub memory_policy: Option<(u32, Vec<u64>)>,
    /// The execution domain (personality(2)).
    pub personality: Option<u32>,
    /// The CPUs on which a process of `exec` starts. `cpus` applies later.
    pub first_cpus: Option<Vec<u32>>,
    pub cpus: Option<Vec<u32>>,
}

/// The user of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    Named(NamedUser),
    /// A user and groups by number. `groups` are all supplementary groups.
    Numbers {
        uid: u32,
        gid: u32,
        groups: Vec<u32>,
    },
}

stored_flat! {
    /// A user and groups that are looked up in the container's passwd and group files. The options,
    /// the record and `Process` share this type.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct NamedUser {
        /// The value of `--user`, `USER[:GROUP]`, as names or numbers; `None` means root.
        pub name: OrEmpty<String> as "user",
        /// The values of `--group-add`: additional groups, as names or numbers.
        pub groups: Vec<String> => optional,
    }
}

/// The namespaces of a container.
pub struct Namespaces {
    /// With `Namespace::Host` the container's mounts are made in the caller's mount namespace,
    /// below the mount point of its root, and only chroot(2) confines the container to its root.
    pub mount: Namespace,
    pub pid: Namespace,
    pub ipc: Namespace,
    pub uts: Namespace,
    pub network: Namespace,
    /// Used with `Spec::ids`: a new namespace, or an existing one with that mapping.
    pub user: Namespace,
    /// The cgroup namespace (cgroup_namespaces(7)).
    pub cgroup: Namespace,
    pub time: Namespace,
    /// The offsets of a new time namespace's clocks from the host's (time_namespaces(7)).
    pub time_offsets: Vec<TimeOffset>,
}

impl Namespaces {
    /// The host's namespaces, except for the user namespace `user`.
    pub fn of_host(user: Namespace) -> Namespaces {
        Namespaces {
            mount: Namespace::Host,
            pid: Namespace::Host,
            ipc: Namespace::Host,
            uts: Namespace::Host,
            network: Namespace::Host,
            user,
            cgroup: Namespace::Host,
            time: Namespace::Host,
            time_offsets: Vec::new(),
        }
    }
}

/// The offset of a clock in a time namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOffset {
    /// The number of CLOCK_MONOTONIC or CLOCK_BOOTTIME.
    pub clock: i32,
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// The source of one namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Namespace {
    /// A new namespace.
    Private,
    /// The host's namespace.
    Host,
    /// The namespace at a path of the host, such as /proc/PID/ns/net.
    Path(PathBuf),
    /// The namespace of a running process, usually of a container's first process.
    Of {
        pid: i32,
        /// The start time of the process (proc_pid_stat(5), field 22), which shows whether the PID
        /// was reused.
        start_time: u64,
    },
}

/// One mount in a container.
pub struct Mount {
    pub source: MountSource,
    /// The absolute path in the container.
    pub target: PathBuf,
    pub read_only: bool,
    /// For a bind with a user namespace: whether the owners on disk are IDs of the container.
    /// Otherwise the owners are IDs of the host, which appear as nobody if the container has no
    /// such ID.
    pub mapped: bool,
    /// For a bind: the mount's own ID mapping, if it has one.
    pub owners: Option<Owners>,
    /// For a volume: whether to fill an empty volume with the image's files at `target`, as Docker
    /// does. For a `MountSource::Filesystem`: whether to copy the container's files at `target`
    /// into the new file system.
    pub copy_up: bool,
    /// For a bind or an image: the part of the source that is mounted. No symbolic link leads out
    /// of the source.
    pub subpath: Option<PathBuf>,
    pub propagation: Propagation,
    /// For a bind: the propagation of the mounts below it.
    pub propagation_below: Propagation,
    /// For a slave or shared bind: whether a source without a peer group on the host is an error.
    pub needs_group: bool,
    pub last_propagation: Option<LastPropagation>,
    pub recursion: Recursion,
    pub attributes: Attributes,
}

/// The mapping of a mount's owners (mount_setattr(2), "ID-mapped mounts").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    /// The ID `inside` on disk appears as the host's ID `outside`.
    pub ids: IdMaps,
    /// Whether the mapping also applies to the mounts below this mount.
    pub recursive: bool,
}

/// Changes of a mount's attributes, as masks of MOUNT_ATTR_* (mount_setattr(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub set: u32,
    pub clear: u32,
    /// Attributes that are set on this mount and on all mounts below it. `clear_recursive` has the
    /// attributes that are cleared on these mounts.
    pub set_recursive: u32,
    pub clear_recursive: u32,
}

impl Mount {
    /// A writable, private mount of `source` on `target` with the host's owners.
    pub fn new(source: MountSource, target: impl Into<PathBuf>) -> Mount {
        Mount {
            source,
            target: target.into(),
            read_only: false,
            mapped: false,
            owners: None,
            copy_up: false,
            subpath: None,
            propagation: Propagation::Private,
            propagation_below: Propagation::Private,
            needs_group: false,
            last_propagation: None,
            recursion: Recursion::Enabled,
            attributes: Attributes::default(),
        }
    }

    /// Whether `propagation` and `propagation_below` are private.
    pub fn is_private(&self) -> bool {
        [self.propagation, self.propagation_below] == [Propagation::Private; 2]
    }

    /// Whether this mount or the mounts below it are in the peer groups of their sources.
    pub fn is_shared(&self) -> bool {
        [self.propagation, self.propagation_below].contains(&Propagation::Shared)
    }
}

/// The propagation of a bind: whether a later mount below it also appears on the other side
/// (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    #[default]
    Private,
    /// A mount on the host appears in the container.
    Slave,
    /// A mount on either side appears on the other.
    Shared,
}

/// The mounts below a bind's source that the container sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recursion {
    /// All of them; read-only if the bind is read-only.
    #[default]
    Enabled,
    /// None of them.
    Disabled,
    /// All of them; a read-only bind does not make them read-only.
    Writable,
}

/// The source of a mount.
pub enum MountSource {
    /// A directory or file of the host. `Mount::recursion` says whether the container also sees the
    /// mounts below it.
    Bind(PathBuf),
    /// A copy of this file of the host, in memory and of limited size (`copies`). A container that
    /// shares the network namespace of another container gets the other container's copy, if the
    /// other container still has one.
    Copy(PathBuf),
    /// A new file system of the kernel, such as proc or devpts, with `options` in the syntax of
    /// mount(8). A symbolic link in the target is an error.
    Kernel { kind: Cow<'static, CStr>, options: Cow<'static, str> },
    /// Any other file system, with `options` in the syntax of mount(8). Symbolic links in the
    /// target are followed.
    Filesystem { kind: CString, source: String, options: String },
    /// A tmpfs with the standard device nodes, links and mount points, and with the nodes of
    /// `Spec::devices` that are in /dev.
    Devices { options: Cow<'static, str> },
    /// POSIX shared memory (shm_overview(7)) of `size` bytes. A container in the IPC namespace of
    /// another container gets the other container's shared memory. With `Namespace::Host` or `Path`
    /// the container gets the host's.
    SharedMemory { size: u64 },
    /// The container's cgroups.
    Cgroups,
    /// The present mount at the target. Only its attributes and its propagation change.
    Remount,
    /// A tmpfs, with `options` in the syntax of mount(8), such as `size=64m,mode=1777`.
    Tmpfs { options: String },
    /// An image's layers, base first. The list also has an empty directory, because overlayfs needs
    /// at least two layers. A single layer is not bound instead, because a container that may mount
    /// could make the bind writable.
    Image { layers: Vec<PathBuf> },
}

stored_flat! {
    /// Settings of the whole container. The options of `run`, the record and `Spec` share this
    /// type.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct SystemSettings {
        /// Whether the root file system is read-only.
        pub read_only: bool,
        /// Whether mydocker's init runs as PID 1, reaps zombies and forwards signals.
        pub init: bool,
        /// The NIS domain name (setdomainname(2)).
        pub domainname: Option<String>,
        pub sysctls: Vec<(String, String)>,
    }
}

stored_flat! {
    /// Limits of a process, in addition to those of its cgroups.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct ProcessLimits {
        pub rlimits: Vec<Rlimit>,
        /// The OOM score adjustment, -1000 to 1000 (proc_pid_oom_score_adj(5)); `None` leaves it
        /// unchanged.
        pub oom_score_adj: Option<i32>,
    }
}

/// A resource limit of the process (setrlimit(2)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// The name in lower case and without RLIMIT_, such as `nofile` or `nproc`.
    pub name: String,
    /// The soft limit, in the unit of the resource. `u64::MAX` means no limit, as in `hard`.
    pub soft: u64,
    pub hard: u64,
}

/// A device of the host, or a directory of devices, that the user gives to a container
/// (`--device`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub source: String,
    pub target: String,
    /// The kinds of access, some of `rwm`.
    pub access: String,
}

/// The type of a device node (mknod(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    Block,
    Character,
    /// A named pipe, which has no device number.
    Fifo,
}

/// A device node in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceNode {
    /// The absolute path in the container.
    pub path: String,
    pub kind: NodeKind,
    pub major: u32,
    pub minor: u32,
    /// The permission bits.
    pub mode: u32,
    /// The owner as an ID of the container. If the container's user namespace lacks the ID, the
    /// node belongs to the container's root.
    pub uid: u32,
    pub gid: u32,
}

/// The devices that a container may use.
#[derive(PartialEq, Eq)]
pub enum DeviceAccess {
    All,
    /// The standard devices, and the devices that these rules allow. A later rule overrides an
    /// earlier one. No rule denies a standard device.
    Only(Vec<(DeviceVerdict, DeviceRule)>),
}

/// The effect of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceVerdict {
    Allow,
    Deny,
}

/// A rule on the access to devices, as in the devices cgroup of v1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    pub kind: DeviceKind,
    /// The major number; `None` stands for every number, as in `minor`.
    pub major: Option<u32>,
    pub minor: Option<u32>,
    /// The kinds of access, some of `rwm`.
    pub access: String,
}

impl DeviceRule {
    /// Whether the rule names every access to every device.
    pub fn is_all(&self) -> bool {
        let DeviceRule { kind, major, minor, access } = self;
        let is_any = *kind == DeviceKind::Any && (major, minor) == (&None, &None);
        is_any && "rwm".chars().all(|letter| access.contains(letter))
    }
}

/// Writes the rule as `--device-cgroup-rule` takes it, such as `c 42:* rwm`.
impl fmt::Display for DeviceRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::Any => 'a',
            DeviceKind::Block => 'b',
            DeviceKind::Character => 'c',
        };
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |n| n.to_string());
        write!(out, "{kind} {}:{} {}", number(self.major), number(self.minor), self.access)
    }
}

/// The kind of device in a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    Any,
    Block,
    Character,
}

/// The cgroups of a container and their limits.
pub struct Cgroup {
    /// The path of the container's directory below each hierarchy's root, such as `/mydocker/ID`.
    /// No component is `..`.
    pub path: String,
    pub resources: Resources,
    pub further: FurtherLimits,
    /// The limit of processes and threads if `resources` has none. Ignored on a host that cannot
    /// set it.
    pub default_pids: Option<u32>,
    /// The limit of memory and swap together, in bytes, if `resources` has none. Ignored on a host
    /// that cannot set it.
    pub default_memory_swap: Option<i64>,
    /// Whether the container gets a cgroup in each v1 hierarchy of the host, and in v2 if v2 has a
    /// controller, even where the container has no limit. The caller must first check that no
    /// process of another program is in these cgroups (`cgroup::must_be_free`).
    pub every_controller: bool,
    /// Translates the name of a limit in the OCI runtime specification (`memory.limit`) to the
    /// user's name for it, for errors.
    pub name_limit: fn(&str) -> String,
}

/// The limits of the OCI runtime specification that a container's record does not have. `None`
/// leaves a limit unset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FurtherLimits {
    /// The CPU time above the quota that may be saved up and used, in microseconds.
    pub cpu_burst: Option<u64>,
    /// Whether the container gets little CPU time while other processes need the CPU, similar to
    /// SCHED_IDLE (sched(7)).
    pub cpu_idle: Option<bool>,
    /// The real-time CPU time in each period, in microseconds.
    pub cpu_realtime_runtime: Option<i64>,
    /// The real-time period, in microseconds.
    pub cpu_realtime_period: Option<u64>,
    /// The limit of TCP buffers in bytes; -1 means no limit.
    pub kernel_tcp_memory: Option<i64>,
    /// The weight against the cgroups below this one, 10 to 1000.
    pub blkio_leaf_weight: Option<u16>,
    pub device_weights: Vec<DeviceWeight>,
    pub huge_pages: Vec<HugePageLimit>,
    /// The class of the container's packets (net_cls).
    pub network_class: Option<u32>,
    /// The priority of the container's packets on interfaces of the host (net_prio).
    pub network_priorities: Vec<(String, u32)>,
    pub rdma: Vec<RdmaLimit>,
    /// Files of cgroup v2 and their values. Each line of a value is one write.
    pub unified: Vec<(String, String)>,
}

/// The share of a block device's time if several cgroups use the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceWeight {
    pub major: u32,
    pub minor: u32,
    /// The weight against other cgroups, 10 to 1000. `leaf_weight` is the weight against the
    /// cgroups below this one.
    pub weight: Option<u16>,
    pub leaf_weight: Option<u16>,
}

/// The limit of huge pages of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HugePageLimit {
    /// The page size as in the kernel's file names, such as `2MB`.
    pub size: String,
    /// The limit in bytes.
    pub bytes: u64,
}

/// The limits of a container on an RDMA device; `None` means no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdmaLimit {
    pub device: String,
    pub handles: Option<u32>,
    pub objects: Option<u32>,
}

/// The limits of a container's cgroups. `None` leaves a limit unset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// The memory in bytes; -1 means no limit.
    pub memory: Option<i64>,
    /// Memory and swap together, in bytes; -1 means no limit.
    pub memory_swap: Option<i64>,
    /// The reserved memory (memory.low of v2) in bytes; -1 means no limit.
    pub memory_reservation: Option<i64>,
    /// The CPU time in billionths of a CPU: `--cpus 1.5` is 1,500,000,000.
    pub nano_cpus: Option<u64>,
    /// The weight against other cgroups, on the scale of cgroup v1: 2 to 262,144.
    pub cpu_shares: Option<u64>,
    /// The CPU time in each period, in microseconds; -1 means no limit.
    pub cpu_quota: Option<i64>,
    /// The period of `cpu_quota`, in microseconds.
    pub cpu_period: Option<u64>,
    /// CPUs in the list format of cpuset(7), such as `0-3,7`. `cpuset_mems` lists memory nodes.
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    /// The number of processes and threads; -1 means no limit.
    pub pids: Option<i64>,
    /// The weight against other cgroups, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// The kernel's inclination to swap, 0 to 100 (memory.swappiness).
    pub memory_swappiness: Option<u64>,
    pub oom_kill_disable: Option<bool>,
    pub device_rates: Option<Vec<DeviceRate>>,
}

/// The rate at which a container may read from or write to a block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRate {
    /// The path of the device on the host. An OCI bundle has no path; the numbers stand for it.
    pub path: String,
    /// `MAJOR:MINOR`. The engine looks the numbers up at each start; an OCI bundle contains them.
    pub numbers: Option<String>,
    pub kind: RateKind,
    /// Bytes or operations in a second, by `kind`.
    pub rate: u64,
}

/// The quantity that a rate limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateKind {
    ReadBytes,
    WriteBytes,
    ReadOperations,
    WriteOperations,
}
