//! bpf(2): a program that decides which devices a cgroup may open (Linux 4.15).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::clone::last_errno;

/// struct bpf_insn of linux/bpf.h; `registers` is the destination in the low half, the source in
/// the high.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u8,
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// Loads a program for devices and attaches it to the v2 cgroup that `cgroup` is, for as long as
/// that lasts.
pub fn restrict_devices(cgroup: BorrowedFd<'_>, program: &[Instruction]) -> Result<(), Errno> {
    let program = match load(program) {
        // Before Linux 5.11 programs count as locked memory, all of a user's together.
        Err(Errno::PERM) => {
            let limit = getrlimit(Resource::Memlock);
            setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None })?;
            let program = load(program);
            setrlimit(Resource::Memlock, limit)?;
            program
        }
        result => result,
    }?;
    let attach = Attach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        attach_type: CGROUP_DEVICE,
        // Beside what the host's own manager has put on a cgroup above: all must agree.
        flags: ALLOW_MULTI,
    };
    let mut attributes = Attributes { whole: [0; 16] };
    attributes.attach = attach;
    // SAFETY: the attributes are plain integers laid out as the kernel reads them.
    unsafe { bpf(PROG_ATTACH, &attributes) }.map(drop)
}

/// union bpf_attr of linux/bpf.h, all of it that Linux 5.10 has: what a command's own part doesn't
/// fill is zero, as every kernel, older or newer, wants what it doesn't know of to be.
#[repr(C)]
union Attributes {
    whole: [u64; 16],
    load: Load,
    attach: Attach,
}

/// The part that BPF_PROG_ATTACH reads.
#[repr(C)]
#[derive(Clone, Copy)]
struct Attach {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// The part that BPF_PROG_LOAD reads.
#[repr(C)]
#[derive(Clone, Copy)]
struct Load {
    program_type: u32,
    length: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

fn load(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let load = Load {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        length: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
    };
    let mut attributes = Attributes { whole: [0; 16] };
    attributes.load = load;
    // SAFETY: the instructions and the license outlive the call, which reads as many as `length`
    // says; no log is asked for, so nothing is written.
    let descriptor = unsafe { bpf(PROG_LOAD, &attributes) }?;
    // SAFETY: the kernel gave a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// # Safety
/// `attributes` is what `command` reads, and what it points to lives.
unsafe fn bpf(command: libc::c_int, attributes: &Attributes) -> Result<i32, Errno> {
    let size = std::mem::size_of::<Attributes>();
    // SAFETY: the caller's promise; the kernel reads `size` bytes, all of which are set.
    match unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size) } {
        -1 => Err(last_errno()),
        result => Ok(result as i32),
    }
}
