//! A value for a file of a cgroup. `v1` and `v2` list the values, `Cgroup::plan` finds the
//! directory of each value, and this file writes the values.
//!
//! The name of a limit is that of the OCI runtime specification (`memory.limit`). The function
//! `name_limit` of the spec translates this name, so that an error names the user's flag or field.
//! Some files refuse a value that contradicts the present value of another file. Such a value is
//! written again after all others, so the two values may stand in either order.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Context, Result, fail};
use crate::runtime::spec;
use crate::sys::trace::Traced;

/// A value to write, with its controller and its file.
#[derive(Debug)]
pub struct Setting {
    pub controller: Cow<'static, str>,
    pub file: Cow<'static, str>,
    pub value: String,
    /// The name of the limit in the OCI runtime specification, for errors.
    pub limit: Cow<'static, str>,
    /// Whether the value is skipped if this host lacks the controller or the file.
    pub optional: bool,
    /// A file and a value for a kernel that lacks the first file.
    pub otherwise: Option<(&'static str, String)>,
}

/// A list of values, in the order of the writes.
#[derive(Default)]
pub struct Settings(Vec<Setting>);

impl Settings {
    /// Adds a value that is not optional. Returns the setting, so that the caller can change it.
    pub fn set(
        &mut self,
        controller: impl Into<Cow<'static, str>>,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
        limit: impl Into<Cow<'static, str>>,
    ) -> &mut Setting {
        self.0.push(Setting {
            controller: controller.into(),
            file: file.into(),
            value: value.to_string(),
            limit: limit.into(),
            optional: false,
            otherwise: None,
        });
        self.0.last_mut().expect("a setting")
    }

    /// The values, in the order of the writes.
    pub fn done(self) -> Vec<Setting> {
        self.0
    }
}

impl Setting {
    fn apply(&self, directory: &Path, cgroup: &spec::Cgroup) -> Result<()> {
        let name = || (cgroup.name_limit)(&self.limit);
        let first = (self.file.as_ref(), self.value.as_str());
        let second = self.otherwise.as_ref().map(|(file, value)| (*file, value.as_str()));
        for (file, value) in [Some(first), second].into_iter().flatten() {
            let path = directory.join(file);
            let opened = match OpenOptions::new().write(true).open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                opened => opened.context(|| format!("open {}", path.display()))?,
            };
            let written = rustix::io::write(&opened, value.as_bytes())
                .traced("write", || format!("{value} to {}", path.display()));
            return written
                .map(drop)
                .context(|| format!("{}: write '{value}' to {}", name(), path.display()));
        }
        if self.optional {
            return Ok(());
        }
        fail!("{} can't be applied: this kernel has no {}", name(), self.file)
    }
}

/// Writes all values to the cgroup in `directory`. A value that the kernel refuses with EINVAL is
/// written once more after the others. Fails if the second write of a value fails, if an open or a
/// write fails with another error, or if the kernel lacks the files of a value that is not
/// optional.
pub fn apply(settings: &[Setting], directory: &Path, cgroup: &spec::Cgroup) -> Result<()> {
    let mut refused = Vec::new();
    for setting in settings {
        match setting.apply(directory, cgroup) {
            Err(error) if error.errno() == Some(Errno::INVAL) => refused.push(setting),
            result => result?,
        }
    }
    refused.into_iter().try_for_each(|setting| setting.apply(directory, cgroup))
}

/// The text of a limit for files that accept `max`. A negative value means no limit.
pub fn or_max(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}
