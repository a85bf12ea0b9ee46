//! The probe: lists what a process in the container can see and do, one fact per line, after
//! `MARK`.
//!
//! The test binary itself is the probe, because it is static and runs in any container. It judges
//! nothing: the caller compares the lists.

use std::ffi::CStr;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The environment variable that makes the test binary run the probe.
pub const ASKED: &str = "PROBE";
/// The start of each line of the list.
pub const MARK: &str = "@@ ";

fn fact(name: &str, value: impl std::fmt::Display) {
    println!("{MARK}{name}={value}");
}

pub fn report() {
    // The test harness has printed the start of a line.
    println!();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    for line in status.lines() {
        let (name, value) = line.split_once(':').unwrap();
        if matches!(
            name,
            "CapInh" | "CapPrm" | "CapEff" | "CapBnd" | "CapAmb" | "NoNewPrivs" | "Seccomp"
        ) {
            fact(name, value.trim());
        }
        if name == "Umask" {
            fact("umask", value.trim());
        }
        if name == "Gid" {
            value.split_whitespace().take(1).for_each(|group| fact("gid", group));
        }
        if name == "Groups" {
            value.split_whitespace().for_each(|group| fact("group", group));
        }
    }
    for entry in fs::read_dir("/proc/self/ns").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        fact(&format!("ns/{name}"), fs::read_link(entry.path()).unwrap().display());
    }
    // Leave out directories, because one descriptor belongs to this listing.
    let fds = fs::read_dir("/proc/self/fd").unwrap().flatten();
    for fd in fds.filter(|fd| fs::metadata(fd.path()).is_ok_and(|to| !to.is_dir())) {
        fact("fd", fd.file_name().display());
    }
    for (name, _) in std::env::vars() {
        // Podman sets the variables `container` and TERM itself.
        if name != "container" && name != "TERM" {
            fact("env", name);
        }
    }
    for line in fs::read_to_string("/proc/net/unix").unwrap_or_default().lines() {
        if line.contains('@') {
            fact("abstract", line);
        }
    }
    masks();
    for tree in ["/proc", "/sys"] {
        writable(Path::new(tree));
    }
    devices(Path::new("/dev"));
    for (name, result) in attempts() {
        fact(&format!("try/{name}"), result);
    }
    fact("end", "");
}

/// Files and directories that reveal facts about the host.
const HIDDEN: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];

fn masks() {
    let mut hidden: Vec<String> = HIDDEN.map(str::to_owned).to_vec();
    for cpu in fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten() {
        hidden.push(format!("{}/thermal_throttle", cpu.path().display()));
    }
    for path in hidden {
        let shows = match fs::metadata(&path) {
            Ok(stat) if stat.is_dir() => {
                fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some())
            }
            Ok(stat) => stat.len() > 0 || fs::read(&path).is_ok_and(|content| !content.is_empty()),
            Err(_) => false,
        };
        if shows {
            fact("unmasked", path);
        }
    }
}

/// Reports each file below `directory` that can be opened for writing. Leaves out the files of
/// processes, because the processes are the container's own.
fn writable(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_process = name.bytes().all(|byte| byte.is_ascii_digit())
            || ["self", "thread-self"].contains(&name.as_str());
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_symlink() || directory == Path::new("/proc") && is_process {
            continue;
        }
        if kind.is_dir() {
            writable(&path);
            continue;
        }
        let opened = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&path);
        // Leave out files without write permission, because root can open them anyway. Also leave
        // out files that the null device covers, and the triggers of pressure stall information,
        // which only notify their writer.
        let is_file = |file: fs::File| {
            file.metadata().is_ok_and(|stat| stat.is_file() && stat.mode() & 0o222 != 0)
        };
        if opened.is_ok_and(is_file) && !path.starts_with("/proc/pressure") {
            fact("writable", path.display());
        }
    }
}

fn devices(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(stat) = entry.path().symlink_metadata() else { continue };
        if stat.is_dir() {
            // Skip pseudo-terminals, which come and go.
            if !entry.path().ends_with("pts") {
                devices(&entry.path());
            }
            continue;
        }
        let kind = match stat.file_type() {
            kind if kind.is_char_device() => 'c',
            kind if kind.is_block_device() => 'b',
            _ => continue,
        };
        let number = format!("{kind}{}:{}", libc::major(stat.rdev()), libc::minor(stat.rdev()));
        let mut options = OpenOptions::new();
        let opened = options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        if opened.open(entry.path()).is_ok() {
            fact("usable", &number);
        }
        fact("device", number);
    }
}

