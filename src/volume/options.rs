//! The options of a volume (`volume create -o`), as in Docker's driver `local`: `type`, `device`
//! and `o`, with the syntax of mount(8). This file checks the options and turns them into the
//! arguments of mount(2); `mounted` makes the mount. Root gives the options, so mydocker adds
//! neither nosuid nor nodev, like Docker.

use std::net::ToSocketAddrs;

use rustix::mount::MountFlags;

use crate::error::{Context, Result, fail};

/// The arguments of mount(2).
#[derive(Debug, PartialEq, Eq)]
pub struct MountCall {
    /// The file system's type; `None` for a bind.
    pub kind: Option<String>,
    pub device: String,
    pub flags: MountFlags,
    /// The options that are not flags, as a comma-separated list.
    pub data: String,
}

/// The options of mount(8) that are flags of mount(2): the name, whether the option sets or clears
/// the flag, and the flag.
const FLAGS: [(&str, bool, MountFlags); 27] = [
    ("defaults", true, MountFlags::empty()),
    ("ro", true, MountFlags::RDONLY),
    ("rw", false, MountFlags::RDONLY),
    ("nosuid", true, MountFlags::NOSUID),
    ("suid", false, MountFlags::NOSUID),
    ("nodev", true, MountFlags::NODEV),
    ("dev", false, MountFlags::NODEV),
    ("noexec", true, MountFlags::NOEXEC),
    ("exec", false, MountFlags::NOEXEC),
    ("sync", true, MountFlags::SYNCHRONOUS),
    ("async", false, MountFlags::SYNCHRONOUS),
    ("dirsync", true, MountFlags::DIRSYNC),
    ("noatime", true, MountFlags::NOATIME),
    ("atime", false, MountFlags::NOATIME),
    ("nodiratime", true, MountFlags::NODIRATIME),
    ("diratime", false, MountFlags::NODIRATIME),
    ("relatime", true, MountFlags::RELATIME),
    ("norelatime", false, MountFlags::RELATIME),
    ("strictatime", true, MountFlags::STRICTATIME),
    ("nostrictatime", false, MountFlags::STRICTATIME),
    ("lazytime", true, MountFlags::LAZYTIME),
    ("nolazytime", false, MountFlags::LAZYTIME),
    ("silent", true, MountFlags::SILENT),
    ("loud", false, MountFlags::SILENT),
    ("bind", true, MountFlags::BIND),
    ("rbind", true, MountFlags::BIND.union(MountFlags::REC)),
    // An option for /etc/fstab. mount(8) ignores it on the command line.
    ("noauto", true, MountFlags::empty()),
];

/// The maximum size of `data` in bytes: mount(2) takes one page, with a zero byte at the end.
const MAX_DATA: usize = 4095;

/// Returns the value of an option; `None` if it is not given or empty. If the option is given
/// twice, the last value counts.
fn value<'a>(options: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    let (_, value) = options.iter().rev().find(|(key, _)| key == wanted)?;
    Some(value.as_str()).filter(|value| !value.is_empty())
}

/// Parses the options of a volume. Fails on an unknown option, on a byte 0, without `device`,
/// without `type` unless the mount is a bind, on a bind of a relative path, and on data that is too
/// long for mount(2).
pub fn parse(options: &[(String, String)]) -> Result<MountCall> {
    for (key, value) in options {
        match key.as_str() {
            "type" | "device" | "o" => {}
            "size" => fail!(
                "a volume's size={value} needs a quota, which mydocker does not set; a tmpfs has a \
                 size: -o type=tmpfs -o device=tmpfs -o o=size={value}"
            ),
            _ => fail!("unknown option '{key}' of a volume; known: type device o"),
        }
        if value.contains('\0') {
            fail!("option '{key}' of a volume has a byte 0");
        }
    }
    let (mut flags, mut data) = (MountFlags::empty(), Vec::new());
    let given = value(options, "o").into_iter().flat_map(|list| list.split(','));
    for option in given.filter(|option| !option.is_empty()) {
        match FLAGS.iter().find(|(name, ..)| *name == option) {
            Some((_, true, flag)) => flags |= *flag,
            Some((_, false, flag)) => flags &= !*flag,
            None => data.push(option),
        }
    }
    let Some(device) = value(options, "device") else {
        fail!("a volume's options lack device=, such as device=tmpfs or device=/dev/sdb1");
    };
    let is_bind = flags.contains(MountFlags::BIND);
    let kind = value(options, "type").filter(|_| !is_bind).map(str::to_owned);
    if kind.is_none() && !is_bind {
        fail!("a volume's options lack type=, such as type=tmpfs or type=nfs");
    }
    if is_bind && !device.starts_with('/') {
        fail!("device={device} of a volume: a bind needs an absolute path");
    }
    let data = data.join(",");
    if data.len() > MAX_DATA {
        fail!("a volume's options o=… are longer than {MAX_DATA} bytes");
    }
    Ok(MountCall { kind, device: device.to_owned(), flags, data })
}

impl MountCall {
    /// The file system's type, or "bind".
    pub fn name(&self) -> &str {
        self.kind.as_deref().unwrap_or("bind")
    }

    /// Returns `data` with the host name in `addr=NAME` replaced by its address, for NFS and CIFS:
    /// the kernel takes only an address there. Fails if the host name has no address.
    pub fn resolved(&self) -> Result<String> {
        let is_remote = self.name().starts_with("nfs") || self.name() == "cifs";
        let host = self.data.split(',').find_map(|option| option.strip_prefix("addr="));
        let Some(host) = host.filter(|host| is_remote && host.parse::<std::net::IpAddr>().is_err())
        else {
            return Ok(self.data.clone());
        };
        let found = (host, 0).to_socket_addrs().context(|| format!("look up host '{host}'"))?;
        let Some(found) = found.into_iter().next() else { fail!("host '{host}' has no address") };
        let (from, to) = (format!("addr={host}"), format!("addr={}", found.ip()));
        let options = self.data.split(',').map(|option| if option == from { &to } else { option });
        Ok(options.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Result<MountCall> {
        let pair = |option: &str| {
            let (key, value) = option.split_once('=').unwrap();
            (key.to_owned(), value.to_owned())
        };
        parse(&text.split_whitespace().map(pair).collect::<Vec<_>>())
    }

    #[test]
    fn flags_and_data_are_separated() {
        let tmpfs = call("type=tmpfs device=tmpfs o=size=1m,noexec,ro,rw,uid=7").unwrap();
        assert_eq!((tmpfs.kind.as_deref(), tmpfs.device.as_str()), (Some("tmpfs"), "tmpfs"));
        assert_eq!((tmpfs.flags, tmpfs.data.as_str()), (MountFlags::NOEXEC, "size=1m,uid=7"));
        let bind = call("type=none device=/srv o=bind,ro").unwrap();
        assert_eq!(bind.kind, None);
        assert_eq!(bind.flags, MountFlags::BIND | MountFlags::RDONLY);
        assert!(call("device=/srv o=rbind").unwrap().flags.contains(MountFlags::REC));
        let nfs = call("type=nfs device=:/x o=addr=127.0.0.1,vers=4").unwrap();
        assert_eq!(nfs.resolved().unwrap(), "addr=127.0.0.1,vers=4");
    }

    #[test]
    fn invalid_options_are_refused() {
        for (text, part) in [
            ("type=tmpfs", "lack device="),
            ("device=/x", "lack type="),
            ("o=size=1m", "lack device="),
            ("type=none device=srv o=bind", "absolute"),
            ("size=1g", "needs a quota"),
            ("kind=x", "unknown option 'kind'"),
        ] {
            let error = call(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
