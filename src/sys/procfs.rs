//! Files of /proc whose length a process controls, read up to a bound: its arguments
//! (proc_pid_cmdline(5)), its interfaces (proc_pid_net(5)). The kernel produces such a file piece by
//! piece as it is read, so the unread rest costs nothing.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The first `limit` bytes of a file.
pub fn read_start(path: impl AsRef<Path>, limit: usize) -> io::Result<Vec<u8>> {
    read_start_of(File::open(path)?, limit)
}

/// As [`read_start`], for an open file.
pub fn read_start_of(file: impl Into<File>, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.into().take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
