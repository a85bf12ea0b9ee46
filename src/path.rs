//! Paths as text, cleaned without reading the file system, as Go's filepath.Clean does.
//!
//! What a path means in a container is found there, by file descriptor: links count only then.

/// An absolute path without `.`, `..` and doubled slashes; a relative one is taken from the root.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
