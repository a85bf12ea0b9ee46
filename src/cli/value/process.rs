//! Parses the values of flags about a container's processes: namespaces, networks and containers to
//! join or link, working directory, signals and detach keys. The name of another container stays
//! text, because only the engine can look up a container. See namespaces(7). The detach keys have
//! Docker's syntax.

use super::mount::split_csv;
use super::name::{check_hostname, parse_container_name, parse_ip, parse_option};
use crate::engine::options::{
    EndpointOption, EndpointSettings, IdMap, InterfaceOptions, Ip, NamespaceMode, NetworkMode,
    UserNamespaceOption, parse_link_local,
};
use crate::engine::options::{Signal, StopSignal};
use crate::error::{Error, Result, fail};

/// Parses `--userns`: `auto`, `host`, an empty value for `host`, or `UID:GID:SIZE`.
pub fn parse_userns(text: &str) -> Result<UserNamespaceOption> {
    match text {
        "" | "host" => return Ok(UserNamespaceOption::Host),
        "auto" => return Ok(UserNamespaceOption::Auto),
        _ => {}
    }
    let numbers: Option<Vec<u32>> = text.split(':').map(|number| number.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[uid, gid, size]) => Ok(UserNamespaceOption::Given(IdMap { uid, gid, size })),
        _ => fail!("bad user namespace '{text}': write auto, host or UID:GID:SIZE"),
    }
}

/// Parses `host`, `container:NAME`, `private` or an empty value.
pub fn parse_namespace(text: &str) -> Result<NamespaceMode> {
    match text.parse()? {
        NamespaceMode::None | NamespaceMode::Shareable => {
            fail!("bad namespace '{text}': write host, private or container:NAME")
        }
        mode => Ok(mode),
    }
}

/// Parses `--ipc`: `none`, `shareable`, or a value that `parse_namespace` takes.
pub fn parse_ipc(text: &str) -> Result<NamespaceMode> {
    match text.parse() {
        Ok(mode) => Ok(mode),
        Err(_) => {
            fail!("bad namespace '{text}': write none, shareable, private, host or container:NAME")
        }
    }
}

