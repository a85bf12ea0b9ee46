//! Protects mydocker's own binary from containers (CVE-2019-5736).
//!
//! If an image's command is a script that starts with `#!/proc/self/exe`, the kernel executes
//! mydocker's own binary in the container. A process in the container can then open the host's
//! binary as /proc/PID/exe. The kernel refuses writes to a running binary (ETXTBSY), but not
//! changes of mode, owner and attributes. So a command that enters containers first moves to a
//! read-only, detached clone of the binary's mount: the command maps its code from the clone and
//! makes the clone its /proc/self/exe (prctl(2), PR_SET_MM). A change through /proc/PID/exe then
//! fails with EROFS. A second execution of the binary has the same result but takes longer.

use std::convert::Infallible;
use std::ffi::{CString, OsString, c_int, c_void};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::ptr;

use linux_raw_sys::prctl::prctl_mm_map;
use rustix::fs::{CWD, Mode, OFlags, StatVfsMountFlags, fstatvfs, openat, statvfs};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};

use super::clone::require_one_thread;
use super::exec::{Vectors, execve_descriptor};
use super::last_errno;
use super::mount::add_attributes;
use super::process::stat_fields;
use super::title;

const SELF: &str = "/proc/self/exe";

/// Moves this process to a read-only clone of its binary's mount, unless the binary's mount is
/// read-only already. If the move fails, for example without CONFIG_CHECKPOINT_RESTORE, executes
/// the binary again from the clone. The program then starts from the beginning, so call this
/// function early. If the clone cannot be made (Linux before 5.12, no /proc) or executed, returns,
/// and only ETXTBSY protects the file.
pub fn run_read_only() {
    match statvfs(SELF) {
        Err(_) => {}
        // After an execution by descriptor, the process's name (comm) may be the descriptor's
        // number.
        Ok(now) if is_read_only(now.f_flag) => drop(rustix::thread::set_name(c"mydocker")),
        Ok(_) => {
            let Ok(clone) = read_only_clone() else { return };
            if move_to(clone.as_fd()).is_err() {
                let Err(_) = execute(clone.as_fd());
            }
            // Close the handle before the first fork. While a process has the handle, a container
            // with CAP_SYS_ADMIN can make the clone writable by mount_setattr(2), and then change
            // mydocker's binary through /proc/PID/exe.
            drop(clone);
        }
    }
}

fn is_read_only(flags: StatVfsMountFlags) -> bool {
    flags.contains(StatVfsMountFlags::RDONLY)
}

/// A handle to the binary in a read-only clone of its mount.
fn read_only_clone() -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let clone = open_tree(CWD, SELF, flags)?;
    add_attributes(clone.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, false)?;
    // If the clone were writable, the new process would execute itself again without end.
    if is_read_only(fstatvfs(&clone)?.f_flag) { Ok(clone) } else { Err(Errno::INVAL) }
}

