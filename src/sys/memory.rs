//! Keeps this process's memory small while it sleeps: it drops the pages of its own program.
//!
//! A dropped page of code comes back from the page cache when it is executed, and not alone:
//! the kernel maps the pages around it too, 64 kB of them or, if the cache holds the file
//! in large folios, the whole folio. But it never goes beyond a mapping's end. So the few
//! instructions that drop the pages and then sleep lie in a mapping of their own, which is all that is
//! left.

use std::ffi::{c_int, c_void};
use std::ptr;

use rustix::event::{PollFd, Timespec};
use rustix::io::Errno;

unsafe extern "C" {
    /// The program's first byte in memory, and the one after its code: the linker defines both.
    static __ehdr_start: u8;
    static etext: u8;
}

/// poll(2), for a sleep that is expected to be long.
pub fn poll_released(fds: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> Result<usize, Errno> {
    // SAFETY: takes no pointer. POSIX has it never fail.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let sleeper = (release_and_poll as *const ()).addr();
    let first = sleeper - sleeper % page;
    // Pages with other flags than their neighbours are a mapping of their own: the one where it
    // starts, and the next for its end, stay out of core dumps, which changes nothing else.
    // SAFETY: changes no page. An error only means that more pages stay.
    unsafe { libc::madvise(first as *mut c_void, 2 * page, libc::MADV_DONTDUMP) };
    let (start, end) = ((&raw const __ehdr_start).addr(), (&raw const etext).addr());
    // The kernel writes the remaining time there.
    let mut left = timeout.copied();
    let left = left.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    // SAFETY: up to the end of the code's last page, everything is mapped from the program's file
    // and never written: relocated data lies in the pages after it. The kernel reads a page again
    // when any thread needs it, so this holds beside other threads too. The page is the same then:
    // the kernel refuses writes to a file that is executed (ETXTBSY). Linux 6.11 and 6.12 do, but
    // there such a write changes every page of every program, released or not. Both structures are
    // laid out as the kernel has them, and live until it is back.
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

/// Makes two system calls, with no code in between that lies elsewhere: madvise(start, length,
/// MADV_DONTNEED), whose failure only means that the pages stay, and ppoll(fds, count, timeout, no
/// signal mask, of 8 bytes). Returns the second one's result, or minus its errno.
#[unsafe(naked)]
unsafe extern "C" fn release_and_poll(
    start: *mut c_void,
    length: usize,
    fds: *mut c_void,
    count: usize,
    timeout: *mut Timespec,
) -> isize {
    // A system call changes only rax, rcx and r11.
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
    // A system call changes only x0.
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

    /// What letting go of the program's pages rests on: they are the same when read again.
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
    fn it_is_poll() {
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