/// The result of each attempt in a default container.
pub const EXPECTED: &[(&str, &str)] = &[
    ("acct", "EPERM"),
    ("add_key", "EPERM"),
    ("bpf", "EPERM"),
    ("chroot", "ok"),
    ("clone3", "ENOSYS"),
    ("clone_user", "EPERM"),
    ("delete_module", "EPERM"),
    ("fsconfig", "EPERM"),
    ("fsopen", "EPERM"),
    ("io_uring_setup", "EPERM"),
    #[cfg(target_arch = "x86_64")]
    ("ioperm", "EPERM"),
    ("kcmp", "EPERM"),
    ("kexec_load", "EPERM"),
    ("keyctl", "EPERM"),
    ("mbind", "EPERM"),
    ("memory_device", "EPERM"),
    ("mount", "EPERM"),
    ("mount_setattr", "EPERM"),
    ("move_mount", "EPERM"),
    ("open_by_handle_at", "EPERM"),
    ("open_tree", "EPERM"),
    ("perf_event_open", "EPERM"),
    ("personality_aslr", "EPERM"),
    ("personality_query", "ok"),
    ("pidfd_getfd", "EPERM"),
    ("pivot_root", "EPERM"),
    ("ptrace", "ok"),
    ("quotactl", "EPERM"),
    ("reboot", "EPERM"),
    ("request_key", "EPERM"),
    ("setns", "EPERM"),
    ("settimeofday", "EPERM"),
    ("socket_alg", "EPERM"),
    ("socket_alg_upper_half", "EPERM"),
    ("socket_inet", "ok"),
    ("socket_vsock", "EPERM"),
    ("swapon", "EPERM"),
    ("syslog", "EPERM"),
    ("umount", "EPERM"),
    ("unknown", "ENOSYS"),
    ("unshare_mount", "EPERM"),
    ("unshare_user", "EPERM"),
    ("userfaultfd", "EPERM"),
    ("vhangup", "EPERM"),
    ("vmsplice", "EPERM"),
    #[cfg(target_arch = "x86_64")]
    ("socketcall_of_i386", "ENOSYS"),
];

fn attempts() -> Vec<(&'static str, String)> {
    let none = 0;
    let bad = usize::MAX;
    let text = |text: &'static CStr| text.as_ptr() as usize;
    let calls: &[(&str, libc::c_long, &[usize])] = &[
        ("acct", libc::SYS_acct, &[text(c"/nope")]),
        ("add_key", libc::SYS_add_key, &[text(c"user"), text(c"x"), text(c"y"), 1, bad - 1]),
        ("bpf", libc::SYS_bpf, &[99, none, 0]),
        ("chroot", libc::SYS_chroot, &[text(c"/")]),
        ("clone3", libc::SYS_clone3, &[none, 0]),
        ("clone_user", libc::SYS_clone, &[libc::CLONE_NEWUSER as usize | 17, 0, 0, 0, 0]),
        ("delete_module", libc::SYS_delete_module, &[text(c"nope"), 0]),
        ("fsconfig", libc::SYS_fsconfig, &[bad, 0, none, none, 0]),
        ("fsopen", libc::SYS_fsopen, &[text(c"tmpfs"), 0]),
        ("io_uring_setup", libc::SYS_io_uring_setup, &[1, none]),
        ("kcmp", libc::SYS_kcmp, &[1, 1, 0, 0, 0]),
        ("kexec_load", libc::SYS_kexec_load, &[0, 0, none, 0]),
        ("keyctl", libc::SYS_keyctl, &[0, bad - 2, 0]),
        ("mbind", libc::SYS_mbind, &[none, 0, 0, none, 0, 0]),
        ("mount", libc::SYS_mount, &[text(c"x"), text(c"/tmp"), text(c"tmpfs"), 0, none]),
        ("mount_setattr", libc::SYS_mount_setattr, &[bad, text(c""), 0, none, 0]),
        ("move_mount", libc::SYS_move_mount, &[bad, text(c"x"), bad, text(c"x"), 0]),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, &[bad, none, 0]),
        ("open_tree", libc::SYS_open_tree, &[bad, text(c"x"), 0]),
        ("perf_event_open", libc::SYS_perf_event_open, &[none, 0, 0, bad, 0]),
        ("personality_aslr", libc::SYS_personality, &[libc::ADDR_NO_RANDOMIZE as usize]),
        ("personality_query", libc::SYS_personality, &[0xffff_ffff]),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, &[bad, 0, 0]),
        ("pivot_root", libc::SYS_pivot_root, &[text(c"/nope"), text(c"/nope")]),
        ("ptrace", libc::SYS_ptrace, &[libc::PTRACE_TRACEME as usize, 0, 0, 0]),
        ("quotactl", libc::SYS_quotactl, &[bad, none, 0, none]),
        ("reboot", libc::SYS_reboot, &[0, 0, 0, none]),
        ("request_key", libc::SYS_request_key, &[text(c"user"), text(c"x"), none, 0]),
        ("setns", libc::SYS_setns, &[bad, 0]),
        ("settimeofday", libc::SYS_settimeofday, &[none, none]),
        ("socket_alg", libc::SYS_socket, &[38, 5, 0]),
        ("socket_alg_upper_half", libc::SYS_socket, &[1 << 32 | 38, 5, 0]),
        ("socket_inet", libc::SYS_socket, &[2, 1, 0]),
        ("socket_vsock", libc::SYS_socket, &[40, 1, 0]),
        ("swapon", libc::SYS_swapon, &[text(c"/nope"), 0]),
        ("syslog", libc::SYS_syslog, &[10, none, 0]),
        ("umount", libc::SYS_umount2, &[text(c"/nope"), 0]),
        ("unknown", 3000, &[]),
        ("unshare_mount", libc::SYS_unshare, &[libc::CLONE_NEWNS as usize]),
        ("unshare_user", libc::SYS_unshare, &[libc::CLONE_NEWUSER as usize]),
        ("userfaultfd", libc::SYS_userfaultfd, &[0]),
        ("vhangup", libc::SYS_vhangup, &[]),
        ("vmsplice", libc::SYS_vmsplice, &[bad, none, 0, 0]),
    ];
    let mut results: Vec<(&str, String)> = calls
        .iter()
        .map(|(name, number, arguments)| (*name, in_child(|| call(*number, arguments))))
        .collect();
    results.push(("memory_device", in_child(memory)));
    #[cfg(target_arch = "x86_64")]
    {
        results.push(("ioperm", in_child(|| call(libc::SYS_ioperm, &[0x80, 1, 1]))));
        results.push(("socketcall_of_i386", in_child(socketcall_of_i386)));
    }
    results
}

