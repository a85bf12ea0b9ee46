//! The options of each command, as the engine takes them: typed values, checked as far as a flag
//! alone can be checked. `cli` fills them in; other front ends can too. What depends on the host or
//! on other containers is checked by the engine when it uses them. Sizes are bytes, times are
//! seconds, unless a field says otherwise.

use std::net::IpAddr;
use std::path::PathBuf;

pub use crate::address::{HostAddress, Ip};
pub use crate::container::health::OnFailure;
pub use crate::container::logs::{Address as LogAddress, LogOptions, Syslog};
pub use crate::container::mode::{NamespaceMode, NamespaceModes, NetworkMode};
pub use crate::container::record::{DeviceOptions, EndpointSettings, Lifecycle, StreamOptions};
pub use crate::container::restart::RestartPolicy;
pub use crate::container::stop_signal::StopSignal;
pub use crate::healthcheck::Healthcheck;
pub use crate::image::ArchiveFormat;
pub use crate::image::platform::Platform;
pub use crate::image_name::ImageName;
pub use crate::network::create::NetworkOptions;
pub use crate::network::direct::Kind;
pub use crate::network::firewall::Choice as FirewallChoice;
#[cfg(feature = "compose")]
pub use crate::network::interface::NAME as INTERFACE_NAME;
pub use crate::network::interface::{InterfaceOptions, check_prefix, parse_link_local};
pub use crate::network::parent::DirectOptions;
pub use crate::network::record::{
    ENABLE_ICC, ENABLE_MASQUERADE, INHIBIT_IPV4, INTERFACE_PREFIX, truth,
};
pub use crate::network::subnet::Subnet;
pub use crate::port::{Protocol, Publish};
pub use crate::reference::Reference;
use crate::regex::Regex;
pub use crate::resolver::Resolver;
pub use crate::runtime::capabilities::names as capabilities;
pub use crate::runtime::spec::{
    Device, DeviceKind, DeviceRate, DeviceRule, IdMap, ProcessLimits, Propagation, RateKind,
    Recursion, Resources, Rlimit, SystemSettings,
};
pub use crate::runtime::{rlimits, sysctl};
pub use crate::sys::signal::Signal;

/// `create` and `run`.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// None with `rootfs` or `layers`.
    pub image: Option<ImageName>,
    /// A plain directory to run from instead of an image.
    pub rootfs: Option<PathBuf>,
    /// The layers of a step of a build to run from instead of an image, base first.
    pub layers: Option<Vec<PathBuf>>,
    pub command: Vec<String>,
    pub name: Option<String>,
    pub lifecycle: Lifecycle,
    pub health: HealthOptions,
    /// Do not print the progress of unpacking an image.
    pub quiet: bool,
    /// `--platform`: an image for another machine is meant.
    pub platform: Option<Platform>,
    pub streams: StreamOptions,
    /// `NAME=value`, in order, env files first.
    pub env: Vec<String>,
    pub mounts: Vec<MountOption>,
    /// Targets and names of anonymous volumes that an earlier container had there: they are mounted
    /// where this one would get a new anonymous volume.
    pub inherited_volumes: Vec<(String, String)>,
    /// Files with content of the caller's.
    pub files: Vec<FileOption>,
    /// `--volumes-from`: a container, and whether its volumes are mounted read-only.
    pub volumes_from: Vec<(String, bool)>,
    pub workdir: Option<String>,
    pub user: Option<String>,
    /// `--group-add`
    pub groups: Vec<String>,
    pub hostname: Option<String>,
    /// One word, as in Docker; empty clears the image's entrypoint.
    pub entrypoint: Option<String>,
    pub system: SystemSettings,
    pub privileged: bool,
    pub confinement: Confinement,
    pub stop_signal: Option<StopSignal>,
    pub labels: Vec<(String, String)>,
    pub annotations: Vec<(String, String)>,
    pub cidfile: Option<PathBuf>,
    pub limits: ProcessLimits,
    /// Bytes.
    pub shm_size: Option<u64>,
    /// (host name, address)
    pub add_hosts: Vec<(String, HostAddress)>,
    pub resolver: Resolver,
    /// `--network`, in the order of the interfaces; empty is the default one.
    pub networks: Vec<EndpointOption>,
    /// `--link`: a container, and its name in this container.
    pub links: Vec<(String, String)>,
    /// `--ip`, `--link-local-ip` and `--mac-address` on the first of the networks; `--network-alias`
    /// on each.
    pub endpoint: EndpointSettings,
    pub publish: Vec<Publish>,
    /// `-P`
    pub publish_all: bool,
    /// The host address for a `-p` without one.
    pub publish_address: Option<IpAddr>,
    /// `--expose`, each `80/tcp`.
    pub expose: Vec<String>,
    pub namespaces: NamespaceModes<String>,
    pub userns: UserNamespaceOption,
    pub cgroup_parent: Option<String>,
    pub resources: Resources,
    pub devices: DeviceOptions,
    pub log: LogOptions,
}

