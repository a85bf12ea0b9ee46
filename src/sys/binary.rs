//! Protects mydocker's own binary from containers (CVE-2019-5736).
//!
//! If an image's command is `#!/proc/self/exe`, mydocker executes its own binary in the container.
//! A process in the container can then open the host's binary as /proc/PID/exe. The kernel refuses
//! writes to a running binary (ETXTBSY), but not changes of mode, owner and attributes. So a
//! command that enters containers first executes itself again from a read-only, unattached clone of
//! the binary's mount. Every change through /proc/PID/exe then fails with EROFS. If the binary is
//! already on a read-only mount, no second execution is needed.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{CWD, StatVfsMountFlags, fstatvfs, statvfs};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};

use super::exec::{Vectors, execve_descriptor};
use super::mount::add_attributes;

const SELF: &str = "/proc/self/exe";

/// Executes the binary again from a read-only mount, unless its mount is read-only already. Must be
/// called early, because the second execution starts from the beginning. If the second execution is
/// impossible (Linux before 5.12, no /proc), returns in the same process, and only ETXTBSY protects
/// the file.
pub fn run_read_only() {
    let is_read_only = |flags: StatVfsMountFlags| flags.contains(StatVfsMountFlags::RDONLY);
    let Ok(now) = statvfs(SELF) else { return };
    if !is_read_only(now.f_flag) {
        let Err(_) = execute_read_only(is_read_only);
    } else {
        // After an execution by descriptor, the process's name (comm) is the descriptor's number.
        let _ = rustix::thread::set_name(c"mydocker");
    }
}

fn execute_read_only(
    is_read_only: impl Fn(StatVfsMountFlags) -> bool,
) -> Result<Infallible, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let clone = open_tree(CWD, SELF, flags)?;
    add_attributes(clone.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, false)?;
    // If the clone is writable, the new process would execute itself again without end.
    if !is_read_only(fstatvfs(&clone)?.f_flag) {
        return Err(Errno::INVAL);
    }
    let strings = |strings: &mut dyn Iterator<Item = OsString>| -> Result<Vec<CString>, Errno> {
        // Cannot fail: the kernel passed arguments and variables as C strings, so none has a NUL
        // inside.
        strings.map(|s| CString::new(s.into_vec()).map_err(|_| Errno::INVAL)).collect()
    };
    let args = strings(&mut std::env::args_os())?;
    let env = strings(&mut std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    }))?;
    execve_descriptor(clone.as_fd(), &Vectors::new(args, env))
}