/// Parses `none`, `host`, `container:NAME` or a network's name.
pub fn parse_network(text: &str) -> Result<NetworkMode> {
    let mode: NetworkMode = text.parse().map_err(|error: Error| {
        // Docker's client refuses an empty name, and Docker's daemon refuses any other bad mode.
        // The exit statuses differ.
        if text.is_empty() { error } else { error.of_daemon() }
    })?;
    let name = match &mode {
        NetworkMode::Container(name) => name.strip_prefix('/').unwrap_or(name),
        NetworkMode::Network(name) => name,
        NetworkMode::None | NetworkMode::Host => return Ok(mode),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || name.len() > 128 || !name.chars().all(plain) {
        fail!("bad network '{text}': write none, host, container:NAME or a network's name");
    }
    Ok(mode)
}

/// Parses the long form of `--network`:
/// `name=NETWORK,alias=…,ip=…,ip6=…,link-local-ip=…,mac-address=…,driver-opt=KEY=VALUE`.
/// The value is a CSV list, so a field with a comma needs quotes: `"driver-opt=KEY=A,B"`.
pub fn parse_endpoint(text: &str) -> Result<EndpointOption> {
    let mut network = None;
    let mut settings = EndpointSettings::default();
    for field in split_csv(text)? {
        let Some((key, value)) = field.split_once('=') else {
            fail!("'{field}' should be KEY=VALUE, as in name=web,alias=db");
        };
        match key {
            "name" => network = Some(parse_network(value)?),
            "alias" => {
                check_hostname(value)?;
                settings.aliases.push(value.to_owned());
            }
            "ip" | "ip6" => settings.addresses.push(Ip(parse_ip(value)?)),
            "link-local-ip" => settings.link_local.push(Ip(parse_link_local(value)?)),
            "mac-address" => settings.mac = Some(value.parse()?),
            "driver-opt" => add_interface_option(&mut settings.driver_options, value)?,
            _ => fail!(
                "unknown key '{key}'; known: name alias ip ip6 link-local-ip mac-address driver-opt"
            ),
        }
    }
    let Some(network) = network else {
        fail!("'{text}' names no network; write name=NETWORK");
    };
    Ok(EndpointOption { network, settings })
}

/// Adds an interface option, `KEY=VALUE`. The option replaces an earlier one with the same key.
pub fn add_interface_option(options: &mut Vec<(String, String)>, text: &str) -> Result<()> {
    let option = parse_option(text)?;
    options.retain(|(key, _)| *key != option.0);
    options.push(option);
    InterfaceOptions::parse(options).map(drop)
}

/// Parses `--link CONTAINER[:ALIAS]`. Without an alias, the container's name is the alias.
pub fn parse_link(text: &str) -> Result<(String, String)> {
    if text.is_empty() {
        fail!("the container's name is empty; write CONTAINER[:ALIAS]");
    }
    let (name, alias) = text.split_once(':').unwrap_or((text, ""));
    let name = parse_container_name(name).map_err(Error::of_daemon)?;
    let alias = if alias.is_empty() { name } else { alias };
    check_hostname(alias)?;
    Ok((name.to_owned(), alias.to_owned()))
}

/// Parses an absolute directory inside the container, and resolves `.` and `..` in its text.
pub fn parse_workdir(text: &str) -> Result<String> {
    if !text.starts_with('/') {
        fail!("bad working directory '{text}': it must be absolute");
    }
    Ok(crate::path::clean(text))
}

/// Parses a signal's name or number (signal(7)).
pub fn parse_signal(text: &str) -> Result<Signal> {
    Ok(parse_stop_signal(text)?.signal())
}

/// Parses `--stop-signal` and keeps its spelling, which `inspect` prints.
pub fn parse_stop_signal(text: &str) -> Result<StopSignal> {
    match StopSignal::given(text) {
        Some(signal) => Ok(signal),
        None => fail!("unknown signal '{text}': write a name (TERM, SIGHUP) or 1 to 64"),
    }
}

/// The maximum number of keys in a detach sequence.
const MAX_KEYS: usize = 16;

/// Parses a key sequence, `ctrl-p,ctrl-q` or `a,b`, into the bytes that a terminal sends. Fails on
/// an unknown key and on more than 16 keys.
pub fn parse_detach_keys(text: &str) -> Result<Vec<u8>> {
    let mut keys = Vec::new();
    for key in text.split(',') {
        let byte = match (key.strip_prefix("ctrl-").map(str::as_bytes), key.as_bytes()) {
            (Some(&[letter @ (b'a'..=b'z' | b'A'..=b'Z' | b'@' | b'['..=b'_')]), _) => {
                letter.to_ascii_uppercase() & 0x1f
            }
            (None, &[byte]) if byte.is_ascii_graphic() => byte,
            _ => fail!(
                "bad detach key '{key}': write a character or ctrl- and a letter, @, [, \\, ], ^, _"
            ),
        };
        keys.push(byte);
    }
    if keys.len() > MAX_KEYS {
        fail!("bad detach keys: {} are more than {MAX_KEYS}", keys.len());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_namespaces() {
        let ids = IdMap { uid: 100_000, gid: 200_000, size: 65_536 };
        for (text, option) in [
            ("", UserNamespaceOption::Host),
            ("host", UserNamespaceOption::Host),
            ("auto", UserNamespaceOption::Auto),
            ("100000:200000:65536", UserNamespaceOption::Given(ids)),
        ] {
            assert_eq!(parse_userns(text).unwrap(), option, "{text}");
        }
        for bad in ["keep-id", "1", "1:2", "1:2:3:4", "-1:2:3", "1:2:", "1:2:4294967296", "a:b:c"] {
            assert!(parse_userns(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn endpoints_by_key() {
        let found = parse_endpoint("name=web,alias=a,alias=b,ip=10.0.0.2").unwrap();
        assert_eq!((&*found.network.to_string(), found.settings.aliases.len()), ("web", 2));
        assert_eq!(found.settings.addresses, ["10.0.0.2".parse().unwrap()]);
        for bad in ["alias=a", "name=web,x", "name=web,speed=1", "name=web,ip=x", "name="] {
            assert!(parse_endpoint(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_link("db").unwrap(), ("db".into(), "db".into()));
        assert!(parse_link("db:a b").is_err());
    }

    #[test]
    fn detach_keys_are_what_a_terminal_sends() {
        assert_eq!(parse_detach_keys("ctrl-p,ctrl-q").unwrap(), [0x10, 0x11]);
        assert_eq!(parse_detach_keys("ctrl-@,ctrl-[,a").unwrap(), [0, 0x1b, b'a']);
        for bad in ["", "ctrl-", "ctrl-1", "ab", "a,", "alt-x"] {
            assert!(parse_detach_keys(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn namespaces_and_networks() {
        assert_eq!(parse_namespace("host").unwrap(), NamespaceMode::Host);
        assert_eq!(
            parse_namespace("container:web").unwrap(),
            NamespaceMode::Container("web".into())
        );
        for bad in ["hots", "container:", "none"] {
            assert!(parse_namespace(bad).is_err(), "{bad}");
        }
        for good in ["none", "host", "container:web", "container:/web", "my_net"] {
            assert!(parse_network(good).is_ok(), "{good}");
        }
        for bad in ["", "container:", "a b", "x:y", "../x", "a/b"] {
            assert!(parse_network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn signals_by_name_and_number() {
        for good in ["TERM", "SIGKILL", "sighup", "9", "RTMIN+3"] {
            assert!(parse_signal(good).is_ok(), "{good}");
        }
        for bad in ["", "0", "65", "-1", "SIG", "FOO"] {
            assert!(parse_signal(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn workdirs_are_absolute() {
        assert_eq!(parse_workdir("/a/../b/./c/").unwrap(), "/b/c");
        assert!(parse_workdir("a").is_err());
        assert!(parse_workdir("").is_err());
    }
}
