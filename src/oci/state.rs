//! The containers of the OCI runtime on disk: one directory each below `--root`, normally on a
//! tmpfs. The documentation of `Container` lists the files.
//!
//! Creating the directory exclusively makes ids unique. Commands that change this directory or the
//! container's status hold the directory's flock(2). A process is identified by PID, start time and
//! boot id, so after a reboot or the reuse of a PID the container is `stopped`. A directory that a
//! killed `create` left half made is `stopped` too, and `delete` removes it with its cgroups.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use miniserde::{Deserialize, Serialize};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{UnmountFlags, unmount};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use super::{config, linux, systemd};
use crate::error::{Context, Error, Result, fail};
use crate::json::{self, Node};
use crate::order;
use crate::runtime::cgroup::{self, freezer};
use crate::runtime::{self, OCI_VERSION};
use crate::store::{self, Durability, Lock, LockMode};
use crate::sys::process::{self, Found};

/// The socket on which the first process waits for `start`.
pub const START: &str = "start";
const CONFIG: &str = "config.json";
/// The longest id, in characters.
const MAX_ID: usize = 1024;

/// The content of state.json.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    pub id: String,
    /// The PID of the first process; 0 until `create` or `run` has started the process.
    pub pid: i32,
    pub start_time: u64,
    pub boot_id: String,
    pub bundle: String,
    pub rootfs: String,
    pub created: String,
    pub annotations: BTreeMap<String, String>,
    /// The path of every cgroup that the container may have, in each hierarchy.
    pub cgroups: Vec<String>,
    /// The systemd unit, if systemd has made the cgroups.
    pub unit: Option<String>,
    /// The number of mounts on the container's root before `create`. `None` if the container has
    /// its own mount namespace.
    pub mounts_before: Option<usize>,
}

/// The states that the specification defines (runtime.md, "State"), and runc's `paused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// state.json has no PID yet, and another command, such as `create`, holds the lock. Only a
    /// reader without the lock sees this state.
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    /// The word in the state document.
    pub fn word(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

/// A container's directory, locked unless `look` or `all` returned it.
///
/// | file | content |
/// |---|---|
/// | `config.json` | a copy of the configuration, as it was at `create` |
/// | `state.json` | `State`: PID, start time, boot, bundle, annotations, cgroups and more |
/// | `start` | the socket on which the first process waits; removed at `start` |
/// | `resources.json` | the limits, as the last `update` left them |
/// | `notify`, `root` | directories that `notify::offer` makes |
pub struct Container {
    pub dir: PathBuf,
    pub state: State,
    /// Whether state.json exists but cannot be read. Then the first process is unknown.
    pub is_damaged: bool,
    _lock: Option<Lock>,
}

/// Fails if `id` is not a valid id: 1 to 1,024 letters, digits, `_`, `+`, `-` or `.`, but not `.`
/// or `..`.
pub fn check_id(id: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    if id.is_empty() || id.len() > MAX_ID || !id.chars().all(is_plain) || id == "." || id == ".." {
        fail!("invalid container id '{id}': use letters, digits and _ + - .");
    }
    Ok(())
}

impl Container {
    /// Makes the directory of a new container and locks it. Fails if the id is not valid or is in
    /// use.
    pub fn make(root: &Path, id: &str) -> Result<Container> {
        check_id(id)?;
        store::make_dir(root)?;
        let dir = root.join(id);
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fail!("container with given ID already exists: {id}")
            }
            made => made.context(|| format!("make directory {}", dir.display()))?,
        }
        let lock = Lock::wait_existing(&dir, LockMode::Exclusive)?;
        if lock.is_none() {
            fail!("container {id} was deleted while it was created");
        }
        // Before this process got the lock, a `delete` may have removed the directory, and another
        // `create` may have made a new one with its own container. Leave such a directory as it is.
        if dir.join(CONFIG).exists() {
            fail!("container with given ID already exists: {id}");
        }
        let state = State { id: id.to_owned(), ..Default::default() };
        Ok(Container { dir, state, is_damaged: false, _lock: lock })
    }

    /// Opens and locks the container `id`, for a change. Waits for the lock. Fails if the id is not
    /// valid, or if the container does not exist.
    pub fn open(root: &Path, id: &str) -> Result<Container> {
        check_id(id)?;
        let dir = root.join(id);
        let Some(lock) = Lock::wait_existing(&dir, LockMode::Exclusive)? else {
            return Err(absent(id));
        };
        let (state, is_damaged) = read(&dir, id);
        Ok(Container { dir, state, is_damaged, _lock: Some(lock) })
    }

    /// Reads the container `id` without a lock. Fails if the id is not valid, or if the container
    /// does not exist.
    pub fn look(root: &Path, id: &str) -> Result<Container> {
        check_id(id)?;
        let dir = root.join(id);
        if !dir.is_dir() {
            return Err(absent(id));
        }
        let (state, is_damaged) = read(&dir, id);
        Ok(Container { dir, state, is_damaged, _lock: None })
    }

    /// All containers, without locks. Only directories that have a valid id count.
    pub fn all(root: &Path) -> Result<Vec<Container>> {
        let mut ids = store::list(root)?;
        order::sort(&mut ids);
        Ok(ids.iter().filter_map(|id| Container::look(root, id).ok()).collect())
    }

    /// Writes state.json.
    pub fn save(&self) -> Result<()> {
        store::replace_json(&self.dir.join("state.json"), &self.state, Durability::Lazy)
    }

    /// The path of the copy of config.json.
    pub fn config(&self) -> PathBuf {
        self.dir.join(CONFIG)
    }

    /// The cgroups that exist. `state.cgroups` also lists paths that may never have existed.
    pub fn cgroups(&self) -> Vec<String> {
        let mut cgroups = self.state.cgroups.clone();
        cgroups.retain(|path| Path::new(path).is_dir());
        cgroups
    }

    /// The container's present status.
    pub fn status(&self) -> Result<Status> {
        if self.state.pid <= 0 && self._lock.is_none() && Lock::is_held(&self.dir)? {
            return Ok(Status::Creating);
        }
        if self.process()?.is_none() {
            return Ok(Status::Stopped);
        }
        // A created container may be paused too: only `resume` lets its first process answer
        // `start`.
        Ok(if freezer::is_frozen_in(&self.state.cgroups) {
            Status::Paused
        } else if self.dir.join(START).exists() {
            Status::Created
        } else {
            Status::Running
        })
    }

    /// A pidfd of the first process; `None` if the process has ended or was never started.
    pub fn process(&self) -> Result<Option<OwnedFd>> {
        if self.state.pid <= 0 || self.state.boot_id != process::boot_id() {
            return Ok(None);
        }
        let found = process::find(self.state.pid, self.state.start_time);
        match found.context(|| format!("look for process {}", self.state.pid))? {
            Found::Living(pidfd) => Ok(Some(pidfd)),
            Found::Ended | Found::Missing | Found::Replaced => Ok(None),
        }
    }

    /// Listens on the socket `start`, on which the first process waits.
    pub fn listen(&self) -> Result<OwnedFd> {
        let (_directory, address) = address(&self.dir, START)?;
        let socket = self.socket()?;
        bind(&socket, &address)
            .and_then(|()| listen(&socket, 1))
            .context(|| "listen for the start")?;
        Ok(socket)
    }

    /// Connects to the first process, which waits on the socket `start`.
    pub fn connect(&self) -> Result<OwnedFd> {
        let (_directory, address) = address(&self.dir, START)?;
        let socket = self.socket()?;
        connect(&socket, &address).context(|| "connect to the container's first process")?;
        Ok(socket)
    }

    fn socket(&self) -> Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC;
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .context(|| "make a socket")
    }

    /// Removes the scope if there is one, the cgroups with all their processes, the mounts that
    /// `create` made in the host's mount namespace, and last the directory.
    pub fn remove(self) -> Result<()> {
        if let Some(unit) = &self.state.unit {
            // Kill first: systemd would wait for processes that ignore SIGTERM.
            cgroup::kill(&self.state.cgroups);
            // Ignore an error of systemd: systemd ends a scope that has no processes.
            let _ = systemd::stop(unit);
        }
        cgroup::remove(&self.state.cgroups)?;
        if let Some(before) = self.state.mounts_before {
            let root = Path::new(&self.state.rootfs);
            while runtime::count_mounts_on(root)? > before {
                // This also unmounts all mounts below the root.
                unmount(root, UnmountFlags::DETACH)
                    .context(|| format!("unmount {}", root.display()))?;
            }
        }
        store::remove_tree(&self.dir)
    }

    /// The state document of the specification as JSON, without its status, PID and closing brace,
    /// which `runtime::hooks::input` adds.
    pub fn document(&self) -> String {
        let quote = |text: &str| miniserde::json::to_string(text);
        let State { id, bundle, annotations, .. } = &self.state;
        format!(
            "{{\"ociVersion\":\"{OCI_VERSION}\",\"id\":{},\"bundle\":{},\"annotations\":{}",
            quote(id),
            quote(bundle),
            miniserde::json::to_string(annotations)
        )
    }
}

