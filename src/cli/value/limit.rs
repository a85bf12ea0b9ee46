//! Parses the values of limits and devices: `--ulimit` (setrlimit(2)), `--storage-opt`, `--sysctl`,
//! `--device`, `--device-cgroup-rule`, the rates (`--device-read-bps` and its like), `--log-opt`,
//! `--cgroup-parent`, and numbers with bounds. A sysctl must belong to the IPC or the network
//! namespace, and a cgroup's path must not leave the root of the hierarchy. No later code checks
//! these two rules.

use std::str::FromStr;

use crate::engine::options::{
    Device, DeviceKind, DeviceRate, DeviceRule, LogAddress, LogOptions, RateKind, Rlimit,
    StorageSize, Syslog, rlimits,
    sysctl::{self, Owner},
};
use crate::error::{Context, Error, Result, fail};
use crate::template::Template;
use crate::units::ByteSize;

/// Parses `nofile=1024:2048`, `nofile=1024`, `core=unlimited` or `core=-1`. Fails on any other
/// form, on an unknown limit, and if the soft limit is above the hard limit.
pub fn parse_ulimit(text: &str) -> Result<Rlimit> {
    let Some((name, limits)) = text.split_once('=') else {
        fail!("bad limit '{text}': write NAME=SOFT[:HARD], as in nofile=1024:2048");
    };
    let known = rlimits();
    if !known.contains(&name) {
        fail!("unknown limit '{name}'; known: {}", known.join(" "));
    }
    let number = |digits: &str| match digits {
        "-1" | "unlimited" => Ok(u64::MAX),
        _ if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().map_err(|_| ()),
        _ => Err(()),
    };
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (Ok(soft), Ok(hard)) = (number(soft), number(hard)) else {
        fail!("bad limit '{text}': SOFT and HARD are numbers, -1 or unlimited");
    };
    if soft > hard {
        fail!("bad limit '{text}': the soft limit is above the hard one");
    }
    Ok(Rlimit { name: name.to_owned(), soft, hard })
}

/// Parses `size=10g`, Docker's only storage option for overlays.
pub fn parse_storage(text: &str) -> Result<StorageSize> {
    let Some((key, size)) = text.split_once('=') else {
        fail!("bad storage option '{text}': write size=SIZE, as in size=10g");
    };
    if !key.eq_ignore_ascii_case("size") {
        fail!("unknown storage option '{key}'; known: size");
    }
    let bytes = ByteSize::parse(size)?.0;
    if bytes == 0 {
        fail!("the size can't be 0");
    }
    Ok(StorageSize { bytes, given: size.to_owned() })
}

