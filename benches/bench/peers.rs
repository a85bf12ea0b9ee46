//! The contenders of most topics: mydocker, crun, runc and podman, all with the same busybox root
//! file system. Each has its own state directory. `Bench` removes these directories at the end.
//!
//! The topics use `Bench`, which measures nothing itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::turns::output;

pub const US: &str = "mydocker";
pub const CRUN: &str = "crun";
pub const RUNC: &str = "runc";
pub const PODMAN: &str = "podman";

/// The applets of busybox in the root file system.
const APPLETS: [&str; 6] = ["true", "sleep", "cat", "sh", "wget", "nc"];

/// The path, in the root file system, of the file that a container prints when a topic measures
/// output.
pub const LINES: &str = "/lines";
pub const LINES_BYTES: usize = 8 << 20;

pub struct Bench {
    pub dir: PathBuf,
    pub rounds: usize,
    installed: Vec<&'static str>,
}

impl Bench {
    pub fn set_up() -> Bench {
        let rounds = std::env::var("MYDOCKER_BENCH_ROUNDS").ok();
        let rounds = rounds.and_then(|text| text.parse().ok()).unwrap_or(100);
        // Don't use /tmp: it may be a tmpfs, which would make the figures too good.
        let dir = PathBuf::from(format!("/var/tmp/mydocker-bench.{}", std::process::id()));
        fs::create_dir_all(&dir).expect("make the state directory");
        // Volatile state is in memory, like /run on most hosts.
        let run = dir.join("run");
        fs::create_dir_all(&run).expect("make the run directory");
        output(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=700", "tmpfs"]).arg(&run));
        let installed: Vec<_> =
            [CRUN, RUNC, PODMAN].into_iter().filter(|name| is_installed(name)).collect();
        for name in [CRUN, RUNC, PODMAN].iter().filter(|name| !installed.contains(name)) {
            eprintln!("bench: {name} is not installed; left out");
        }
        let bench = Bench { dir, rounds, installed };
        // The page cache has a copied file in larger pieces than a file that the linker wrote, and
        // larger pieces are mapped faster. The peers' files were copied too, by dpkg.
        fs::copy(env!("CARGO_BIN_EXE_mydocker"), bench.binary()).expect("copy the binary");
        make_root(&bench.root());
        let archive = bench.archive();
        output(Command::new("tar").arg("-C").arg(bench.root()).arg("-cf").arg(&archive).arg("."));
        output(bench.us().arg("import").arg(&archive).arg("bb"));
        if bench.has(PODMAN) {
            output(bench.podman().arg("import").arg("-q").arg(&archive).arg("bb"));
        }
        if bench.has(CRUN) {
            claim_controllers();
        }
        bench
    }

    pub fn has(&self, peer: &str) -> bool {
        self.installed.contains(&peer)
    }

    /// The root file system of every contender's containers.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    pub fn archive(&self) -> PathBuf {
        self.dir.join("bb.tar")
    }

    /// The installed copy of mydocker.
    pub fn binary(&self) -> PathBuf {
        self.dir.join("mydocker")
    }

    /// A command of mydocker with its directories; the caller adds the rest.
    pub fn us(&self) -> Command {
        let mut command = Command::new(self.binary());
        command.arg("--root").arg(self.dir.join("us"));
        command.arg("--run-root").arg(self.dir.join("run/us"));
        command
    }

    pub fn podman(&self) -> Command {
        let mut command = Command::new(PODMAN);
        command.arg("--root").arg(self.dir.join("podman"));
        command.arg("--runroot").arg(self.dir.join("run/podman"));
        command
    }

    /// `podman run` with resource limits that a shell with few privileges can set too.
    pub fn podman_run(&self) -> Command {
        let mut command = self.podman();
        command.args(["run", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]);
        command
    }

    /// A command of crun, runc or mydocker as an OCI runtime; the caller adds the rest.
    pub fn runtime(&self, name: &str) -> Command {
        let mut command = if name == US {
            let mut command = Command::new(self.binary());
            command.arg("oci");
            command
        } else {
            Command::new(name)
        };
        command.arg("--root").arg(self.dir.join("run/runtimes").join(name));
        command
    }

    /// Makes a bundle whose container runs `args`, from the template that `spec` of a runtime
    /// writes.
    pub fn bundle(&self, name: &str, args: &[&str]) -> PathBuf {
        let bundle = self.dir.join(format!("bundle-{name}"));
        fs::create_dir_all(&bundle).expect("make the bundle");
        let file = bundle.join("config.json");
        if !file.exists() {
            let runtime = [RUNC, CRUN].into_iter().find(|peer| self.has(peer)).unwrap_or(US);
            output(self.runtime(runtime).arg("spec").current_dir(&bundle));
        }
        let config = fs::read_to_string(&file).expect("read config.json");
        let config = without_ambient(&config);
        let quoted: Vec<_> = args.iter().map(|arg| format!("\"{arg}\"")).collect();
        let config = config
            .replace("\"terminal\": true", "\"terminal\": false")
            .replace("\"sh\"", &quoted.join(", "))
            .replace("\"path\": \"rootfs\"", &format!("\"path\": \"{}\"", self.root().display()));
        fs::write(&file, config).expect("write config.json");
        bundle
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Remove the containers that a failed measurement has left.
        let ids = output(self.us().args(["ps", "-aq"]));
        if !ids.is_empty() {
            output(self.us().args(["rm", "-f"]).args(ids.lines()));
        }
        // Remove the default network's bridge.
        output(self.us().args(["network", "prune", "-f"]));
        if self.has(PODMAN) {
            output(self.podman().args(["rm", "-af", "-t", "0"]));
            // Reset podman first: its store may have mounts, so removing the directory is not
            // enough.
            let _ = self.podman().args(["system", "reset", "-f"]).output();
        }
        output(Command::new("umount").arg("-l").arg(self.dir.join("run")));
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Removes the ambient capabilities from a template. Older versions of runc write some, although
/// the template has no inheritable capabilities. The kernel makes only inheritable capabilities
/// ambient, and mydocker would warn of the others.
fn without_ambient(config: &str) -> String {
    let Some((before, list)) = config.split_once(",\n\t\t\t\"ambient\": [") else {
        return config.to_owned();
    };
    let (_, after) = list.split_once(']').expect("the end of the list");
    format!("{before}{after}")
}

pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).exists())
}

fn make_root(root: &Path) {
    for directory in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(directory)).expect("make the root file system");
    }
    let busybox = root.join("bin/busybox");
    fs::copy("/bin/busybox", &busybox).expect("copy /bin/busybox (package busybox-static)");
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).expect("link an applet");
    }
    let line = format!("{:063}\n", 7);
    fs::write(root.join(&LINES[1..]), line.repeat(LINES_BYTES / line.len())).expect("write lines");
}

/// Mounts the controller hugetlb of cgroup v1 on a hybrid host: crun needs all controllers in v1,
/// but hugetlb may still be in v2.
fn claim_controllers() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let is_hybrid = mounts.contains("- cgroup cgroup") && mounts.contains("- cgroup2 ");
    let directory = "/sys/fs/cgroup/hugetlb";
    if is_hybrid && !mounts.contains(directory) && fs::create_dir_all(directory).is_ok() {
        output(Command::new("mount").args(["-t", "cgroup", "-o", "hugetlb", "cgroup", directory]));
    }
}
