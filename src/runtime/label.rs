//! Sets the label of a Linux security module, AppArmor (apparmor(7)) or SELinux, for a container's
//! program. The label is written to a file of /proc directly before execve(2).
//!
//! The file is opened in a new, detached mount of /proc, which no other process can see. In the
//! container's own /proc, a container could mount another file over the path. The label would then
//! be written to that file, and the program would run without a label (CVE-2019-16884,
//! CVE-2025-52881).

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, fstatfs, openat};
use rustix::mount::MountAttrFlags;

use crate::error::{Context, Result, fail};
use crate::sys;

/// The label of a Linux security module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// The name of a loaded AppArmor profile.
    AppArmor(String),
    /// An SELinux context: `user:role:type:level`.
    Selinux(String),
}

impl Label {
    /// Sets the label of the program that this thread executes next. Fails if the kernel refuses
    /// the label.
    pub fn set_for_exec(&self) -> Result<()> {
        let proc = private_proc()?;
        let (files, text) = match self {
            // Before Linux 5.8 the kernel has only `attr/exec`.
            Label::AppArmor(profile) => (
                ["thread-self/attr/apparmor/exec", "thread-self/attr/exec"],
                format!("exec {profile}"),
            ),
            Label::Selinux(context) => (["thread-self/attr/exec"; 2], context.clone()),
        };
        let open = |file| openat(&proc, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        let file = open(files[0]).or_else(|_| open(files[1]));
        file.and_then(|file| rustix::io::write(&file, text.as_bytes()))
            .map(drop)
            .context(|| format!("label the program '{text}'"))
    }
}

/// Creates a detached mount of procfs for this process's PID namespace. No other process can mount
/// a file over a path in this mount.
pub fn private_proc() -> Result<OwnedFd> {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let proc =
        sys::mount::filesystem(c"proc", "", &[], attributes).context(|| "mount a private /proc")?;
    let stat = fstatfs(proc.as_fd()).context(|| "check the private /proc")?;
    if stat.f_type as u64 != PROC_SUPER_MAGIC {
        fail!("the private /proc is not a proc file system");
    }
    Ok(proc)
}

/// Whether AppArmor is enabled in the kernel.
pub fn apparmor_is_on() -> bool {
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    enabled.is_ok_and(|enabled| enabled.trim() == "Y")
}

/// Whether SELinux is enabled in the kernel.
pub fn selinux_is_on() -> bool {
    openat(CWD, "/sys/fs/selinux/enforce", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).is_ok()
}

/// Whether AppArmor is enabled and the profile `wanted` is loaded.
pub fn apparmor_has(wanted: &str) -> bool {
    let profiles = || fs::read_to_string("/sys/kernel/security/apparmor/profiles");
    apparmor_is_on()
        && profiles().is_ok_and(|profiles| {
            profiles.lines().any(|line| line.split(' ').next() == Some(wanted))
        })
}