/// Parses `KEY=VALUE` of a kernel parameter. Fails on a malformed key or value, and if the
/// parameter belongs neither to the IPC nor to the network namespace: most such parameters would
/// change the host. Also fails on `kernel.shm_next_id`, as Docker does.
pub fn parse_sysctl(text: &str) -> Result<(String, String)> {
    let Some((key, value)) = text.split_once('=') else {
        fail!("bad setting '{text}': write KEY=VALUE, as in net.core.somaxconn=1024");
    };
    // The key becomes a path below /proc/sys. In another engine, a '+' in a setting could add a
    // second setting (CVE-2022-0811).
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !key.chars().all(plain) || key.contains("..") || key.ends_with('.') {
        fail!("bad setting '{key}': only letters, digits, '_', '-' and single dots make a key");
    }
    // The host name and the domain name are refused too, because they have their own flags.
    let is_own = matches!(sysctl::owner(key), Some(Owner::Ipc | Owner::Network));
    if !is_own || key == sysctl::NEXT_SHM_ID {
        fail!(
            "setting '{key}' is the whole host's; a container has only net.*, fs.mqueue.* and kernel.shm*, kernel.msg*, kernel.sem of its own"
        );
    }
    if value.contains(['\n', '\0']) {
        fail!("bad setting '{key}': its value holds a newline or NUL");
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Whether `part` consists of one or more letters of `rwm`, each at most once.
fn is_access(part: &str) -> bool {
    let letters = part.bytes().all(|byte| matches!(byte, b'r' | b'w' | b'm'));
    let once = |letter| part.matches(letter).count() <= 1;
    !part.is_empty() && letters && once('r') && once('w') && once('m')
}

/// Parses `KIND MAJOR:MINOR ACCESS`, the syntax of cgroup v1's devices.allow: `c 42:* rmw`. Fails
/// on any other form.
pub fn parse_device_rule(text: &str) -> Result<DeviceRule> {
    let wrong = || {
        Error::new(format!(
            "bad device rule '{text}': write a, b or c, MAJOR:MINOR and some of rwm, as in 'c 42:* rmw'"
        ))
    };
    let words: Vec<&str> = text.split(' ').collect();
    let [kind, numbers, access] = words[..] else { return Err(wrong()) };
    let kind = match kind {
        "a" => DeviceKind::Any,
        "b" => DeviceKind::Block,
        "c" => DeviceKind::Character,
        _ => return Err(wrong()),
    };
    let number = |text: &str| match text {
        "*" => Ok(None),
        // The kernel's minor numbers have 20 bits. Its major numbers have 12; a larger one matches
        // no device.
        _ => parse_number(text, 0, (1 << 20) - 1).map(Some).map_err(|_| wrong()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(wrong)?;
    if !is_access(access) {
        return Err(wrong());
    }
    let access = access.to_owned();
    Ok(DeviceRule { kind, major: number(major)?, minor: number(minor)?, access })
}

/// Parses `SRC[:DST][:ACCESS]`; ACCESS is some of `rwm`. Fails on any other form, if a path is not
/// absolute, and if DST is `/`.
pub fn parse_device(text: &str) -> Result<Device> {
    if !text.starts_with('/') && text.contains('=') {
        fail!(
            "'{text}' is a CDI device name, which mydocker does not support; give a device file in \
             /dev"
        );
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, access) = match parts[..] {
        [source] => (source, source, "rwm"),
        [source, access] if is_access(access) => (source, source, access),
        [source, target] => (source, target, "rwm"),
        [source, target, access] if is_access(access) => (source, target, access),
        [_, _, access] => fail!("bad device '{text}': access '{access}' is not some of rwm"),
        _ => fail!("bad device '{text}': write SOURCE[:TARGET][:rwm]"),
    };
    if !source.starts_with('/') || !target.starts_with('/') {
        fail!("bad device '{text}': its paths are absolute, as in /dev/fuse");
    }
    let target = crate::path::clean(target);
    if target == "/" {
        fail!("bad device '{text}': its target can't be /");
    }
    Ok(Device { source: crate::path::clean(source), target, access: access.to_owned() })
}

/// Parses `PATH:RATE`. The rate is in bytes or in operations per second, and 0 means no limit.
/// Fails on any other form, if the rate is too large, and if the path does not start with `/dev/`.
pub fn parse_device_rate(text: &str, kind: RateKind) -> Result<DeviceRate> {
    let Some((path, rate)) = text.rsplit_once(':') else {
        fail!("bad rate '{text}': write DEVICE:RATE, as in /dev/sda:1mb");
    };
    if !path.starts_with("/dev/") {
        fail!("bad rate '{text}': the device lies in /dev, as in /dev/sda:1mb");
    }
    let rate = match kind {
        RateKind::ReadBytes | RateKind::WriteBytes => {
            ByteSize::parse(rate).map_err(Error::of_usage)?.0
        }
        RateKind::ReadOperations | RateKind::WriteOperations => {
            parse_number(rate, 0, u32::MAX)?.into()
        }
    };
    Ok(DeviceRate { path: crate::path::clean(path), numbers: None, kind, rate })
}

/// The most log files that a container can keep.
const MAX_LOG_FILES: u32 = 1000;

/// The drivers of `--log-driver`.
pub const LOG_DRIVERS: [&str; 5] = ["json-file", "local", "syslog", "journald", "none"];

/// Sets an option of the log. `max-buffer-size` and `compress` are checked and recorded, but have
/// no effect. `mode` has an effect only with the drivers that send the lines
/// (`engine::log_driver`). Fails on an unknown option or a bad value.
pub fn set_log_option(log: &mut LogOptions, text: &str) -> Result<()> {
    let Some((key, value)) = text.split_once('=') else {
        fail!("bad log option '{text}': write KEY=VALUE, as in max-size=10m")
    };
    match (key, value) {
        ("max-size", "-1") => log.max_size = u64::MAX,
        ("max-size", size) => match ByteSize::parse(size).context(|| key)?.0 {
            0 => fail!("max-size can't be 0; -1 is no limit"),
            size => log.max_size = size,
        },
        ("max-file", count) => {
            log.max_file = parse_number(count, 1, MAX_LOG_FILES).context(|| key)?;
        }
        ("mode", "blocking" | "non-blocking") | ("compress", "true" | "false") => {}
        ("mode", _) => fail!("mode should be blocking or non-blocking, not '{value}'"),
        ("compress", _) => fail!("compress should be true or false, not '{value}'"),
        ("max-buffer-size", size) => drop(ByteSize::parse(size).context(|| key)?),
        ("tag", template) => drop(Template::parse(template).context(|| key)?),
        ("labels" | "labels-regex" | "env" | "env-regex", _) => {}
        ("syslog-address", address) => drop(LogAddress::parse(address)?),
        ("syslog-facility", facility) => drop(Syslog::parse(Some(facility), None)?),
        ("syslog-format", format) => drop(Syslog::parse(None, Some(format))?),
        _ => fail!(
            "unknown log option '{key}'; known: max-size max-file mode max-buffer-size compress tag \
             labels labels-regex env env-regex syslog-address syslog-facility syslog-format"
        ),
    }
    log.given.retain(|(known, _)| known != key);
    log.given.push((key.to_owned(), value.to_owned()));
    Ok(())
}

/// Parses a cgroup's path. `/` is the root of each hierarchy. The path must not leave the root, and
/// no later code checks the path. Fails on an empty path, on `..`, on more than 512 bytes, and on a
/// newline, a NUL or a colon.
pub fn parse_cgroup_parent(text: &str) -> Result<String> {
    let climbs = text.split('/').any(|part| part == "..");
    let path = crate::path::clean(text);
    if text.is_empty() || text.len() > 512 || climbs || text.contains(['\n', '\0', ':']) {
        fail!("bad cgroup '{text}': write a path such as /limits/web, without '..'");
    }
    Ok(path)
}

/// Parses a number from `least` to `most`. Fails on any other text.
pub fn parse_number<N: FromStr + PartialOrd + std::fmt::Display>(
    text: &str,
    least: N,
    most: N,
) -> Result<N> {
    match text.parse::<N>() {
        Ok(number) if least <= number && number <= most => Ok(number),
        _ => Err(Error::new(format!("bad number '{text}': from {least} to {most}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_rules() {
        let rule = parse_device_rule("c 42:* rmw").unwrap();
        assert_eq!((rule.kind, rule.major, rule.minor), (DeviceKind::Character, Some(42), None));
        assert_eq!(rule.access, "rmw");
        assert_eq!(parse_device_rule("a *:* rwm").unwrap().kind, DeviceKind::Any);
        for bad in
            ["", "c 1:3", "d 1:3 r", "c 1 r", "c 1:3 x", "c -1:3 r", "c 1:3 rr", "c 1:3\nr w"]
        {
            assert!(parse_device_rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ulimits() {
        let limit = parse_ulimit("nofile=1024:2048").unwrap();
        assert_eq!((limit.name.as_str(), limit.soft, limit.hard), ("nofile", 1024, 2048));
        assert_eq!(parse_ulimit("nproc=5").unwrap().hard, 5);
        assert_eq!(parse_ulimit("core=-1").unwrap().soft, u64::MAX);
        assert_eq!(parse_ulimit("core=0:unlimited").unwrap().hard, u64::MAX);
        for bad in
            ["nofile", "nofile=", "files=1", "nofile=2:1", "nofile=1:2:3", "nofile=-2", "nofile=+1"]
        {
            assert!(parse_ulimit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sysctls_of_namespaces_only() {
        for good in [
            "kernel.shmmax=1",
            "fs.mqueue.msg_max=2",
            "net.ipv4.ip_local_port_range=1 2",
            "kernel.sem=1 2 3 4",
        ] {
            assert!(parse_sysctl(good).is_ok(), "{good}");
        }
        for bad in [
            "kernel.panic=1",
            "vm.swappiness=1",
            "kernel.shm",
            "net.=1",
            "net..ipv4=1",
            "net/ipv4=1",
            "net.ipv4/../../kernel/panic=1",
            "kernel.shm_rmid_forced+kernel.core_pattern=|/x",
            "net.a\nkernel.panic=1",
            "net.a=1\n2",
            "kernel.shmmax.=1",
        ] {
            assert!(parse_sysctl(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn devices() {
        let parsed = |text| {
            let device = parse_device(text).unwrap();
            (device.source, device.target, device.access)
        };
        let of = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(parsed("/dev/fuse"), of("/dev/fuse", "/dev/fuse", "rwm"));
        assert_eq!(parsed("/dev/sda:r"), of("/dev/sda", "/dev/sda", "r"));
        assert_eq!(parsed("/dev/sda:/dev/x"), of("/dev/sda", "/dev/x", "rwm"));
        assert_eq!(parsed("/dev/sda:/dev/../dev/x:rw"), of("/dev/sda", "/dev/x", "rw"));
        for bad in
            ["", "fuse", "/dev/a:b", "/dev/a:/dev/b:x", "/dev/a:/dev/b:rr", "/a:/b:r:w", "/dev/a:/"]
        {
            assert!(parse_device(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cgroup_parents_stay_below_the_root() {
        assert_eq!(parse_cgroup_parent("a//b/").unwrap(), "/a/b");
        assert_eq!(parse_cgroup_parent("/").unwrap(), "/");
        for bad in ["", "..", "/a/../../b", "a\nb", "cpu:/x"] {
            assert!(parse_cgroup_parent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn log_options() {
        let mut log = LogOptions::default();
        set_log_option(&mut log, "max-size=1m").unwrap();
        set_log_option(&mut log, "max-file=5").unwrap();
        assert_eq!((log.max_size, log.max_file), (1 << 20, 5));
        for bad in [
            "max-size",
            "max-size=x",
            "max-size=0",
            "max-file=0",
            "max-file=-1",
            "speed=1",
            "tag={{",
            "syslog-address=tcp://192.0.2.1",
            "syslog-facility=house",
            "syslog-format=json",
        ] {
            assert!(set_log_option(&mut log, bad).is_err(), "{bad}");
        }
    }
}
