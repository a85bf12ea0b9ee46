//! What this process keeps in memory of its own program.

unsafe extern "C" {
    /// The program's first byte in memory, and the one after its code: the linker defines both.
    static __ehdr_start: u8;
    static etext: u8;
}

/// Lets go of the program's code and constants: what is needed again comes back from the page
/// cache, in pieces of 64 kB. For a process that is about to sleep for long.
pub fn release_program() {
    let (start, end) = ((&raw const __ehdr_start).addr(), (&raw const etext).addr());
    // SAFETY: up to the end of the code's last page all is mapped from the program's file and never
    // written: relocated data lies in the pages after. Read again it is the same, since a file that
    // is executed can't be changed (ETXTBSY). An error only means that the pages stay.
    unsafe { libc::madvise(start as *mut _, end - start, libc::MADV_DONTNEED) };
}
