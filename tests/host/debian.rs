//! Gets kernels, busybox and a root with systemd from packages of Debian's archive, for a release
//! and an architecture.
//!
//! apt-get uses directories below target/hosts, so the machine's own sources, lists and packages do
//! not change. The packages are unpacked there and are never installed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::run;

/// Two hosts are tested at the same time, and both may need the same files.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A release of Debian and an architecture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suite {
    pub release: &'static str,
    pub architecture: &'static str,
}

/// Linux 6.1.
pub const BOOKWORM: Suite = Suite { release: "bookworm", architecture: "amd64" };
/// Linux 6.1 for aarch64.
pub const BOOKWORM_ARM: Suite = Suite { release: "bookworm", architecture: "arm64" };
/// Linux 5.10: the oldest kernel in the archive, and the oldest that mydocker supports.
pub const BULLSEYE: Suite = Suite { release: "bullseye", architecture: "amd64" };

impl Suite {
    /// Rust's name of the target for the architecture.
    pub fn target(self) -> &'static str {
        match self.architecture {
            "arm64" => "aarch64-unknown-linux-musl",
            _ => "x86_64-unknown-linux-musl",
        }
    }

    fn directory(self, work: &Path) -> PathBuf {
        work.join("debian").join(format!("{}-{}", self.release, self.architecture))
    }

    /// The kernel's files: `boot/vmlinuz-…` and `lib/modules/…`.
    pub fn kernel(self, work: &Path) -> Kernel {
        let _one = ONE_AT_A_TIME.lock().unwrap();
        let files = self.directory(work).join("kernel");
        if !files.exists() {
            let pattern = format!("^linux-image-[0-9][0-9.-]*-{}$", self.architecture);
            let found = run(self.apt("apt-cache", work).args(["search", "--names-only", &pattern]));
            let mut names: Vec<&str> =
                found.lines().filter_map(|line| line.split(' ').next()).collect();
            names.sort();
            let newest = names.last().unwrap_or_else(|| panic!("{} has no kernel", self.release));
            self.unpack(work, newest, &files);
        }
        let only = |directory: &str, prefix: &str| {
            let entries = fs::read_dir(files.join(directory)).unwrap();
            let mut paths = entries.map(|entry| entry.unwrap().path());
            paths
                .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
                .unwrap()
        };
        Kernel { image: only("boot", "vmlinuz-"), modules: only("lib/modules", "").join("kernel") }
    }

    /// A static busybox.
    pub fn busybox(self, work: &Path) -> PathBuf {
        let _one = ONE_AT_A_TIME.lock().unwrap();
        let files = self.directory(work).join("busybox");
        if !files.exists() {
            self.unpack(work, "busybox-static", &files);
        }
        files.join("bin/busybox")
    }

    /// A root file system with systemd as init, D-Bus, engines, and the tools of AppArmor and RDMA.
    /// The packages are unpacked over each other, and none of their scripts runs.
    pub fn systemd(self, work: &Path) -> PathBuf {
        let _one = ONE_AT_A_TIME.lock().unwrap();
        // A new root needs no conversion to the merged /usr. So install usr-is-merged, not
        // usrmerge, which does the conversion and depends on Perl.
        const PACKAGES: [&str; 8] = [
            "systemd",
            "dbus",
            "podman",
            "docker.io",
            "curl",
            "apparmor",
            "iproute2",
            "usr-is-merged",
        ];
        // The name differs from that of a root without curl, which an older run may have left.
        let files = self.directory(work).join("systemd-engines-curl");
        if files.exists() {
            return files;
        }
        println!("fetching {} of {}/{}", PACKAGES.join(", "), self.release, self.architecture);
        let half = files.with_extension("half");
        let _ = fs::remove_dir_all(&half);
        for name in ["bin", "lib", "lib64", "sbin"] {
            fs::create_dir_all(half.join("usr").join(name)).unwrap();
            symlink(format!("usr/{name}"), half.join(name)).unwrap();
        }
        let options = ["install", "--download-only", "--yes", "--no-install-recommends"];
        run(self.apt("apt-get", work).args(options).args(PACKAGES));
        let archives = self.directory(work).join("cache/archives");
        for file in fs::read_dir(archives).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "deb") {
                let tar = file.with_extension("tar");
                let made = fs::File::create(&tar).unwrap();
                let mut read = Command::new("dpkg-deb");
                let status = read.arg("--fsys-tarfile").arg(&file).stdout(made).status().unwrap();
                assert!(status.success(), "{read:?}");
                // Keep the links of the merged /usr, which tar would otherwise replace by
                // directories.
                let options = ["--keep-directory-symlink", "-xf"];
                run(Command::new("tar").args(options).arg(&tar).arg("-C").arg(&half));
                fs::remove_file(tar).unwrap();
                fs::remove_file(file).unwrap();
            }
        }
        fs::rename(half, &files).unwrap();
        files
    }

    /// Downloads a package, unpacks it to a temporary directory and renames this directory to `to`.
    /// So an interrupted run leaves no half-made `to`.
    fn unpack(self, work: &Path, package: &str, to: &Path) {
        println!("fetching {package} of {}/{}", self.release, self.architecture);
        let directory = self.directory(work);
        let download = directory.join("download");
        fs::create_dir_all(&download).unwrap();
        run(self.apt("apt-get", work).args(["download", package]).current_dir(&download));
        let mut packages = fs::read_dir(&download).unwrap().map(|entry| entry.unwrap().path());
        let file = packages
            .find(|path| {
                path.file_name().unwrap().to_str().unwrap().starts_with(&format!("{package}_"))
            })
            .unwrap();
        let half = to.with_extension("half");
        let _ = fs::remove_dir_all(&half);
        run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&half));
        fs::remove_file(file).unwrap();
        fs::rename(half, to).unwrap();
    }

    /// An apt tool that uses only this suite. The first use downloads its lists.
    fn apt(self, tool: &str, work: &Path) -> Command {
        let directory = self.directory(work);
        let ready = directory.join("lists.ready");
        let command = |tool: &str| {
            let mut command = Command::new(tool);
            let path = |name: &str| directory.join(name).display().to_string();
            for option in [
                format!("APT::Architecture={}", self.architecture),
                format!("APT::Architectures={}", self.architecture),
                format!("Dir::State={}", path("state")),
                format!("Dir::State::status={}", path("status")),
                format!("Dir::Cache={}", path("cache")),
                format!("Dir::Etc::sourcelist={}", path("sources.list")),
                "Dir::Etc::sourceparts=/dev/null".to_owned(),
                "APT::Sandbox::User=root".to_owned(),
                "Acquire::Languages=none".to_owned(),
            ] {
                command.arg("-o").arg(option);
            }
            command
        };
        if !ready.exists() {
            for name in ["state/lists/partial", "cache/archives/partial"] {
                fs::create_dir_all(directory.join(name)).unwrap();
            }
            let source = format!(
                "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
                 {} {} main\n",
                mirror(),
                self.release
            );
            fs::write(directory.join("sources.list"), source).unwrap();
            fs::write(directory.join("status"), "").unwrap();
            run(command("apt-get").arg("update"));
            fs::write(&ready, "").unwrap();
        }
        command(tool)
    }
}

