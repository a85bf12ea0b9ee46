//! Parses `--cap-add`, `--cap-drop` and `--security-opt` in Docker's syntax. This file checks only
//! the form of a value; `engine::confine` checks whether this host supports the value (the kernel's
//! capabilities, AppArmor, SELinux). Capability names are those of capabilities(7), with or without
//! `CAP_`.

use std::path::PathBuf;

use crate::cli::parse::parse_bool;
use crate::engine::options::capabilities;
use crate::engine::options::{SeccompOption, SecurityOptions};
use crate::error::{Result, fail};
use crate::raw;

use super::mount::parse_host_path;

/// Parses `NET_ADMIN`, `cap_net_admin` or `ALL`. Returns `CAP_NET_ADMIN` or `ALL`. Fails on a name
/// that is not in capabilities(7).
pub fn parse_capability(text: &str) -> Result<String> {
    if text.eq_ignore_ascii_case("ALL") || text.eq_ignore_ascii_case("CAP_ALL") {
        return Ok("ALL".to_owned());
    }
    match capabilities::bit(text) {
        Some(bit) => Ok(format!("CAP_{}", capabilities::NAMES[bit.trailing_zeros() as usize])),
        None => fail!("unknown capability '{text}'; capabilities(7) names them, as in NET_ADMIN"),
    }
}

/// Sets `no-new-privileges`, `seccomp=…`, `apparmor=…`, `label=…` or `systempaths=unconfined`.
/// Fails on any other option and on a bad value.
pub fn set_security_option(options: &mut SecurityOptions<PathBuf>, text: &str) -> Result<()> {
    // Docker's older syntax has ':' instead of '='. A file name can contain these characters too,
    // so split at the first one.
    let (key, value) = match text.find(['=', ':']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    match (key, value) {
        ("no-new-privileges", None) => options.no_new_privileges = true,
        ("no-new-privileges", Some(value)) => options.no_new_privileges = parse_bool(key, value)?,
        ("seccomp", Some("unconfined")) => options.seccomp = SeccompOption::Unconfined,
        ("seccomp", Some("builtin" | "default")) => options.seccomp = SeccompOption::Default,
        ("seccomp", Some(file)) if !file.is_empty() => {
            options.seccomp = SeccompOption::Profile(raw::path(&parse_host_path(file)?).into());
        }
        // As in Docker, an empty profile means the default profile.
        ("apparmor", Some(profile)) => {
            options.apparmor = Some(profile.to_owned()).filter(|profile| !profile.is_empty());
        }
        ("label", Some("")) => {}
        ("label", Some("disable")) => options.selinux = vec!["disable".to_owned()],
        ("label", Some(part)) => match part.split_once(':') {
            Some(("user" | "role" | "type" | "level", value)) if !value.is_empty() => {
                options.selinux.push(part.to_owned());
            }
            _ => fail!(
                "bad label '{part}': write disable or user:, role:, type:, level: and a value"
            ),
        },
        ("systempaths", Some("unconfined")) => options.system_paths_unconfined = true,
        _ => fail!(
            "bad security option '{text}'; known: no-new-privileges seccomp=FILE \
             seccomp=unconfined apparmor=PROFILE label=… systempaths=unconfined"
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_in_any_spelling() {
        for text in ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_net_admin"] {
            assert_eq!(parse_capability(text).unwrap(), "CAP_NET_ADMIN");
        }
        assert_eq!(parse_capability("all").unwrap(), "ALL");
        for bad in ["", "NET", "CAP_", "NET_ADMIN "] {
            assert!(parse_capability(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn security_options_in_both_spellings() {
        let mut all = SecurityOptions::default();
        for text in [
            "no-new-privileges",
            "seccomp:unconfined",
            "apparmor=my-profile",
            "label=type:spc_t",
            "label:level:s0:c1,c2",
            "systempaths=unconfined",
        ] {
            set_security_option(&mut all, text).unwrap();
        }
        assert!(all.no_new_privileges && all.system_paths_unconfined);
        assert_eq!(all.seccomp, SeccompOption::Unconfined);
        assert_eq!(all.apparmor.as_deref(), Some("my-profile"));
        assert_eq!(all.selinux, ["type:spc_t", "level:s0:c1,c2"]);
        set_security_option(&mut all, "seccomp=/etc/a:b=c.json").unwrap();
        assert_eq!(all.seccomp, SeccompOption::Profile("/etc/a:b=c.json".into()));
        set_security_option(&mut all, "no-new-privileges=false").unwrap();
        assert!(!all.no_new_privileges);
        for bad in ["", "seccomp", "seccomp=", "label=x", "systempaths=x", "no-new-privileges=x"] {
            assert!(set_security_option(&mut all, bad).is_err(), "{bad}");
        }
    }
}
