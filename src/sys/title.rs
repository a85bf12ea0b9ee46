//! What others see of this process's command line and environment in /proc (proc_pid_cmdline(5),
//! proc_pid_environ(5)): both are read from its own memory, where they can be overwritten.
//!
//! A process of ours that is seen inside a container must not show the host's paths, flags and
//! variables there.

/// Overwrites the command line with `title` and the environment with zeroes. Nothing may read
/// `std::env` afterwards.
pub fn replace(title: &[u8]) {
    let Some((args, environment)) = areas() else { return };
    overwrite(args, title);
    overwrite(environment, &[]);
}

/// Start and end of both areas (proc_pid_stat(5), fields 48 to 51).
fn areas() -> Option<((usize, usize), (usize, usize))> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rfind(')')? + 2;
    let mut fields = stat.get(after_name..)?.split_whitespace().skip(45);
    let mut next = || fields.next()?.parse::<usize>().ok();
    Some(((next()?, next()?), (next()?, next()?)))
}

fn overwrite((start, end): (usize, usize), text: &[u8]) {
    if start == 0 || end <= start {
        return;
    }
    let length = end - start;
    let text = &text[..text.len().min(length - 1)];
    // SAFETY: the kernel says that these bytes of our own stack hold the strings; they stay mapped
    // and writable for the life of the process, and nobody else looks at them (see `replace`).
    unsafe {
        std::ptr::write_bytes(start as *mut u8, 0, length);
        std::ptr::copy_nonoverlapping(text.as_ptr(), start as *mut u8, text.len());
    }
}
