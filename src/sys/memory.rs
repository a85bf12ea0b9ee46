//! Keeps a monitor's memory small while it sleeps: the monitor drops the pages of its own code
//! (madvise(2), MADV_DONTNEED) before it sleeps in ppoll(2).
//!
//! When a process executes a dropped page, the kernel maps the page again from the page cache. The
//! kernel also maps the cached pages around the dropped page: by default 64 kB, or more with large
//! folios. The kernel stops at the mapping's end. So the few instructions that drop the pages and
//! sleep are in a small mapping of their own, and only the code of this mapping stays in memory.

use std::ffi::{c_int, c_void};
use std::ptr;

use rustix::event::{PollFd, Timespec};
use rustix::io::Errno;

unsafe extern "C" {
    /// The linker defines `__ehdr_start`, the program's first byte in memory, and `etext`, the end
    /// of the program's code.
    static __ehdr_start: u8;
    static etext: u8;
}

/// Drops the pages of this program's code and then calls ppoll(2), for a sleep that is expected to
/// be long. Returns the number of ready descriptors. A `timeout` of `None` means no limit. Fails
/// with the errors of ppoll(2).
pub fn poll_released(fds: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> Result<usize, Errno> {
    // SAFETY: sysconf(3) takes no pointer. POSIX says that it never fails for _SC_PAGESIZE.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let sleeper = (release_and_poll as *const ()).addr();
    let first = sleeper - sleeper % page;
    // Give the page of `release_and_poll` and the next page a flag that their neighbours lack, so
    // that the kernel makes them a mapping of their own. MADV_DONTDUMP only keeps them out of core
    // dumps.
    // SAFETY: the call does not change the contents of a page. If the call fails, more pages stay
    // in memory.
    unsafe { libc::madvise(first as *mut c_void, 2 * page, libc::MADV_DONTDUMP) };
    let (start, end) = ((&raw const __ehdr_start).addr(), (&raw const etext).addr());
    // ppoll(2) writes the remaining time to `left`.
    let mut left = timeout.copied();
    let left = left.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    // SAFETY: the pages from `start` to the last page of code are mapped from the program's file
    // and never written; relocated data is in later pages. The kernel reads a dropped page again
    // when any thread needs it. The page is unchanged then, because the kernel refuses writes to an
    // executed file (ETXTBSY). Linux 6.11 and 6.12 allow such writes, but there a write changes a
    // page whether it was dropped or not. `PollFd` and `Timespec` have the kernel's layout and
    // outlive the call.
    let result = unsafe {
        release_and_poll(
            start as *mut c_void,
            end - start,
            fds.as_mut_ptr().cast(),
            fds.len(),
            left,
        )
    };
    usize::try_from(result).map_err(|_| Errno::from_raw_os_error((-result) as c_int))
}

/// Calls madvise(start, length, MADV_DONTNEED) and then ppoll(fds, count, timeout) without a signal
/// mask. Executes no code outside this function in between. Ignores an error of madvise(2): the
/// pages then stay in memory. Returns the result of ppoll(2), or minus its errno.
#[unsafe(naked)]
unsafe extern "C" fn release_and_poll(
    start: *mut c_void,
    length: usize,
    fds: *mut c_void,
    count: usize,
    timeout: *mut Timespec,
) -> isize {
    // On x86_64 a system call changes only rax, rcx and r11.
    #[cfg(target_arch = "x86_64")]
    std::arch::naked_asm!(
        "mov r9, rdx",
        "mov r10, rcx",
        "mov edx, {dontneed}",
        "mov eax, {madvise}",
        "syscall",
        "mov rdi, r9",
        "mov rsi, r10",
        "mov rdx, r8",
        "xor r10d, r10d",
        "mov r8d, 8",
        "mov eax, {ppoll}",
        "syscall",
        "ret",
        dontneed = const libc::MADV_DONTNEED,
        madvise = const libc::SYS_madvise,
        ppoll = const libc::SYS_ppoll,
    );
    // On aarch64 a system call changes only x0.
    #[cfg(target_arch = "aarch64")]
    std::arch::naked_asm!(
        "mov x9, x2",
        "mov x10, x3",
        "mov x11, x4",
        "mov x2, {dontneed}",
        "mov x8, {madvise}",
        "svc 0",
        "mov x0, x9",
        "mov x1, x10",
        "mov x2, x11",
        "mov x3, 0",
        "mov x4, 8",
        "mov x8, {ppoll}",
        "svc 0",
        "ret",
        dontneed = const libc::MADV_DONTNEED,
        madvise = const libc::SYS_madvise,
        ppoll = const libc::SYS_ppoll,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::PollFlags;

    /// If the file could change, a page that `poll_released` dropped could return with other bytes.
    #[test]
    fn an_executed_file_can_not_be_changed() {
        let opened = std::fs::OpenOptions::new().write(true).open("/proc/self/exe");
        assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::ETXTBSY));
    }

    #[test]
    fn other_threads_run_on_while_pages_are_released() {
        let no_time = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ended = std::sync::atomic::AtomicBool::new(false);
        let ordering = std::sync::atomic::Ordering::Relaxed;
        std::thread::scope(|scope| {
            let sums = scope.spawn(|| {
                while !ended.load(ordering) {
                    let text: String = (0..100).map(|number| format!("{number} ")).collect();
                    let numbers = text.split_whitespace().map(|word| word.parse::<u32>().unwrap());
                    assert_eq!(numbers.sum::<u32>(), 4950);
                }
            });
            for _ in 0..200 {
                assert_eq!(poll_released(&mut [], Some(&no_time)), Ok(0));
            }
            ended.store(true, ordering);
            sums.join().unwrap();
        });
    }

    #[test]
    fn it_returns_what_poll_returns() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let no_time = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::new(&read, PollFlags::IN), PollFd::new(&write, PollFlags::OUT)];
        assert_eq!(poll_released(&mut fds, Some(&no_time)), Ok(1));
        assert_eq!(fds[0].revents(), PollFlags::empty());
        assert_eq!(fds[1].revents(), PollFlags::OUT);
        rustix::io::write(&write, b"x").unwrap();
        assert_eq!(poll_released(&mut fds[..1], None), Ok(1));
        assert_eq!(fds[0].revents(), PollFlags::IN);
        let wrong = Timespec { tv_sec: 0, tv_nsec: -1 };
        assert_eq!(poll_released(&mut fds[..1], Some(&wrong)), Err(Errno::INVAL));
    }
}
