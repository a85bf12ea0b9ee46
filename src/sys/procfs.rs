//! Reads the start of a file of /proc whose length a process in a container controls, such as its
//! arguments (proc_pid_cmdline(5)) or its interfaces (proc_pid_net(5)). The limit bounds the
//! memory. The kernel produces such a file piece by piece as a program reads it, so the rest costs
//! nothing.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

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
