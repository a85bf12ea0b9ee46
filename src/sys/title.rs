//! Overwrites this process's command line and environment as /proc shows them (proc_pid_cmdline(5),
//! proc_pid_environ(5)). The kernel reads both from the process's memory.
//!
//! A process of mydocker that enters a container must not show the host's paths, flags and
//! variables there. A monitor runs as long as its container and must not show the values of `-e` to
//! other users of the host. `std::env` reads the same memory, so only a process with one thread may
//! overwrite that memory. `replace` and `hide_variables` check the number of threads first, and std
//! gives out only copies of that memory, so these functions are safe.

use std::ffi::c_char;
use std::sync::OnceLock;

use super::clone::require_one_thread;
use super::procfs::read_record;

/// The start of the variable that `replace` keeps if `keep_path` is set. A monitor finds programs
/// of the host by PATH.
const PATH: &[u8] = b"PATH=";

/// Overwrites the command line with `title` and the environment with zeroes, except PATH if
/// `keep_path` is set. `std::env` then has meaningless arguments and at most the variable PATH.
/// Does nothing if /proc/self/stat cannot be read, or does not show the environment directly after
/// the arguments. Panics if this process has a second thread.
pub fn replace(title: &[u8], keep_path: bool) {
    let Some(stat) = Stat::read() else { return };
    assert_eq!(stat.threads, 1, "the title is replaced in a process with one thread");
    let (start, end) = (stat.args.0, stat.environment.1);
    // The kernel puts the environment directly after the arguments.
    if start == 0 || stat.args.1 <= start || stat.environment.0 != stat.args.1 || end < stat.args.1
    {
        return;
    }
    // SAFETY: by /proc/self/stat these bytes of the stack hold the strings. The bytes stay mapped
    // and writable as long as the process runs, and no second thread reads them.
    let area = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, end - start) };
    let arguments = stat.args.1 - start;
    let variables = area[arguments..].split(|&byte| byte == 0);
    let path =
        variables.filter(|_| keep_path).find(|pair| pair.starts_with(PATH)).map(<[u8]>::to_vec);
    area.fill(0);
    // Put PATH at the end of the area, with its final zero. A title that is longer than the
    // arguments continues in the environment. The title then overwrites the last zero of the
    // arguments, so the kernel shows up to a page of the title.
    let kept = path.as_deref().map_or(0, |path| path.len() + 1);
    let room = area.len() - kept;
    let length = title.len().min(room.saturating_sub(1));
    area[..length].copy_from_slice(&title[..length]);
    area[room..room + kept.saturating_sub(1)].copy_from_slice(path.as_deref().unwrap_or_default());
    let first = if kept > 0 { (start + room) as *mut c_char } else { std::ptr::null_mut() };
    // SAFETY: `environ` is the kernel's vector: a pointer for each variable, then a null pointer.
    // If `first` is not null, the vector has at least one variable. PATH ends in a zero byte. No
    // second thread reads the vector.
    unsafe {
        if !environ.is_null() {
            *environ = first;
            if !first.is_null() {
                *environ.add(1) = std::ptr::null_mut();
            }
        }
    }
}

unsafe extern "C" {
    /// The vector of the environment (environ(7)).
    static mut environ: *mut *mut c_char;
}

/// The addresses of the arguments and of the environment, if `remember` was called.
static ADDRESSES: OnceLock<[usize; 4]> = OnceLock::new();

/// Remembers fields 48 to 51 of /proc/self/stat, so that this process and its children need not
/// read the file again.
pub(super) fn remember(addresses: [u64; 4]) {
    let _ = ADDRESSES.set(addresses.map(|address| address as usize));
}

/// Fields of /proc/self/stat (proc_pid_stat(5)).
struct Stat {
    /// The number of threads: field 20.
    threads: usize,
    /// Start and end addresses: fields 48 and 49 for `args`, 50 and 51 for `environment`.
    args: (usize, usize),
    environment: (usize, usize),
}

impl Stat {
    fn read() -> Option<Stat> {
        if let (Some(&[args, end, environment, last]), Ok(())) =
            (ADDRESSES.get(), require_one_thread())
        {
            return Some(Stat { threads: 1, args: (args, end), environment: (environment, last) });
        }
        let stat = read_record("/proc/self/stat").ok()?;
        let after_name = stat.iter().rposition(|&byte| byte == b')')? + 2;
        let text = std::str::from_utf8(stat.get(after_name..)?).ok()?;
        let field = |number: usize| text.split_whitespace().nth(number - 3)?.parse().ok();
        Some(Stat {
            threads: field(20)?,
            args: (field(48)?, field(49)?),
            environment: (field(50)?, field(51)?),
        })
    }
}

/// Overwrites the values of variables in the arguments (`-e A=x`, `--env=A=x`, `--build-arg A=x`)
/// with asterisks. The caller must have copied the values before. Does nothing if this process has
/// a second thread, or if /proc/self/stat cannot be read.
pub fn hide_variables() {
    let Some(stat) = Stat::read() else { return };
    let (start, end) = stat.args;
    if start == 0 || end <= start || stat.threads != 1 {
        return;
    }
    // SAFETY: by /proc/self/stat these bytes of the stack hold the arguments. The bytes stay mapped
    // and writable, and no second thread reads them.
    let area = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, end - start) };
    let mut is_value = false;
    for argument in area.split_mut(|&byte| byte == 0) {
        let flags = [&b"--env="[..], b"--build-arg=", b"--e=", b"-e"];
        let inline = flags.into_iter().find(|flag| argument.starts_with(flag));
        // The last letter of a group of flags may be `e`, as in `-ite A=x`.
        let alone = match &*argument {
            [b'-', b'-', long @ ..] => matches!(long, b"env" | b"build-arg" | b"e"),
            [b'-', .., last] => *last == b'e',
            _ => false,
        };
        let from = inline.filter(|_| !alone && !is_value).map_or(0, <[u8]>::len);
        if (is_value || from > 0)
            && let Some(at) = argument[from..].iter().position(|&byte| byte == b'=')
        {
            argument[from + at + 1..].fill(b'*');
        }
        is_value = alone && !is_value;
    }
}

#[cfg(test)]
mod tests {
    /// `replace` panics, because the other thread may read the arguments at the same time.
    #[test]
    #[should_panic = "in a process with one thread"]
    fn no_title_is_replaced_beside_another_thread() {
        let (_end, ended) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || ended.recv());
        super::replace(b"title", true);
    }
}
