//! The id of a container: 64 random hexadecimal digits, chosen by `create`. The id names the
//! container's directories and cgroups, so no unchecked text may take its place: only
//! [`ContainerId::parse`] makes a value of this type from a text. `container::names` finds the id
//! for a name or a prefix that a user types.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, Result, fail};
use crate::hex::{random_digits, short};
use crate::store::stored_as_text;

/// A container's id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

stored_as_text!(ContainerId);

impl ContainerId {
    /// A new random id. Fails if the kernel returns no random bytes.
    pub fn new() -> Result<ContainerId> {
        random_digits().map(ContainerId)
    }

    /// The id in `text`; `None` unless the text is 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<ContainerId> {
        let is_id =
            text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_id.then(|| ContainerId(text.to_owned()))
    }

    /// An id that no container has, for an example of a firewall rule.
    pub fn of_none() -> ContainerId {
        ContainerId("0".repeat(64))
    }

    /// The first 12 digits, as Docker prints ids.
    pub fn short(&self) -> &str {
        short(&self.0)
    }
}

impl Deref for ContainerId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for ContainerId {
    fn as_ref(&self) -> &Path {
        self.0.as_ref()
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ContainerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<ContainerId> {
        match ContainerId::parse(text) {
            Some(id) => Ok(id),
            None => fail!("'{text}' is no container's id"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_64_lower_case_digits_are_an_id() {
        let id = ContainerId::new().unwrap();
        assert_eq!(ContainerId::parse(&id), Some(id.clone()));
        assert_eq!(id.short().len(), 12);
        let json = miniserde::json::to_string(&id);
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(miniserde::json::from_str::<ContainerId>(&json).unwrap(), id);
        for bad in ["", "..", &id[..63], &id.to_uppercase().replace('0', "A"), &format!("{id}0")] {
            assert_eq!(ContainerId::parse(bad), None, "{bad}");
            assert!(miniserde::json::from_str::<ContainerId>(&format!("\"{bad}\"")).is_err());
        }
    }
}
