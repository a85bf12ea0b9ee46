//! What the values of a compose file depend on besides the file itself: the directory that relative
//! paths start from, and the home directory that `~` stands for. An included file has a scope of its
//! own.

use std::path::PathBuf;

use crate::path::clean;

/// What the values of a file depend on.
pub struct Scope {
    /// The directory that relative paths start from.
    pub dir: PathBuf,
    /// `$HOME`, for `~`.
    pub home: Option<String>,
}

impl Scope {
    /// An absolute host path, without `.` and `..`.
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
