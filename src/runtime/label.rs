//! Sets the label of a Linux security module, AppArmor (apparmor(7)) or SELinux, for a container's
//! program. The label is written to a file of /proc and takes effect at execve(2).
//!
//! The file is opened in a new, detached mount of /proc, which no other process can see. In the
//! container's own /proc, a container could mount another file over the path. The label would then
//! be written to that file, and the program would run without a label (CVE-2019-16884,
//! CVE-2025-52881).

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use linux_raw_sys::general::PROC_SUPER_MAGIC;
use rustix::fs::{CWD, Mode, OFlags, fstatfs, openat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use crate::error::{Context, Result, fail};
use crate::sys;

/// The AppArmor profile that confines nothing. In a config.json and in `--security-opt`, this name
/// means that no label is set.
pub const UNCONFINED: &str = "unconfined";

/// The label of a Linux security module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// The name of a loaded AppArmor profile.
    AppArmor(String),
    /// An SELinux context: `user:role:type:level`.
    Selinux(String),
}

impl Label {
    /// Sets the label of the program that this thread executes next. With SELinux, also sets the
    /// label of the keys that this thread creates before execve(2). Fails if procfs cannot be
    /// mounted, or if the kernel refuses the label.
    pub fn set_for_exec(&self) -> Result<()> {
        let proc = private_proc()?;
        let open = |file| openat(&proc, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        match self {
            Label::AppArmor(profile) => {
                // Before Linux 5.8 the kernel has only `attr/exec`.
                let file = open("thread-self/attr/apparmor/exec")
                    .or_else(|_| open("thread-self/attr/exec"));
                let text = format!("exec {profile}");
                match file.and_then(|file| rustix::io::write(&file, text.as_bytes())) {
                    Err(Errno::NOENT) => fail!("no AppArmor profile '{profile}' is loaded"),
                    written => written
                        .map(drop)
                        .context(|| format!("set the AppArmor profile '{profile}'")),
                }
            }
            Label::Selinux(context) => {
                let write = |file| {
                    open(file)
                        .and_then(|file| rustix::io::write(&file, context.as_bytes()))
                        .context(|| format!("set the SELinux label '{context}'"))
                };
                write("thread-self/attr/exec")?;
                // If the session keyring lacked this label, the program could not use the keyring.
                write("thread-self/attr/keycreate").map(drop)
            }
        }
    }
}

/// Creates a detached mount of procfs for this process's PID namespace. No other process can mount
/// a file over a path in this mount.
pub fn private_proc() -> Result<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let proc =
        sys::mount::filesystem(c"proc", "", &[], attributes).context(|| "mount a private /proc")?;
    let stat = fstatfs(proc.as_fd()).context(|| "check the private /proc")?;
    if stat.f_type as u32 != PROC_SUPER_MAGIC {
        fail!("the private /proc is not a proc file system");
    }
    Ok(proc)
}

/// Whether AppArmor is enabled in the kernel.
pub fn apparmor_is_on() -> bool {
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    enabled.is_ok_and(|enabled| enabled.trim() == "Y")
}

/// Whether SELinux is enabled in the kernel and its file system is mounted on /sys/fs/selinux.
pub fn selinux_is_on() -> bool {
    openat(CWD, "/sys/fs/selinux/enforce", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).is_ok()
}

/// Whether AppArmor is enabled and the profile `wanted` is in the kernel's list. False if the list
/// can't be read.
pub fn apparmor_has(wanted: &str) -> bool {
    apparmor_is_on() && apparmor_lists(wanted) == Some(true)
}

/// Whether `wanted` is in the kernel's list of profiles, which has lines such as `NAME (enforce)`.
/// `None` if the list can't be read.
fn apparmor_lists(wanted: &str) -> Option<bool> {
    let profiles = fs::read_to_string("/sys/kernel/security/apparmor/profiles").ok()?;
    let mut names =
        profiles.lines().filter_map(|line| line.rsplit_once(" (")).map(|(name, _)| name);
    Some(names.any(|name| name == wanted))
}

/// Fails if AppArmor is not enabled, or if the kernel's list is readable and lacks the profile.
/// `unconfined`, profiles of other namespaces and stacks of profiles are not checked, because the
/// list may lack them. If such a profile is not loaded, `Label::set_for_exec` fails later.
pub fn check_apparmor(profile: &str) -> Result<()> {
    if !apparmor_is_on() {
        fail!("this host has no AppArmor");
    }
    let is_plain = !profile.starts_with(':') && !profile.contains("//&") && profile != UNCONFINED;
    if is_plain && apparmor_lists(profile) == Some(false) {
        fail!("no AppArmor profile '{profile}' is loaded");
    }
    Ok(())
}

/// Fails if SELinux is not enabled, or if the SELinux policy has no such label.
pub fn check_selinux(label: &str) -> Result<()> {
    if !selinux_is_on() {
        fail!("this host has no SELinux");
    }
    // The kernel refuses a write to this file with EINVAL if the policy lacks the label. Ignore
    // other errors: if the label cannot be set, setting it fails later.
    let checked = fs::write("/sys/fs/selinux/context", label);
    if checked.is_err_and(|error| error.raw_os_error() == Some(Errno::INVAL.raw_os_error())) {
        fail!("the SELinux policy of this host has no label '{label}'");
    }
    Ok(())
}