pub struct Kernel {
    pub image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// The files of the modules `wanted` and of those that they need, in loading order. Modules
    /// that this kernel lacks are left out.
    pub fn modules(&self, wanted: &[&str]) -> Vec<PathBuf> {
        let mut all = Vec::new();
        list_modules(&self.modules, &mut all);
        let mut ordered = Vec::new();
        for name in wanted {
            add_module(name, &all, &mut ordered);
        }
        ordered
    }
}

fn list_modules(directory: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => list_modules(&path, all),
            false if path.extension().is_some_and(|extension| extension == "ko") => all.push(path),
            false => {}
        }
    }
}

fn add_module(name: &str, all: &[PathBuf], ordered: &mut Vec<PathBuf>) {
    // The names of files and modules differ in dashes and underscores.
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().replace('-', "_");
    let Some(path) = all.iter().find(|path| stem(path) == name.replace('-', "_")) else { return };
    if ordered.contains(path) {
        return;
    }
    for needed in depends(&fs::read(path).unwrap()) {
        add_module(&needed, all, ordered);
    }
    ordered.push(path.clone());
}

/// The dependencies of a module, as `modinfo` prints them: a string in the section .modinfo.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = &module[at + KEY.len()..];
    let end = value.iter().position(|byte| *byte == 0).unwrap();
    let value = std::str::from_utf8(&value[..end]).unwrap();
    value.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The site from which this machine gets its own packages.
fn mirror() -> String {
    let sites = run(Command::new("apt-get").args(["indextargets", "--format", "$(SITE)"]));
    let sites = sites.lines().filter(|site| !site.ends_with("-security"));
    sites.map(str::to_owned).next().expect("apt knows no archive")
}
