//! Support for the integration tests. They need root and a real kernel, run the real binary, and
//! read like the README:
//!
//! ```
//! let host = Host::with_busybox();
//! host.mydocker(["run", "--rm", "bb", "echo", "hi"]).stdout("hi\n");
//! ```
//!
//! A test that can't run here calls `skip!`, which is an error in CI.

#![allow(dead_code)] // A test file may use only a part of this module.

mod busybox;
mod call;
pub mod chance;
pub mod cri;
pub mod daemon;
mod debian;
pub mod dockerd;
pub mod machine;
pub mod tar;
mod terminal;

use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

#[allow(unused_imports)]
pub use call::{Background, Done, run};
use machine::{Machine, Side};
#[allow(unused_imports)]
pub use terminal::Terminal;

/// The binary under test.
pub const MYDOCKER: &str = env!("CARGO_BIN_EXE_mydocker");
/// A test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Ends the test and prints the reason. In CI, where every test must run, this is an error.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {{
        $crate::support::skipped(&format!($($reason)*));
        return;
    }};
}

/// Makes two tests of `fn name(host: Host)`, one for each back end of the firewall, each on its own
/// machine.
#[macro_export]
macro_rules! by_each_firewall {
    ($name:ident) => {
        mod $name {
            #[test]
            fn by_iptables() {
                super::$name($crate::support::Host::with_firewall("iptables"));
            }

            #[test]
            fn by_nftables() {
                super::$name($crate::support::Host::with_firewall("nftables"));
            }
        }
    };
}

pub fn skipped(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "would be skipped, which CI doesn't allow: {reason}");
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    // eprintln would not work: the test harness hides its output if the test passes.
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("\n*** SKIPPED {test}: {reason}\n").as_bytes(),
    );
}

/// A mydocker with its own state root and run root, so tests run in parallel. Dropping it removes
/// its containers and networks. Then the test fails if a mount or a process of this host is left.
///
/// A call must succeed unless the test expects another status, as in `host.mydocker(["rm",
/// "nobody"]).exits(1).stderr_has("no such container")`. `eventually` and the wait for a call fail
/// after `PATIENCE`. With TEST_USERNS=auto in the environment, `run` and `create` give each
/// container a user namespace, unless the test passes `--userns`. The image `bb` is Debian's static
/// busybox. `Host::debian` imports a Debian image with further packages. Its tar stays below
/// `target/rootfs` for later tests.
pub struct Host {
    dir: PathBuf,
    /// The machine on which mydocker runs. `None` is the real machine.
    machine: Option<Arc<Machine>>,
    /// The value of MYDOCKER_FIREWALL for the commands of this host.
    pub firewall: Option<&'static str>,
}

impl Host {
    /// A host without images, except the built-in `hello`.
    pub fn new() -> Host {
        // Users in containers must be able to read the test's files, whatever umask the caller has.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        // The path of a socket has at most 107 bytes, so don't use the target directory.
        let dir = std::env::temp_dir().join(unique("mydocker-"));
        std::fs::create_dir(&dir).unwrap();
        Host { dir, machine: None, firewall: None }
    }

    /// A host with the image `bb`.
    pub fn with_busybox() -> Host {
        let host = Host::new();
        host.mydocker([OsStr::new("import"), busybox::archive().as_os_str(), OsStr::new("bb")]);
        host
    }

    /// A host with the image `bb` on its own machine, for tests of networks.
    pub fn on_machine() -> Host {
        let mut host = Host::with_busybox();
        host.machine = Some(Arc::new(Machine::new()));
        host
    }

    /// As `on_machine`, with this firewall back end.
    pub fn with_firewall(firewall: &'static str) -> Host {
        let mut host = Host::on_machine();
        host.firewall = Some(firewall);
        host
    }

    /// Another host on the same machine.
    pub fn neighbour(&self) -> Host {
        let mut host = Host::with_busybox();
        host.machine.clone_from(&self.machine);
        host.firewall = self.firewall;
        host
    }

    pub fn machine(&self) -> &Machine {
        self.machine.as_ref().unwrap()
    }

    /// Makes the image `name`: a Debian root file system with `packages`.
    pub fn debian(&self, name: &str, packages: &[&str]) {
        let archive = debian_image(packages);
        self.mydocker([OsStr::new("import"), archive.as_os_str(), OsStr::new(name)]);
    }

    /// Runs `run --rm FLAGS bb sh -c SCRIPT`.
    pub fn shell(&self, flags: &[&str], script: &str) -> Done {
        self.mydocker([&["run", "--rm"], flags, &["bb", "sh", "-c", script]].concat())
    }

    /// A directory for the test's files. It is removed with the host.
    pub fn scratch(&self) -> PathBuf {
        let scratch = self.dir.join("scratch");
        std::fs::create_dir_all(&scratch).unwrap();
        scratch
    }

    /// Podman with its storage in the test's directory.
    pub fn podman(&self) -> Command {
        let mut podman = self.on_podmans_storage(Command::new("podman"));
        podman.arg("--tmpdir").arg(self.podmans().join("tmp"));
        podman
    }