/// `--health-cmd` and the other `--health-*` flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthOptions {
    /// A field that is zero or empty means the image's.
    pub check: Healthcheck,
    /// `--no-healthcheck`
    pub disabled: bool,
    pub on_failure: OnFailure,
}

/// `--userns`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UserNamespaceOption {
    #[default]
    Host,
    /// A range that no other container has.
    Auto,
    /// `UID:GID:SIZE`
    Given(IdMap),
}

/// `--network web`, `--network name=web,alias=a,ip=10.0.0.2`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointOption {
    pub network: NetworkMode,
    pub settings: EndpointSettings,
}

impl EndpointOption {
    /// An endpoint of which only the network was given.
    pub fn new(network: NetworkMode) -> EndpointOption {
        EndpointOption { network, settings: EndpointSettings::default() }
    }
}

/// `--mount`, `-v` or `--tmpfs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOption {
    pub kind: MountKind,
    /// Bind: an absolute host path. Volume: its name; an anonymous one has none.
    pub source: Option<String>,
    pub image: Option<ImageName>,
    /// Absolute.
    pub target: String,
    pub read_only: bool,
    /// Tmpfs: options as mount(8) writes them.
    pub tmpfs_options: String,
    /// Volume: do not fill an empty one from the image.
    pub no_copy: bool,
    /// Bind: in a user namespace the files keep the host's owners (`noidmap`).
    pub unmapped: bool,
    /// Bind: make a missing host directory (`-v`) rather than refuse it (`--mount`).
    pub make_source: bool,
    pub propagation: Propagation,
    pub recursion: Recursion,
    /// Volume and image: only this part of it.
    pub subpath: Option<String>,
    /// Volume: the labels of a volume that is created.
    pub labels: Vec<(String, String)>,
    /// Volume: its options.
    pub volume_options: Vec<(String, String)>,
    /// Image: the layers of a stage of a build instead, base first.
    pub layers: Vec<PathBuf>,
}

impl MountOption {
    /// A mount on `target` without further options.
    pub fn new(kind: MountKind, target: String) -> MountOption {
        MountOption {
            kind,
            source: None,
            image: None,
            target,
            read_only: false,
            tmpfs_options: String::new(),
            no_copy: false,
            unmapped: false,
            make_source: false,
            propagation: Propagation::Private,
            recursion: Recursion::Enabled,
            subpath: None,
            labels: Vec::new(),
            volume_options: Vec::new(),
            layers: Vec::new(),
        }
    }
}

/// A file that a container gets: a secret or a config of a compose file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOption {
    /// Absolute.
    pub target: String,
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// `--cap-add`, `--cap-drop`, `--security-opt`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// `CAP_NET_ADMIN` or `ALL`.
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub no_new_privileges: bool,
    pub seccomp: SeccompOption,
    /// The name of a profile, or `unconfined`.
    pub apparmor: Option<String>,
    /// `disable`, or `user:…`, `role:…`, `type:…`, `level:…`.
    pub selinux: Vec<String>,
    /// No path in /proc and /sys is masked or read-only.
    pub system_paths_unconfined: bool,
}

