//! Cleans paths as text, without reading the file system, like Go's filepath.Clean.
//!
//! Symbolic links are not resolved here. Code that opens a path in a container resolves them by
//! file descriptor.

/// The path without `.`, `..` and double slashes. A relative path is resolved from `/`.
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
