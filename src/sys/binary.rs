//! Protects this program's own file from containers.
//!
//! An image whose command is `#!/proc/self/exe` makes a process of ours execute itself inside. The
//! binary then runs as the container's program, and a process that opens its /proc/PID/exe holds
//! the host's file (CVE-2019-5736). The kernel refuses writes to it as long as a monitor runs
//! (ETXTBSY), but mode, owner and attributes could be changed. So a command that enters containers
//! first executes itself again through a read-only clone of its mount, attached nowhere: every
//! way from inside to the file ends there (EROFS). If the mount is read-only already,
//! as a firmware's root is, nothing has to be done.

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

/// Returns in a process whose executable can't be changed through /proc. It executes the binary again
/// for that, so it is called first of all. If that is impossible (Linux before 5.12, no /proc), it
/// returns in the same process: then only ETXTBSY protects the file.
pub fn run_read_only() {
    let is_read_only = |flags: StatVfsMountFlags| flags.contains(StatVfsMountFlags::RDONLY);
    let Ok(now) = statvfs(SELF) else { return };
    if !is_read_only(now.f_flag) {
        let Err(_) = execute_read_only(is_read_only);
    } else {
        // An execution by descriptor would give the process a number as its name.
        let _ = rustix::thread::set_name(c"mydocker");
    }
}

fn execute_read_only(
    is_read_only: impl Fn(StatVfsMountFlags) -> bool,
) -> Result<Infallible, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let clone = open_tree(CWD, SELF, flags)?;
    add_attributes(clone.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, false)?;
    // Otherwise it would execute itself again without end.
    if !is_read_only(fstatvfs(&clone)?.f_flag) {
        return Err(Errno::INVAL);
    }
    let strings = |strings: &mut dyn Iterator<Item = OsString>| -> Result<Vec<CString>, Errno> {
        // They came from the kernel as C strings.
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