/// Makes a device node for the host's memory and opens it.
fn memory() -> i32 {
    let path = c"/tmp/mem";
    let number = libc::makedev(1, 1) as usize;
    let made = call(
        libc::SYS_mknodat,
        &[libc::AT_FDCWD as usize, path.as_ptr() as usize, libc::S_IFCHR as usize | 0o600, number],
    );
    if made != 0 {
        return made;
    }
    let opened = OpenOptions::new().read(true).open("/tmp/mem");
    let _ = fs::remove_file("/tmp/mem");
    opened.err().map_or(0, |error| error.raw_os_error().unwrap())
}

/// Runs `attempt` in a child process, because an allowed attempt may change its process. Returns
/// `ok`, the name or number of the error, or the signal that killed the child.
fn in_child(attempt: impl FnOnce() -> i32) -> String {
    // SAFETY: no other thread of the probe does anything; the child runs `attempt` and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let errno = attempt();
        // SAFETY: ends this process.
        unsafe { libc::_exit(errno) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above and writes to `status`.
    unsafe { libc::waitpid(child, &mut status, libc::__WALL) };
    if !libc::WIFEXITED(status) {
        return format!("signal {}", libc::WTERMSIG(status));
    }
    match libc::WEXITSTATUS(status) {
        0 => "ok".to_owned(),
        libc::EPERM => "EPERM".to_owned(),
        libc::ENOSYS => "ENOSYS".to_owned(),
        other => format!("errno {other}"),
    }
}

/// Makes a system call. Returns errno, or 0 after a success.
fn call(number: libc::c_long, arguments: &[usize]) -> i32 {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let [a, b, c, d, e, f] = all;
    // SAFETY: every pointer in the arguments is null or a C string. This process exits soon after
    // the call, so changes to it do no harm.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if number == libc::SYS_clone && result == 0 {
        // SAFETY: ends the new process, which exists only if no filter refused the call.
        unsafe { libc::_exit(0) };
    }
    if result == -1 { std::io::Error::last_os_error().raw_os_error().unwrap() } else { 0 }
}

/// Calls socket(2) through i386's socketcall, which 64-bit programs can call too. Returns errno, or
/// 0 after a success.
#[cfg(target_arch = "x86_64")]
fn socketcall_of_i386() -> i32 {
    let result: i32;
    // SAFETY: socketcall(SYS_SOCKET, null) reads nothing; the kernel keeps all other registers.
    unsafe {
        std::arch::asm!(
            "xchg {socket:r}, rbx",
            "int 0x80",
            "xchg {socket:r}, rbx",
            socket = inout(reg) 1u64 => _,
            inout("eax") 102 => result,
            in("ecx") 0,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    if result < 0 { -result } else { 0 }
}