/// The address of the socket `name` in a directory, and the directory's descriptor. The address
/// refers to the directory by this descriptor, because a socket's path has at most 107 bytes
/// (unix(7)). Keep the descriptor open while the address is in use.
pub fn address(directory: &Path, name: &str) -> Result<(OwnedFd, SocketAddrUnix)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(CWD, directory, flags, Mode::empty())
        .context(|| format!("open {}", directory.display()))?;
    let path = format!("/proc/self/fd/{}/{name}", opened.as_raw_fd());
    let address = SocketAddrUnix::new(path).context(|| "name a socket")?;
    Ok((opened, address))
}

fn absent(id: &str) -> Error {
    Error::absent(format!("container does not exist: {id}"))
}

/// The state, and whether state.json is damaged. Without state.json, the state has only the id. A
/// killed `create` or a full disk leaves such a container, before any cgroup or process is made. If
/// state.json is damaged, the cgroups are those that the copy of config.json names.
fn read(dir: &Path, id: &str) -> (State, bool) {
    let (state, is_damaged) = match store::read_json::<State>(&dir.join("state.json")) {
        Ok(state) => (state.unwrap_or_default(), false),
        // Ignore an error: without a config.json, `delete` can remove only the directory.
        Err(_) => (state_of_config(dir, id).unwrap_or_default(), true),
    };
    (State { id: id.to_owned(), ..state }, is_damaged)
}

fn state_of_config(dir: &Path, id: &str) -> Result<State> {
    let value = json::parse("config.json", &config::read(&dir.join(CONFIG))?)?;
    let root = Node::root("config.json", &value);
    let linux = root.need("linux")?;
    let is_unit = linux.text("cgroupsPath")?.split(':').count() == 3;
    let (cgroup, unit) = linux::cgroup(&linux, id, is_unit)?;
    Ok(State {
        cgroups: cgroup::possible_paths("", cgroup.path.trim_matches('/'))?,
        unit: unit.map(|unit| unit.name),
        ..Default::default()
    })
}
