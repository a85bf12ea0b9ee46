//! The lower bound of a container's time: the kernel's work without cgroups, records, checks or a
//! monitor. One process clones a child into five new namespaces. The child mounts an overlay and
//! eight more file systems, calls pivot_root and execve, and is reaped.

use std::ffi::CString;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use mydocker::bench::{Flags, Fork, Vectors, clone3, execve, exit_now};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::{WaitId, WaitIdOptions, chdir, pivot_root, waitid};

use super::turns::milliseconds;

pub struct Floor {
    options: CString,
    merged: PathBuf,
    vectors: Vectors,
}

/// The eight file systems, in the order of their mounts: type, directory, options.
const MOUNTS: [(&str, &str, &str); 8] = [
    ("proc", "proc", ""),
    ("sysfs", "sys", ""),
    ("tmpfs", "dev", "mode=755,size=65536k"),
    ("devpts", "dev/pts", "mode=0620,ptmxmode=0666,gid=5"),
    ("tmpfs", "dev/shm", "mode=1777,size=65536k"),
    ("mqueue", "dev/mqueue", ""),
    ("tmpfs", "sys/fs/cgroup", "mode=755"),
    ("tmpfs", "tmp", "mode=1777"),
];

impl Floor {
    pub fn new(dir: PathBuf, lower: PathBuf) -> Floor {
        let (upper, work, merged) = (dir.join("upper"), dir.join("work"), dir.join("merged"));
        for directory in [&upper, &work, &merged] {
            fs::create_dir_all(directory).expect("make the floor's directories");
        }
        let (lower, upper, work) = (lower.display(), upper.display(), work.display());
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work},volatile");
        let word = |text: &str| CString::new(text).expect("no zero byte");
        Floor {
            options: word(&options),
            merged,
            vectors: Vectors::new(vec![word("true")], vec![word("PATH=/bin")]),
        }
    }

    /// Runs one container. Returns the time in milliseconds from before the clone until after the
    /// reaping.
    pub fn turn(&self) -> f64 {
        // A volatile overlay leaves `work/incompat`. While this directory exists, the overlay can't
        // be mounted again.
        let _ = fs::remove_dir_all(self.merged.with_file_name("work").join("work/incompat"));
        let flags =
            Flags::PID.with(Flags::MOUNT).with(Flags::UTS).with(Flags::IPC).with(Flags::NETWORK);
        let started = Instant::now();
        let child = match clone3(flags, None).expect("clone3") {
            Fork::Child => {
                let _ = self.become_container();
                exit_now(1)
            }
            Fork::Parent(child) => child,
        };
        let status = waitid(WaitId::Pid(child.pid), WaitIdOptions::EXITED).expect("wait");
        let took = started.elapsed();
        assert_eq!(status.and_then(|status| status.exit_status()), Some(0), "the floor failed");
        milliseconds(took)
    }

    fn become_container(&self) -> rustix::io::Result<()> {
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        let none = MountFlags::empty();
        mount("overlay", &self.merged, "overlay", none, self.options.as_c_str())?;
        chdir(&self.merged)?;
        for (kind, target, options) in MOUNTS {
            if target.starts_with("dev/") {
                rustix::fs::mkdir(target, 0o755.into())?;
            }
            mount(kind, target, kind, none, &*CString::new(options).unwrap_or_default())?;
        }
        pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        chdir("/")?;
        execve(c"/bin/true", &self.vectors).map(drop)
    }
}
