//! Loads the device rules of a v2 cgroup as a BPF program and attaches the program to the cgroup.
//!
//! The calls are BPF_PROG_LOAD with BPF_PROG_TYPE_CGROUP_DEVICE, then BPF_PROG_ATTACH with the
//! cgroup's directory (bpf(2), Linux 4.15). The kernel frees an attached program when the cgroup is
//! removed, so this file pins and detaches nothing. `runtime::cgroup::devices` compiles the rules
//! into the program. The structs follow linux/bpf.h.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::last_errno;

/// struct bpf_insn of linux/bpf.h. `registers` holds the destination register in the low four bits
/// and the source register in the high four bits.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u8,
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

// From linux/bpf.h: BPF_PROG_LOAD, BPF_PROG_ATTACH and their arguments.
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// Loads a device program and attaches it to the v2 cgroup whose directory is open as `cgroup`. The
/// program stays attached as long as the cgroup exists. Fails with the errors of bpf(2), and of
/// setrlimit(2) if a load with a higher limit is tried.
pub fn restrict_devices(cgroup: BorrowedFd<'_>, program: &[Instruction]) -> Result<(), Errno> {
    let program = match load(program) {
        // Before Linux 5.11 all BPF programs of a user together count against RLIMIT_MEMLOCK.
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
        // systemd may have attached a program to a parent cgroup. With this flag the kernel runs
        // the parent's program as well as this one.
        flags: ALLOW_MULTI,
    };
    let mut attributes = Attributes { whole: [0; 16] };
    attributes.attach = attach;
    // SAFETY: the attributes are plain integers laid out as the kernel reads them.
    unsafe { bpf(PROG_ATTACH, &attributes) }.map(drop)
}

/// union bpf_attr of linux/bpf.h, with the size that it has in Linux 5.14. Other kernels accept
/// this size too. The bytes that a command does not use must be zero, otherwise the kernel refuses
/// the call.
#[repr(C)]
union Attributes {
    whole: [u64; 16],
    load: Load,
    attach: Attach,
}

/// The first members of the union for BPF_PROG_ATTACH.
#[repr(C)]
#[derive(Clone, Copy)]
struct Attach {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// The first members of the union for BPF_PROG_LOAD.
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
    // SAFETY: the kernel reads `length` instructions and the license, which both outlive the call.
    // `log_level` is 0, so the kernel writes nothing.
    let descriptor = unsafe { bpf(PROG_LOAD, &attributes) }?;
    // SAFETY: the kernel returned a new descriptor, and no other value owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// # Safety
/// `attributes` has the layout that `command` reads, and its pointers are valid during the call.
unsafe fn bpf(command: libc::c_int, attributes: &Attributes) -> Result<i32, Errno> {
    let size = std::mem::size_of::<Attributes>();
    // SAFETY: the caller guarantees the contents. The kernel reads `size` bytes, all initialised.
    match unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size) } {
        -1 => Err(last_errno()),
        result => Ok(result as i32),
    }
}
