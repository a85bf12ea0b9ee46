//! Resolves the paths in a compose file. A scope says where a relative path starts, usually at the
//! project directory, and which home directory a leading `~` means.
//!
//! An included file has its own scope (compose specification, "Include"). Variables are not part of
//! the scope: `interpolate` replaces them before paths are resolved.

use std::path::PathBuf;

use crate::path::clean;

/// The directories from which paths of a file are resolved.
pub struct Scope {
    /// The directory for relative paths.
    pub dir: PathBuf,
    /// `$HOME`, the directory for `~`. `None` leaves `~` as it is.
    pub home: Option<String>,
}

impl Scope {
    /// Returns `text` as an absolute path of the host, without `.` and `..`.
    pub fn path(&self, text: &str) -> String {
        let path = match (text.strip_prefix('~'), &self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                PathBuf::from(format!("{home}{rest}"))
            }
            _ => self.dir.join(text),
        };
        clean(&path.to_string_lossy())
    }
}
