//! `<run>/firewall.json`: which back end made the rules of a state root, and for which networks and
//! containers.
//!
//! The next command that needs the rules compares the packet filter's stamp with the stamp in this
//! file. If the stamps are equal, the rules count as unchanged, and the command does not read the
//! rules. The file is in the run root, because a reboot removes the rules too.

use miniserde::{Deserialize, Serialize};

use super::backend::BackendKind;
use crate::container_id::ContainerId;
use crate::store::OrEmpty;

/// The content of the file.
#[derive(Serialize, Deserialize)]
pub struct State {
    /// The back end that made the rules. Empty during `rebuild` and after a killed `rebuild`, when
    /// rules of two back ends may exist.
    pub backend: OrEmpty<BackendKind>,
    /// While the packet filter has this stamp, the rules count as unchanged. If empty, only the
    /// fingerprint is compared.
    pub stamp: OrEmpty<String>,
    /// A text that changes with mydocker's own rules. It is compared only if the stamp differs. If
    /// the stamp differs and this text is empty, the rules count as changed.
    pub fingerprint: OrEmpty<String>,
    pub ipv6: bool,
    /// The ids of the networks that have rules.
    pub networks: Vec<String>,
    /// The ids of the containers whose published ports have rules.
    pub owners: Vec<ContainerId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of an earlier version, whose code held these fields as strings.
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
