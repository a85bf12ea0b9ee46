//! The syntax of the names that users give to containers, networks and volumes. Each such name also
//! becomes a file name in the state root, so it must not contain `/` and must not start with a dot.
//!
//! The syntax is that of Docker's container names, `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, except that one
//! character is enough.

/// Whether `name` has the syntax `[a-zA-Z0-9][a-zA-Z0-9_.-]*` and at most `max` bytes.
pub fn is_valid(name: &str, max: usize) -> bool {
    name.len() <= max
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}