/// Maps the read-only pages of this program from `clone`, replaces the writable pages by copies in
/// memory, and makes `clone` the executable of this process. The kernel accepts another executable
/// only if no page of the present executable is mapped. After an error, the process runs on with
/// the same code and data. Fails with EDEADLK if this process has a second thread, and with the
/// errors of the system calls.
fn move_to(clone: BorrowedFd<'_>) -> Result<(), Errno> {
    require_one_thread()?;
    let path = format!("/proc/self/fd/{}", clone.as_raw_fd());
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    segments().try_for_each(|segment| segment.map_from(file.as_fd()))?;
    // PR_SET_MM_EXE_FILE would need CAP_SYS_RESOURCE. PR_SET_MM_MAP also sets the addresses in
    // `prctl_mm_map`, so these get their present values (proc_pid_stat(5)).
    let own = rustix::process::getpid();
    let fields = [26, 27, 45, 46, 47, 28, 48, 49, 50, 51];
    let [start_code, end_code, start_data, end_data, start_brk, start_stack, args @ ..] =
        stat_fields(own, fields)?.ok_or(Errno::SRCH)?;
    title::remember(args);
    let [arg_start, arg_end, env_start, env_end] = args;
    let map = prctl_mm_map {
        start_code,
        end_code,
        start_data,
        end_data,
        start_brk,
        // SAFETY: without an increment sbrk(2) only returns the present end of the heap.
        brk: unsafe { libc::sbrk(0) } as u64,
        start_stack,
        arg_start,
        arg_end,
        env_start,
        env_end,
        auxv: ptr::null_mut(),
        auxv_size: 0,
        exe_fd: file.as_raw_fd() as u32,
    };
    // SAFETY: the kernel reads one prctl_mm_map, which outlives the call, and changes no memory of
    // this process.
    let (field, size) = (libc::PR_SET_MM_MAP, size_of::<prctl_mm_map>());
    match unsafe { libc::prctl(libc::PR_SET_MM, field, &raw const map, size, 0) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Whole pages of this program that the kernel has mapped from the binary (elf(5), PT_LOAD).
struct Segment {
    start: usize,
    length: usize,
    offset: i64,
    /// PROT_READ, PROT_WRITE and PROT_EXEC.
    protection: c_int,
}

/// The segments of this program that have bytes in the binary.
fn segments() -> impl Iterator<Item = Segment> {
    // SAFETY: the kernel's auxiliary vector holds the address and the number of the program headers
    // (getauxval(3)). They lie in a read-only segment, which stays mapped.
    let headers = unsafe {
        let start = libc::getauxval(libc::AT_PHDR) as *const libc::Elf64_Phdr;
        let count = if start.is_null() { 0 } else { libc::getauxval(libc::AT_PHNUM) as usize };
        std::slice::from_raw_parts(if count == 0 { ptr::dangling() } else { start }, count)
    };
    // PT_PHDR describes the program headers themselves. Their real address, compared with the one
    // in PT_PHDR, shows by how much the kernel has moved the program.
    let base = headers
        .iter()
        .find(|header| header.p_type == libc::PT_PHDR)
        .map_or(0, |header| headers.as_ptr().addr().wrapping_sub(header.p_vaddr as usize));
    // SAFETY: sysconf(3) takes no pointer.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let loaded = |header: &&libc::Elf64_Phdr| header.p_type == libc::PT_LOAD && header.p_filesz > 0;
    headers.iter().filter(loaded).map(move |header| {
        let address = base.wrapping_add(header.p_vaddr as usize);
        let before = address % page;
        let has = |flag, protection| if header.p_flags & flag != 0 { protection } else { 0 };
        Segment {
            start: address - before,
            length: (before + header.p_filesz as usize).next_multiple_of(page),
            offset: header.p_offset as i64 - before as i64,
            protection: has(libc::PF_R, libc::PROT_READ)
                | has(libc::PF_W, libc::PROT_WRITE)
                | has(libc::PF_X, libc::PROT_EXEC),
        }
    })
}

impl Segment {
    /// Replaces the mapping of these pages: by a mapping of `file`, which is the same binary, or by
    /// a copy in memory if the pages are writable. Their contents stay the same.
    fn map_from(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        let present = self.start as *mut c_void;
        let map = |start, flags, file| {
            let flags = flags | libc::MAP_PRIVATE;
            // SAFETY: without MAP_FIXED the kernel chooses free addresses. MAP_FIXED is used for
            // pages that are never written, and `file` has the same bytes: it is the same inode,
            // and the kernel refuses writes to an executed file (ETXTBSY).
            match unsafe {
                libc::mmap(start, self.length, self.protection, flags, file, self.offset)
            } {
                libc::MAP_FAILED => Err(last_errno()),
                new => Ok(new),
            }
        };
        if self.protection & libc::PROT_WRITE == 0 {
            return map(present, libc::MAP_FIXED, file.as_raw_fd()).map(drop);
        }
        let new = map(ptr::null_mut(), libc::MAP_ANONYMOUS, -1)?;
        // SAFETY: both areas have `length` bytes and do not overlap. mremap(2) puts the copy in the
        // place of the variables in one step, and no second thread writes them in between.
        unsafe {
            ptr::copy_nonoverlapping(present.cast::<u8>(), new.cast::<u8>(), self.length);
            let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
            match libc::mremap(new, self.length, self.length, flags, present) {
                libc::MAP_FAILED => {
                    let error = last_errno();
                    libc::munmap(new, self.length);
                    Err(error)
                }
                _ => Ok(()),
            }
        }
    }
}

/// Executes the binary again from `clone`, with the same arguments and variables.
fn execute(clone: BorrowedFd<'_>) -> Result<Infallible, Errno> {
    let strings = |strings: &mut dyn Iterator<Item = OsString>| -> Result<Vec<CString>, Errno> {
        // `CString::new` cannot fail here: the kernel passed arguments and variables as C strings,
        // so none has a NUL inside.
        strings.map(|s| CString::new(s.into_vec()).map_err(|_| Errno::INVAL)).collect()
    };
    let args = strings(&mut std::env::args_os())?;
    let env = strings(&mut std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    }))?;
    execve_descriptor(clone, &Vectors::new(args, env))
}
