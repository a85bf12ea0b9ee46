//! Cleans paths as text, without reading the file system. For an absolute path, the result is that
//! of Go's filepath.Clean.
//!
//! No symbolic link is resolved. Code that opens a path in a container resolves links by file
//! descriptor.

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