/// `--security-opt seccomp=`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SeccompOption {
    #[default]
    Default,
    Unconfined,
    /// A profile in Docker's JSON format.
    File(PathBuf),
}

/// The type of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountKind {
    Bind,
    Volume,
    Tmpfs,
    Image,
}

/// How `run`, `start -a` and `attach` connect the caller's streams and signals to the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachOptions {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Forward the signals that this process gets (`--sig-proxy`), if the container has no
    /// terminal.
    pub sig_proxy: bool,
    /// Key sequence that detaches, as bytes.
    pub detach_keys: Vec<u8>,
}

impl Default for AttachOptions {
    fn default() -> Self {
        // ctrl-p ctrl-q
        AttachOptions {
            stdin: true,
            stdout: true,
            stderr: true,
            sig_proxy: true,
            detach_keys: vec![0x10, 0x11],
        }
    }
}

/// `rm`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Kill a running container, and remove one whose record can't be read.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

/// `update`. What is `None` or empty stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateOptions {
    pub resources: Resources,
    pub restart: Option<RestartPolicy>,
    pub publish_add: Vec<Publish>,
    /// The port of the host may be left out.
    pub publish_remove: Vec<Publish>,
}

/// `exec`
#[derive(Clone, Debug, Default)]
pub struct ExecOptions {
    pub container: String,
    pub command: Vec<String>,
    pub detach: bool,
    pub interactive: bool,
    pub tty: bool,
    pub privileged: bool,
    pub env: Vec<String>,
    pub workdir: Option<String>,
    pub user: Option<String>,
    pub detach_keys: Vec<u8>,
}

/// `logs`
#[derive(Clone, Debug, Default)]
pub struct LogsOptions {
    pub follow: bool,
    pub timestamps: bool,
    /// Print what `--log-opt labels` and `env` name before each line.
    pub details: bool,
    /// Only the last lines, as many as this; all if `None`.
    pub tail: Option<u64>,
    pub since: Option<crate::time::Instant>,
    pub until: Option<crate::time::Instant>,
}

/// `ps`: one `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    Id(String),
    /// Found in the name, or in the name after Docker's slash.
    Name(Regex),
    Status(String),
    /// The exit status of one that has ended.
    Exited(i32),
    /// `starting`, `healthy`, `unhealthy`, or `none` for one without a health check
    Health(String),
    /// `key` or `key=value`
    Label(String),
    Ancestor(String),
    /// Created after this container.
    Since(String),
    /// Created before this container.
    Before(String),
    /// A volume's name, or the place of a mount.
    Volume(String),
    /// A network's name or id.
    Network(String),
    /// Ports in the container that are published.
    Publish(PortFilter),
    /// Ports in the container that its image or `--expose` names.
    Expose(PortFilter),
    /// Containers here have one isolation.
    Isolation,
}

/// `80`, `8000-8080/udp`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFilter {
    pub first: u16,
    pub last: u16,
    pub protocol: Protocol,
}

/// `inspect --type`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InspectKind {
    Container,
    Image,
    Volume,
    Network,
}

/// `commit`
#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    pub container: String,
    pub image: Option<Reference>,
    pub message: String,
    pub author: String,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// Freeze the container's processes during the commit.
    pub pause: bool,
    /// Write the root file system to this file and make no image.
    pub output: Option<PathBuf>,
}

/// One side of a `cp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Host(String),
    Container {
        name: String,
        path: String,
    },
    /// A tar on the standard input or output.
    Stream,
}

/// `cp`
#[derive(Clone, Debug)]
pub struct CopyOptions {
    pub from: Place,
    pub to: Place,
    /// Keep owners, setuid bits and devices.
    pub archive: bool,
    /// Follow a symbolic link instead of copying it.
    pub follow: bool,
}
