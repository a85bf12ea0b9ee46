//! The destination of an archive: stdout, or a file that appears only when it is complete.
//!
//! A regular file has no name while it is written (O_TMPFILE of open(2)) and gets its name at the
//! end. So a failed or killed `save` or `export` leaves an older file unchanged and no new file
//! beside the older one. On a file system without unnamed files, and elsewhere just before the
//! final rename, the new file has a temporary name. If the process is killed then, this file stays.
//! Any other destination, such as a FIFO or a terminal, is written directly.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat, renameat, unlinkat};

use crate::error::{Context, Result};
use crate::meter;
use crate::sys::stdio::{Waiting, own_stdout};

/// The bytes that are buffered before a write.
const BUFFER: usize = 256 << 10;

/// A writer for an archive.
pub(super) struct Output {
    stream: BufWriter<Waiting<OwnedFd>>,
    rename: Option<Rename>,
}

/// The name that a file gets at the end.
struct Rename {
    /// The open directory of `path`, because an export leaves the mount namespace in which `path`
    /// is valid.
    directory: OwnedFd,
    temporary: String,
    path: PathBuf,
    /// True if the file has its temporary name.
    is_named: bool,
}

impl Output {
    /// Opens the destination; `None` is stdout. An existing regular file is replaced at the end,
    /// also if `path` is a link to the file. A FIFO, a device and the file that stdout is are
    /// written directly. Fails if the file's directory does not exist.
    pub fn open(path: Option<&Path>) -> Result<Output> {
        let Some(path) = path else {
            let stdout = own_stdout().context(|| "duplicate the standard output")?;
            return Ok(Output::new(stdout, None));
        };
        let context = || format!("write {}", path.display());
        let path = &match std::fs::metadata(path) {
            Ok(found) if is_stdout(&found) => return Output::open(None),
            Ok(found) if !found.is_file() => {
                let file = OpenOptions::new().write(true).open(path).context(context)?;
                return Ok(Output::new(Waiting(file.into()), None));
            }
            // Replace the file that a link leads to, not the link.
            Ok(_) => std::fs::canonicalize(path).context(context)?,
            Err(_) => path.to_owned(),
        };
        let name = path.file_name().unwrap_or_default().to_owned();
        let temporary = format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id());
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, parent.unwrap_or(Path::new(".")), flags, Mode::empty());
        let directory = directory.context(context)?;
        // Remove a file or link that has the temporary name. A killed process may have left a file,
        // and in a directory such as /tmp another user may have made a link.
        let _ = unlinkat(&directory, &temporary, AtFlags::empty());
        // An image or a container may contain secrets, so only the owner may read the archive.
        let mode = Mode::from_raw_mode(0o600);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let (file, is_named) = match openat(&directory, ".", flags | OFlags::TMPFILE, mode) {
            Ok(file) => (file, false),
            Err(_) => {
                let named = flags | OFlags::CREATE | OFlags::EXCL;
                (openat(&directory, &temporary, named, mode).context(context)?, true)
            }
        };
        let rename = Rename { directory, temporary, path: path.to_owned(), is_named };
        Ok(Output::new(Waiting(file), Some(rename)))
    }

    fn new(file: Waiting<OwnedFd>, rename: Option<Rename>) -> Output {
        Output { stream: BufWriter::with_capacity(BUFFER, file), rename }
    }

    /// Writes the buffered bytes, and gives a regular file its final name.
    pub fn finish(mut self) -> Result<()> {
        self.stream.flush().context(|| "write the archive")?;
        if let Some(Rename { directory, temporary, path, is_named }) = &mut self.rename {
            let context = || format!("write {}", path.display());
            if !*is_named {
                // linkat(2) cannot replace an older file, so link the file to its temporary name,
                // and then rename the file.
                let file = format!("/proc/self/fd/{}", self.stream.get_ref().0.as_raw_fd());
                let flags = AtFlags::SYMLINK_FOLLOW;
                linkat(CWD, file, &*directory, &*temporary, flags).context(context)?;
                *is_named = true;
            }
            let name = path.file_name().unwrap_or_default();
            renameat(&*directory, &*temporary, &*directory, name).context(context)?;
            self.rename = None;
        }
        Ok(())
    }
}

/// Whether a file is the one that stdout is, as for /dev/stdout.
fn is_stdout(file: &Metadata) -> bool {
    rustix::fs::fstat(rustix::stdio::stdout())
        .is_ok_and(|stdout| (stdout.st_dev, stdout.st_ino) == (file.dev(), file.ino()))
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(Rename { directory, temporary, is_named: true, .. }) = &self.rename {
            // Ignore errors here: the user must see the first failure.
            let _ = unlinkat(directory, temporary, AtFlags::empty());
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes).inspect(|&count| meter::moved(count))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