    /// buildah with the storage of `podman`.
    pub fn buildah(&self) -> Command {
        self.on_podmans_storage(Command::new("buildah"))
    }

    fn on_podmans_storage(&self, mut command: Command) -> Command {
        command.arg("--root").arg(self.podmans().join("root"));
        command.arg("--runroot").arg(self.podmans().join("run"));
        command.args(["--storage-driver", "overlay"]);
        command
    }

    fn podmans(&self) -> PathBuf {
        self.dir.join("scratch/podman")
    }

    /// Makes a file in the scratch directory.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.scratch().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Makes a directory with these files in the scratch directory.
    pub fn directory(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let directory = self.scratch().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        for (file, content) in files {
            self.file(&format!("{name}/{file}"), content);
        }
        directory
    }

    pub fn state_root(&self) -> PathBuf {
        self.dir.join("state")
    }

    pub fn run_root(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// The command `mydocker ARGS` for this host.
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = match &self.machine {
            None => Command::new(MYDOCKER),
            Some(machine) => machine.command(Side::Here, &[MYDOCKER]),
        };
        command.args(self.global_flags());
        for (at, argument) in args.into_iter().enumerate() {
            command.arg(&argument);
            // This flag is the first, so a test's own --userns overrides it.
            if at == 0
                && matches!(argument.as_ref().to_str(), Some("run" | "create"))
                && let Some(userns) = std::env::var_os("TEST_USERNS")
            {
                command.arg("--userns").arg(userns);
            }
        }
        command.env_remove("MYDOCKER_ROOT").env_remove("MYDOCKER_RUN_ROOT");
        match self.firewall {
            Some(firewall) => command.env("MYDOCKER_FIREWALL", firewall),
            None => command.env_remove("MYDOCKER_FIREWALL"),
        };
        command
    }

    fn global_flags(&self) -> [OsString; 4] {
        ["--root".into(), self.state_root().into(), "--run-root".into(), self.run_root().into()]
    }

    /// A line of shell that executes `mydocker "$@"` with the roots of this host, on its machine.
    pub fn shell_line(&self) -> String {
        let command = self.command([""; 0]);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> =
            words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
        format!("exec {} \"$@\"", words.join(" "))
    }

    /// A PATH in which the program `mydocker` is a script with `shell_line`.
    pub fn path_with_mydocker(&self) -> String {
        let bin = self.scratch().join("bin");
        script(&bin.join("mydocker"), &self.shell_line());
        path_with(&bin)
    }

    /// Runs `mydocker ARGS` with empty stdin, to its end.
    pub fn mydocker<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Done {
        call::run(self.command(args), None)
    }

    /// Runs `mydocker ARGS`, which may fail. Returns whether it succeeded.
    pub fn succeeds<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> bool {
        self.command(args).output().unwrap().status.success()
    }

    /// Runs `mydocker ARGS` with `input` on stdin, to its end.
    pub fn feed<A: AsRef<OsStr>>(
        &self,
        input: impl Into<Vec<u8>>,
        args: impl IntoIterator<Item = A>,
    ) -> Done {
        call::run(self.command(args), Some(input.into()))
    }

    /// Starts `mydocker ARGS` with its standard streams piped.
    pub fn background<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Background {
        Background::spawn(self.command(args))
    }

    /// Starts `mydocker ARGS` on a new terminal.
    pub fn terminal<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Terminal {
        Terminal::spawn(&self.command(args))
    }

    /// The output of `inspect --format` for a container.
    pub fn inspect(&self, name: &str, format: &str) -> String {
        self.mydocker(["inspect", "--format", format, name]).text()
    }

    /// The PID of a container's first process, on the host.
    pub fn pid(&self, name: &str) -> i32 {
        self.inspect(name, "{{.State.Pid}}").parse().unwrap()
    }

