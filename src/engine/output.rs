//! The destination of an archive: stdout, or a file that appears only when it is complete. A
//! regular file is written under a temporary name and renamed at the end, so a failed `save` or
//! `export` leaves an older file as it was. Anything else, such as a fifo or /dev/stdout, is
//! written directly.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};
use crate::meter;
use crate::sys::stdio::{Waiting, own_stdout};

const BUFFER: usize = 256 << 10;

pub(super) struct Output {
    stream: BufWriter<Waiting<OwnedFd>>,
    /// The temporary and the final name.
    rename: Option<(PathBuf, PathBuf)>,
}

impl Output {
    /// Opens the destination; `None` is stdout. An existing regular file is replaced at the end;
    /// anything else (a fifo, /dev/stdout) is written directly.
    pub fn open(path: Option<&Path>) -> Result<Output> {
        let Some(path) = path else {
            let stdout = own_stdout().context(|| "duplicate the standard output")?;
            return Ok(Output::new(stdout, None));
        };
        let context = || format!("write {}", path.display());
        let special = std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        if special {
            let file = OpenOptions::new().write(true).open(path).context(context)?;
            return Ok(Output::new(Waiting(file.into()), None));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        // In a directory that others can write to, such as /tmp, another user may have put a link at that
        // name. The name belongs to that user or to a killed process.
        let _ = std::fs::remove_file(&temporary);
        // An image or a container may hold secrets, so only the owner can read the archive.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let file = Waiting(file.context(context)?.into());
        Ok(Output::new(file, Some((temporary, path.to_owned()))))
    }

    fn new(file: Waiting<OwnedFd>, rename: Option<(PathBuf, PathBuf)>) -> Output {
        Output { stream: BufWriter::with_capacity(BUFFER, file), rename }
    }

    /// Gives the complete file its final name.
    pub fn finish(mut self) -> Result<()> {
        self.stream.flush().context(|| "write the archive")?;
        if let Some((temporary, path)) = &self.rename {
            std::fs::rename(temporary, path).context(|| format!("write {}", path.display()))?;
            self.rename = None;
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((temporary, _)) = &self.rename {
            // The user must see the first failure.
            let _ = std::fs::remove_file(temporary);
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
