//! `<run>/firewall.json`: the rules of a state root as mydocker last left them.
//!
//! The next command compares the packet filter with it, and so finds out without a look at the
//! rules that no one has changed them. It is in the run root, because a reboot removes the rules
//! too. In the file an empty text stands for a value that is missing.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use miniserde::{Deserialize, Serialize};

use super::backend::BackendKind;
use crate::error::{Error, Result};
use crate::store::stored_as_text;

/// The content of the file.
#[derive(Serialize, Deserialize)]
pub struct State {
    pub backend: Maker,
    pub stamp: Mark,
    pub fingerprint: Mark,
    pub ipv6: bool,
    /// The ids of the networks that have their rules.
    pub networks: Vec<String>,
    /// The ids of the containers whose ports have their rules.
    pub owners: Vec<String>,
}

/// The back end that made the rules. None while all rules are made again: some may still be of the
/// other back end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Maker(pub Option<BackendKind>);

/// A stamp or a fingerprint of the rules, which no later one equals if it is none.
#[derive(PartialEq, Eq)]
pub struct Mark(pub Option<String>);

stored_as_text!(Maker, Mark);

impl fmt::Display for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or("", BackendKind::name))
    }
}

impl FromStr for Maker {
    type Err = Error;

    fn from_str(text: &str) -> Result<Maker> {
        if text.is_empty() { Ok(Maker(None)) } else { text.parse().map(|kind| Maker(Some(kind))) }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or_default())
    }
}

impl FromStr for Mark {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Mark, Infallible> {
        Ok(Mark(Some(text.to_owned()).filter(|text| !text.is_empty())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As mydocker wrote it while all of these were strings in the code.
    const OLD: &str = r#"{"backend":"nftables","stamp":"b nft 7","fingerprint":"","ipv6":false,"networks":["ab12"],"owners":[]}"#;

    #[test]
    fn an_old_state_is_read_and_written_as_it_was() {
        let state: State = miniserde::json::from_str(OLD).unwrap();
        assert_eq!(miniserde::json::to_string(&state), OLD);
        assert!(state.backend == Maker(Some(BackendKind::Nftables)));
        assert!(state.stamp == Mark(Some("b nft 7".to_owned())) && state.fingerprint == Mark(None));
        let cut_short = OLD.replace("nftables", "");
        let state: State = miniserde::json::from_str(&cut_short).unwrap();
        assert!(state.backend == Maker(None));
        assert_eq!(miniserde::json::to_string(&state), cut_short);
        assert!(miniserde::json::from_str::<State>(&OLD.replace("nftables", "pf")).is_err());
    }
}