    /// The PID of the monitor of a running container.
    pub fn monitor(&self, name: &str) -> i32 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid(name))).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        parent.unwrap().trim().parse().unwrap()
    }

    /// Kills the process `pid`, and waits until the process no longer exists.
    pub fn kill(&self, pid: i32) {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        eventually("it is gone", || rustix::process::test_kill_process(pid).is_err());
    }

    /// Whether the container runs.
    pub fn is_running(&self, name: &str) -> bool {
        self.inspect(name, "{{.State.Running}}") == "true"
    }

    /// Fails if there is a container, or if a name that starts with a dot is in `containers` or
    /// `layers`. A build gives such names to its directories. Also fails if `system check` finds
    /// something.
    pub fn nothing_of_builds_is_left(&self) {
        self.mydocker(["ps", "-aq"]).stdout("");
        for directory in ["containers", "layers"] {
            let left = std::fs::read_dir(self.state_root().join(directory)).unwrap().flatten();
            let names = left.map(|entry| entry.file_name().into_string().unwrap());
            let left: Vec<String> = names.filter(|name| name.starts_with('.')).collect();
            assert!(left.is_empty(), "{left:?}");
        }
        self.mydocker(["system", "check"]);
    }

    fn remove_everything(&self) {
        let list = |args: &[&str]| -> Vec<String> {
            let listed = self.command(args).output().unwrap();
            String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
        };
        for container in list(&["ps", "-aq", "--no-trunc"]) {
            let _ = self.command(["rm", "-f", "-v", &container]).output();
        }
        // Also remove the default network's bridge.
        let _ = self.command(["network", "prune", "--force"]).output();
    }

    /// The processes of this host's mydocker, as pairs of PID and command line. A command has the
    /// host's directory in its command line. A monitor has open files in this directory.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let dir = self.dir.to_str().unwrap();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let processes = entries.filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let command = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let holds = || {
                let fds =
                    std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
                let mut files = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok());
                files.any(|file| file.to_string_lossy().contains(dir))
            };
            let ours = command.contains(dir) || command.starts_with("mydocker: monitor") && holds();
            ours.then_some((pid, command))
        });
        processes.collect()
    }

    /// The mounts in the host's directory, and the processes of this host's mydocker.
    fn leftovers(&self) -> Vec<String> {
        let dir = self.dir.to_str().unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts.lines().filter(|line| line.contains(dir)).map(str::to_owned);
        let processes = self.processes();
        mounts.chain(processes.iter().map(|process| format!("{process:?}"))).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.remove_everything();
        if let Some(machine) = &self.machine {
            machine.stop();
        }
        // Podman mounts this directory on itself, and a late clean-up of podman may leave the
        // mount.
        let podmans = self.podmans().join("root/overlay");
        // The last monitor may be about to end, so wait.
        let clean = is_soon(|| {
            let _ = rustix::mount::unmount(&podmans, rustix::mount::UnmountFlags::DETACH);
            self.leftovers().is_empty()
        });
        let leftovers = self.leftovers();
        for mount in &leftovers {
            if let Some(path) = mount.split(' ').nth(4) {
                let _ = rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH);
            }
        }
        let removed = std::fs::remove_dir_all(&self.dir);
        if !std::thread::panicking() {
            assert!(clean, "left behind: {leftovers:#?}");
            removed.unwrap();
        }
    }
}

/// Writes an executable file with these lines of shell.
pub fn script(path: &Path, lines: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// PATH with this directory first.
pub fn path_with(directory: &Path) -> String {
    format!("{}:{}", directory.display(), std::env::var("PATH").unwrap())
}

/// Runs any command line with empty stdin, to its end.
pub fn run_command(command: Command) -> Done {
    call::run(command, None)
}

/// The tar of the root file system of `bb`, from which the image is imported.
pub fn busybox_archive() -> PathBuf {
    busybox::archive()
}

/// The tar of a Debian root file system with `packages` (`debian.rs`).
pub fn debian_image(packages: &[&str]) -> PathBuf {
    debian::archive(packages)
}

/// A name that no other test uses now: `prefix` and six more characters. The name is short, because
/// the name of a network interface has at most 15 characters.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // A PID has at most 22 bits, and the count 8: six digits of base 36 are enough for both.
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(count < 256, "more than 256 unique names in one test file");
    let mut number = std::process::id() << 8 | count;
    let mut name = prefix.to_owned();
    for _ in 0..6 {
        name.push(char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]));
        number /= 36;
    }
    name
}

/// Waits until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The cgroups with this path, in all hierarchies that have it.
pub fn cgroups(path: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).unwrap().flatten().map(|entry| entry.path());
    let all = hierarchies.chain([root.to_owned()]).map(|hierarchy| hierarchy.join(path));
    all.filter(|cgroup| cgroup.exists()).collect()
}

/// Removes a cgroup in every hierarchy, once its processes have ended.
pub fn remove_cgroup(path: &str) {
    for cgroup in cgroups(path) {
        eventually("it is empty", || !cgroup.exists() || std::fs::remove_dir(&cgroup).is_ok());
    }
}

/// Waits up to about 30 seconds for `condition`. Returns whether `condition` holds.
fn is_soon(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..3000 {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// The directory in which images and other files are kept between runs of the tests.
fn cache() -> PathBuf {
    // Cargo's directory for integration tests is target/<triple>/tmp or target/tmp.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .ancestors()
        .find(|dir| dir.ends_with("target"))
        .unwrap_or(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let cache = target.join("rootfs");
    std::fs::create_dir_all(&cache).unwrap();
    cache
}

/// The file `name` of the cache. If it is missing, `make` makes it once, even if several tests need
/// it at the same time.
pub fn cached(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let path = cache().join(name);
    let lock = std::fs::File::create(cache().join(format!(".{name}.lock"))).unwrap();
    lock.lock().unwrap();
    if !path.exists() {
        let partial = cache().join(format!(".{name}.partial"));
        make(&partial);
        std::fs::rename(&partial, &path).unwrap();
    }
    path
}
