//! `<run>/firewall.json`: the rules of a state root as mydocker last left them.
//!
//! The next command compares the packet filter with it, and so finds out without a look at the
//! rules that no one has changed them. It is in the run root, because a reboot removes the rules
//! too.

use miniserde::{Deserialize, Serialize};

use super::backend::BackendKind;
use crate::store::OrEmpty;

/// The content of the file.
#[derive(Serialize, Deserialize)]
pub struct State {
    /// The back end that made the rules. None while all rules are made again: some may still be of
    /// the other back end.
    pub backend: OrEmpty<BackendKind>,
    /// Cheap to get; if it is still the same, no one has changed the rules. None equals no later one.
    pub stamp: OrEmpty<String>,
    /// A digest of the rules, for when the stamp has changed. None equals no later one.
    pub fingerprint: OrEmpty<String>,
    pub ipv6: bool,
    /// The ids of the networks that have their rules.
    pub networks: Vec<String>,
    /// The ids of the containers whose ports have their rules.
    pub owners: Vec<String>,
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
        assert!(state.backend.0 == Some(BackendKind::Nftables));
        assert!(state.stamp.as_deref() == Some("b nft 7") && state.fingerprint.is_none());
        let cut_short = OLD.replace("nftables", "");
        let state: State = miniserde::json::from_str(&cut_short).unwrap();
        assert!(state.backend.is_none());
        assert_eq!(miniserde::json::to_string(&state), cut_short);
        assert!(miniserde::json::from_str::<State>(&OLD.replace("nftables", "pf")).is_err());
    }
}
