//! `--storage-opt size=`: a limit on what a container writes to its root, by a project quota of the
//! file system that holds the state root.
//!
//! The overlay's upper and work directories belong to one project, whose number is in the file
//! `quota` beside these directories. A project's number must be unique on its file system, but the
//! kernel does not assign the numbers. So the container takes the first free number of those in its
//! random id. The limit does not count volumes, logs and the record, because these do not belong to
//! the project.

use std::fs::File;
use std::os::fd::AsFd;

use super::files::Files;
use crate::container_id::ContainerId;
use crate::error::{Context, Result, fail};
use crate::store::{self, Durability};
use crate::sys::quota;

/// The smallest number of a container's project. Administrators usually choose smaller numbers,
/// from 1, in /etc/projid.
const LEAST: u32 = 1 << 20;

/// Limits the empty upper and work directories of container `id` to `bytes` together.
pub fn limit(files: &Files, id: &ContainerId, bytes: u64) -> Result<()> {
    let directory = open(files)?;
    let (directory, scratch) = (directory.as_fd(), files.quota_device());
    match quota::is_enforced(directory, &scratch) {
        Ok(true) => {}
        // File systems without project quotas return different errors, and none of these says more
        // than this message.
        Ok(false) | Err(_) => fail!(
            "the file system of {} enforces no limits of projects: mount XFS with -o prjquota, or \
             ext4 with the features project and quota and -o prjquota; or keep the data on a volume \
             whose file system has the size that you want",
            files.dir.parent().unwrap_or(&files.dir).display()
        ),
    }
    for project in numbers(id) {
        if !quota::is_free(directory, &scratch, project).context(|| "look at a quota")? {
            continue;
        }
        // Write the number before the limit is set, so that the removal of the container can clear
        // the limit.
        let text = project.to_string();
        store::replace(&files.quota(), text.as_bytes(), Durability::Lazy)?;
        for path in [files.upper(), files.work()] {
            let opened = File::open(&path).context(|| format!("open {}", path.display()))?;
            quota::set_project(opened.as_fd(), project)
                .context(|| format!("give {} a project", path.display()))?;
        }
        return quota::set_limit(directory, &scratch, project, bytes)
            .context(|| "set the quota of a project");
    }
    fail!("no number of a project was found that is not in use")
}

/// Clears the limit of a container that is about to be removed.
pub fn clear(files: &Files) -> Result<()> {
    let text = match std::fs::read_to_string(files.quota()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        text => text.context(|| format!("read {}", files.quota().display()))?,
    };
    let Ok(project) = text.trim().parse() else { return Ok(()) };
    let directory = open(files)?;
    // Ignore a failure: if the file system was mounted again without quotas, there is no limit.
    let _ = quota::set_limit(directory.as_fd(), &files.quota_device(), project, 0);
    Ok(())
}

fn open(files: &Files) -> Result<File> {
    File::open(&files.dir).context(|| format!("open {}", files.dir.display()))
}

/// The numbers of projects in an id, 32 bits each. Leaves out numbers below `LEAST`, and u32::MAX,
/// which is not the number of a project.
fn numbers(id: &ContainerId) -> impl Iterator<Item = u32> {
    let words = id.as_bytes().chunks(8).filter_map(|digits| std::str::from_utf8(digits).ok());
    let numbers = words.filter_map(|digits| u32::from_str_radix(digits, 16).ok());
    numbers.filter(|number| (LEAST..u32::MAX).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_are_numbers_of_the_id() {
        let id = "00000001ffffffff0123456789abcdef".to_owned() + &"0".repeat(32);
        let id: ContainerId = id.parse().unwrap();
        assert_eq!(numbers(&id).collect::<Vec<_>>(), [0x0123_4567, 0x89ab_cdef]);
    }
}
