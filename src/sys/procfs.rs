//! Reads files of /proc and /sys.
//!
//! A process in a container controls the length of some of these files, such as its arguments
//! (proc_pid_cmdline(5)) or its interfaces (proc_pid_net(5)). `read_start` bounds the memory. The
//! kernel produces such a file piece by piece as a program reads it, so the part beyond the bound
//! costs nothing.
//!
//! Other files hold one short record. `read_record` needs three system calls for such a file.
//! `std::fs::read` needs more, because it cannot know the length.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// The size of the buffer for a record, in bytes. The kernel returns a record of this size by one
/// read(2).
const MAX_RECORD: usize = 4096;

/// Reads a file that holds one record of less than 4096 bytes, such as proc_pid_stat(5). Fails with
/// the errors of open(2) and read(2), and with EFBIG if the record may be longer.
pub fn read_record(path: impl AsRef<Path>) -> Result<Vec<u8>, Errno> {
    let file = openat(CWD, path.as_ref(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut record = Vec::with_capacity(MAX_RECORD);
    let length = rustix::io::read(&file, rustix::buffer::spare_capacity(&mut record))?;
    if length < MAX_RECORD { Ok(record) } else { Err(Errno::FBIG) }
}

/// Reads a table as text, such as proc_pid_mountinfo(5). Starts with a buffer of 8 KiB, which saves
/// system calls. Fails with the errors of open(2) and read(2), and if the table is not UTF-8.
pub fn read_table(path: impl AsRef<Path>) -> io::Result<String> {
    let mut table = String::with_capacity(2 * MAX_RECORD);
    File::open(path)?.read_to_string(&mut table)?;
    Ok(table)
}

/// Reads at most `limit` bytes from the start of a file. Fails with the errors of open(2) and
/// read(2).
pub fn read_start(path: impl AsRef<Path>, limit: usize) -> io::Result<Vec<u8>> {
    read_start_of(File::open(path)?, limit)
}

/// As [`read_start`], for an open file, from its current offset.
pub fn read_start_of(file: impl Into<File>, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.into().take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
