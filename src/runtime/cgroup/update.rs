//! Changes the limits of a running container (`update`), and undoes the changes if a step fails.
//!
//! If the earlier limits are known, only files whose values differ are written. The former values
//! are read first, and written back if a later step fails. On v1 a container of the engine has
//! directories only for the controllers that it needed at its start. If a limit needs another
//! controller, a directory for this controller is created now, and the processes are moved into it.
//! On v2 the controller is delegated to the container's one directory. If a container on a
//! hybrid host has no v2 directory, the directory is created, but no process is moved into it.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::layout::Layout;
use super::setting::{self, Setting};
use super::{Directory, Plan, v1, v2};
use crate::error::{Context, Error, Result, fail};
use crate::runtime::spec;

/// The maximum number of rounds that list the container's processes and move the new ones. Each
/// round after the first moves the processes that have started since the last list. A round
/// that finds no new process is the last.
const MAX_PASSES: u32 = 64;

/// The planned changes.
pub struct Update<'a> {
    cgroup: &'a spec::Cgroup,
    directories: Vec<Directory>,
}

/// The changes that `Update::apply` has made.
#[derive(Default)]
pub struct Applied {
    /// The files with their former values, in the order of the writes.
    former: Vec<(PathBuf, Vec<u8>)>,
    /// The directories that were created.
    made: Vec<PathBuf>,
}

impl Update<'_> {
    /// Finds a directory for each limit of `after` whose value differs from `before`, or for all
    /// limits if `before` is `None`. Changes nothing. Fails if the hierarchies cannot be read, if
    /// this host lacks the controller of a limit that is not optional, or if a limit cannot be
    /// converted for v2.
    pub fn plan<'a>(before: Option<&spec::Cgroup>, after: &'a spec::Cgroup) -> Result<Update<'a>> {
        let layout = Layout::detect()?;
        let place = |cgroup: &spec::Cgroup| -> Result<Vec<Directory>> {
            let name = Path::new(cgroup.path.trim_matches('/'));
            let mut plan = Plan { layout, name, directories: Vec::new() };
            plan.place_limits(cgroup)?;
            Ok(plan.directories)
        };
        let known = before.map_or(Ok(Vec::new()), place)?;
        let mut directories = place(after)?;
        for directory in &mut directories {
            let known = known.iter().find(|known| known.path == directory.path);
            let is_same = |setting: &Setting, known: &Setting| {
                (&known.file, &known.value) == (&setting.file, &setting.value)
            };
            let is_set = |setting: &Setting| {
                known.is_some_and(|known| known.settings.iter().any(|it| is_same(setting, it)))
            };
            directory.settings.retain(|setting| !is_set(setting));
        }
        directories.retain(|directory| !directory.settings.is_empty());
        Ok(Update { cgroup: after, directories })
    }

    /// The directories that `apply` will create.
    pub fn new_directories(&self) -> Vec<String> {
        let new = self.directories.iter().filter(|directory| !directory.path.exists());
        new.map(|directory| directory.path.display().to_string()).collect()
    }

    /// Fails on v2 if the new memory limit is below the present use, because the kernel could kill
    /// processes. On v1 the kernel refuses a limit for which it cannot free enough memory.
    pub fn refuse_below_use(&self) -> Result<()> {
        let Some(limit @ 0..) = self.cgroup.resources.memory else { return Ok(()) };
        for directory in &self.directories {
            let current = fs::read_to_string(directory.path.join("memory.current"));
            let current = current.ok().and_then(|text| text.trim().parse::<i64>().ok());
            if let Some(current) = current.filter(|current| *current > limit) {
                let name = (self.cgroup.name_limit)("memory.limit");
                fail!("{name} {limit} is less than the {current} bytes that are in use");
            }
        }
        Ok(())
    }

    /// Writes the limits for a container whose processes are in `cgroups`. If a step fails, undoes
    /// the changes and returns the error.
    pub fn apply(&self, cgroups: &[String]) -> Result<Applied> {
        let mut applied = Applied::default();
        let mut each = self.directories.iter();
        match each.try_for_each(|directory| applied.write(directory, self.cgroup, cgroups)) {
            Ok(()) => Ok(applied),
            Err(error) => {
                applied.undo();
                Err(error)
            }
        }
    }
}

impl Applied {
    fn write(
        &mut self,
        directory: &Directory,
        cgroup: &spec::Cgroup,
        cgroups: &[String],
    ) -> Result<()> {
        let path = &directory.path;
        let is_new = !path.exists();
        if is_new {
            self.made.push(path.clone());
        }
        match &directory.hierarchy {
            Some(hierarchy) => v1::make(hierarchy, path)?,
            None => v2::make(&directory.mount, path, &directory.controllers, &[])?,
        }
        for setting in &directory.settings {
            let otherwise = setting.otherwise.iter().map(|(file, _)| *file);
            for file in std::iter::once(setting.file.as_ref()).chain(otherwise) {
                let file = path.join(file);
                if let Ok(former) = fs::read(&file) {
                    self.former.push((file, former));
                }
            }
        }
        setting::apply(&directory.settings, path, cgroup).map_err(|error| match error.errno() {
            Some(Errno::BUSY) => {
                Error::new(format!("{error}; the container uses more memory and can free no more"))
            }
            _ => error,
        })?;
        if is_new && directory.hierarchy.is_some() { move_processes(cgroups, path) } else { Ok(()) }
    }

    /// Writes the former values back. A file whose content has several lines, such as `io.max`, may
    /// keep its new value, because the kernel accepts one line in each write. Removes the created
    /// directories; a directory with processes stays until the container ends. Ignores errors,
    /// because the user must see the first failure.
    pub fn undo(self) {
        // In the second pass a file accepts a value that contradicted another file's value in the
        // first pass.
        let mut refused = self.former;
        for _ in 0..2 {
            refused.retain(|(path, former)| fs::write(path, former).is_err());
        }
        for path in self.made {
            let _ = fs::remove_dir(path);
        }
    }
}

/// Moves all processes in `cgroups` into the v1 directory `to`.
fn move_processes(cgroups: &[String], to: &Path) -> Result<()> {
    let target = to.join("cgroup.procs");
    let mut moved = HashSet::new();
    for _ in 0..MAX_PASSES {
        let mut left = super::members(cgroups);
        left.retain(|&pid| moved.insert(pid));
        if left.is_empty() {
            return Ok(());
        }
        for pid in left {
            match fs::OpenOptions::new()
                .write(true)
                .open(&target)
                .map(|file| rustix::io::write(&file, pid.to_string().as_bytes()))
            {
                // ESRCH: the process has ended.
                Ok(Ok(_) | Err(Errno::SRCH)) => {}
                Ok(Err(error)) => {
                    return Err(error)
                        .context(|| format!("move process {pid} to {}", to.display()));
                }
                Err(error) => return Err(error).context(|| format!("open {}", target.display())),
            }
        }
    }
    fail!("the container starts processes faster than they can be moved to {}", to.display())
}
