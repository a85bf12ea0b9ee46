//! Files whose content the caller supplies: secrets and configs of a compose file.
//!
//! The files are in the container's directory, are mounted read-only, and are removed with the
//! container. Only the host's root can reach that directory, so a file's mode and owner matter only
//! in the container.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use crate::container::record::{MountKind, MountRecord};
use crate::engine::options::FileOption;
use crate::error::{Context, Result};
use crate::raw;

/// Writes the files below `directory`, the container's directory. Returns their mounts. If the
/// process is killed before the container's record is written, `system check --repair` removes the
/// directory.
pub fn write(directory: &Path, files: &[FileOption]) -> Result<Vec<MountRecord>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let directory = directory.join("files");
    let made = fs::DirBuilder::new().mode(0o700).create(&directory);
    made.context(|| format!("make {}", directory.display()))?;
    let mut mounts = Vec::with_capacity(files.len());
    for (number, file) in files.iter().enumerate() {
        let path = directory.join(number.to_string());
        let put = || -> std::io::Result<()> {
            let mut options = OpenOptions::new();
            let mut opened = options.write(true).create_new(true).mode(0o600).open(&path)?;
            opened.write_all(&file.content)?;
            fchown(&opened, Some(file.uid), Some(file.gid))?;
            opened.set_permissions(fs::Permissions::from_mode(file.mode))?;
            opened.sync_all()
        };
        put().context(|| format!("write {}", path.display()))?;
        let source = raw::encode_path(&path);
        let mount = MountRecord::new(MountKind::Bind, Some(source), file.target.clone());
        mounts.push(MountRecord { read_only: true, ..mount });
    }
    Ok(mounts)
}
