//! Parses mounts: `-v [SRC:]DST[:OPTIONS]`, `--mount type=…,…`, `--tmpfs DST[:OPTIONS]` and
//! `--volumes-from`.
//!
//! In `-v`, a source that starts with a slash or a dot is a host path; any other source is a
//! volume's name, and a mount without a source is an anonymous volume. In `--mount`, `type` says
//! what the source is. As in Docker, paths are cleaned lexically. The runtime resolves the paths
//! inside the container by file descriptor.

use super::name::{check_volume_name, parse_container_name, parse_label};
use crate::cli::parse::parse_bool;
use crate::engine::options::{MountKind, MountOption, Propagation, Recursion, VolumesFrom};
use crate::error::{Context, Error, Result, fail};
use crate::order;
use crate::path::clean;
use crate::raw;
use crate::units::ByteSize;

fn parse_target(text: &str) -> Result<String> {
    if !text.starts_with('/') {
        fail!("the place in the container, '{text}', must be an absolute path");
    }
    match clean(text).as_str() {
        "/" => fail!("nothing can be mounted on / itself"),
        target => Ok(target.to_owned()),
    }
}

/// Returns a host path as an absolute path. A relative path starts at the working directory. Fails
/// on an empty path, and if the working directory cannot be found.
pub fn parse_host_path(text: &str) -> Result<String> {
    let path = std::path::absolute(raw::path(text));
    let path = path.context(|| format!("find '{text}' from here"))?;
    Ok(clean(&raw::encode_path(&path)))
}

/// Parses the value of `-v`. Fails on a bad path, volume name or option.
pub fn parse_volume(text: &str) -> Result<MountOption> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => fail!("bad volume '{text}': write [SOURCE:]TARGET[:OPTIONS]"),
    };
    let mut mount = MountOption::new(
        MountKind::Volume,
        parse_target(target).context(|| format!("bad volume '{text}'"))?,
    );
    match source {
        None => {}
        Some("") => fail!("bad volume '{text}': its source is empty"),
        Some(path) if path.starts_with(['/', '.']) => {
            mount.kind = MountKind::Bind;
            mount.source = Some(parse_host_path(path)?);
            mount.make_source = true;
        }
        Some(name) if name.contains('/') => {
            fail!("bad volume '{text}': for a host directory write /{name} or ./{name}")
        }
        Some(name) => {
            check_volume_name(name)?;
            mount.source = Some(name.to_owned());
        }
    }
    let mut writable = false;
    for option in options.split(',').filter(|_| !options.is_empty()) {
        match option {
            "ro" | "readonly" => mount.read_only = true,
            "rw" => writable = true,
            "nocopy" if mount.kind == MountKind::Volume => mount.no_copy = true,
            "noidmap" if mount.kind == MountKind::Bind => mount.unmapped = true,
            "noidmap" => fail!("bad volume '{text}': noidmap is for host paths, not volumes"),
            "nocopy" => fail!("bad volume '{text}': nocopy is for volumes, not host paths"),
            // Accept and ignore: mydocker does not relabel files for SELinux (z, Z), and the
            // consistency hints are for macOS.
            "z" | "Z" | "cached" | "delegated" | "consistent" => {}
            _ => match parse_propagation(option) {
                Some(propagation) if mount.kind == MountKind::Bind => {
                    mount.access.propagation = propagation;
                }
                Some(_) => {
                    fail!("bad volume '{text}': {option} is for host paths, not volumes")
                }
                None => fail!(
                    "bad volume '{text}': unknown option '{option}'; known: ro rw nocopy noidmap \
                     z Z rprivate rslave rshared"
                ),
            },
        }
    }
    if mount.read_only && writable {
        fail!("bad volume '{text}': both ro and rw");
    }
    mount.given = Some(options.to_owned());
    Ok(mount)
}

/// Parses a propagation. The spellings without `r` mean the recursive ones: the mounts below a bind
/// get the propagation of the bind.
fn parse_propagation(text: &str) -> Option<Propagation> {
    Some(match text {
        "private" | "rprivate" => Propagation::Private,
        "slave" | "rslave" => Propagation::Slave,
        "shared" | "rshared" => Propagation::Shared,
        _ => return None,
    })
}

/// Parses the value of `--tmpfs`. Fails on a bad path, an unknown option or an option's bad value.
pub fn parse_tmpfs(text: &str) -> Result<MountOption> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut mount = MountOption::new(
        MountKind::Tmpfs,
        parse_target(target).context(|| format!("bad tmpfs '{text}'"))?,
    );
    let mut kept: Vec<String> = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=').map_or((option, None), |(key, value)| (key, Some(value))) {
            ("ro", None) => mount.read_only = true,
            ("rw", None) => mount.read_only = false,
            ("exec" | "noexec" | "suid" | "nosuid" | "dev" | "nodev", None) => {
                kept.push(option.to_owned());
            }
            ("size", Some(size)) => kept.push(format!("size={}", tmpfs_size(size)?)),
            ("mode", Some(mode)) => kept.push(format!("mode={:o}", tmpfs_mode(mode)?)),
            ("uid" | "gid", Some(number)) if number.parse::<u32>().is_ok() => {
                kept.push(option.to_owned());
            }
            ("nr_inodes" | "nr_blocks", Some(number)) if ByteSize::parse(number).is_ok() => {
                kept.push(option.to_owned());
            }
            ("noatime" | "nodiratime" | "relatime" | "strictatime", None) => {
                kept.push(option.to_owned());
            }
            // Ignore the kernel's defaults, and options that have no effect on a tmpfs.
            ("defaults" | "atime" | "diratime" | "async" | "sync" | "dirsync", None) => {}
            _ => fail!(
                "bad tmpfs '{text}': unknown option '{option}'; known: size= mode= uid= gid= \
                 nr_inodes= ro rw exec noexec suid nosuid dev nodev noatime nodiratime relatime \
                 strictatime"
            ),
        }
    }
    mount.tmpfs_options = kept.join(",");
    mount.given = Some(options.to_owned());
    Ok(mount)
}

/// Parses a number of bytes, or a percentage of the memory.
fn tmpfs_size(text: &str) -> Result<String> {
    match text.strip_suffix('%') {
        Some(percent) if matches!(percent.parse::<u8>(), Ok(1..=100)) => Ok(text.to_owned()),
        _ => Ok(ByteSize::parse(text)?.0.to_string()),
    }
}

fn tmpfs_mode(text: &str) -> Result<u32> {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if digits && mode <= 0o7777 => Ok(mode),
        _ => fail!("bad mode '{text}': an octal number such as 1777"),
    }
}

/// Parses the value of `--mount`. Fails on an unknown type, on a key that the type does not have,
/// on a bad or missing value, if a required key is missing, and if a quote is not closed.
pub fn parse_mount(text: &str) -> Result<MountOption> {
    let bad = || format!("bad mount '{text}'");
    let fields = split_csv(text).context(bad)?;
    let pairs: Vec<(String, Option<&str>)> = fields
        .iter()
        .map(|field| match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        })
        .collect();
    let given = pairs.iter().find(|(key, _)| key == "type").and_then(|(_, value)| *value);
    let kind = match given.map(str::to_ascii_lowercase).as_deref() {
        None | Some("volume") => MountKind::Volume,
        Some("bind") => MountKind::Bind,
        Some("tmpfs") => MountKind::Tmpfs,
        Some("image") => MountKind::Image,
        Some(other) => {
            return refused_by_daemon(format!(
                "bad mount '{text}': unknown type '{other}'; known: bind volume tmpfs image"
            ));
        }
    };
    let mut mount = MountOption::new(kind, String::new());
    let mut tmpfs: Vec<String> = Vec::new();
    for (key, value) in &pairs {
        set_mount_key(&mut mount, &mut tmpfs, key, *value).context(bad)?;
    }
    mount.tmpfs_options = tmpfs.join(",");
    if mount.target.is_empty() {
        fail!("bad mount '{text}': target=PATH is missing");
    }
    let missing = match mount.kind {
        MountKind::Bind if mount.source.is_none() => Some("PATH"),
        MountKind::Image if mount.image.is_none() => Some("IMAGE"),
        _ => None,
    };
    if let Some(value) = missing {
        return refused_by_daemon(format!("bad mount '{text}': source={value} is missing"));
    }
    Ok(mount)
}

/// Returns the error for a value that Docker's client accepts and Docker's daemon refuses.
fn refused_by_daemon<T>(message: String) -> Result<T> {
    Err(Error::new(message).of_daemon())
}

/// The keys that only one type of mount has.
const KEYS: [&str; 13] = [
    "image-subpath",
    "tmpfs-size",
    "tmpfs-mode",
    "volume-nocopy",
    "volume-subpath",
    "volume-label",
    "volume-driver",
    "volume-opt",
    "bind-propagation",
    "bind-recursive",
    "bind-nonrecursive",
    "bind-create-src",
    "noidmap",
];

fn set_mount_key(
    mount: &mut MountOption,
    tmpfs: &mut Vec<String>,
    key: &str,
    value: Option<&str>,
) -> Result<()> {
    let kind = mount.kind;
    let value = match (key, value) {
        // Only these keys may have no value.
        (
            "readonly" | "ro" | "volume-nocopy" | "noidmap" | "bind-nonrecursive"
            | "bind-create-src",
            None,
        ) => "true",
        (_, Some(value)) => value,
        (_, None) => fail!("'{key}' needs a value"),
    };
    match (key, kind) {
        ("type", _) => {}
        // Ignore an empty target. If no other key sets the target, `parse_mount` fails.
        ("target" | "dst" | "destination", _) if value.is_empty() => {}
        ("target" | "dst" | "destination", _) => {
            mount.target = parse_target(value).map_err(Error::of_daemon)?;
        }
        ("readonly" | "ro", _) => mount.read_only = parse_bool(key, value)?,
        ("source" | "src", MountKind::Bind) => {
            if !value.starts_with(['/', '.']) {
                return refused_by_daemon(format!(
                    "the source of a bind, '{value}', must be an absolute path or start with ./"
                ));
            }
            mount.source = Some(parse_host_path(value)?);
        }
        ("source" | "src", MountKind::Volume) => {
            check_volume_name(value).map_err(Error::of_daemon)?;
            mount.source = Some(value.to_owned());
        }
        ("source" | "src", MountKind::Image) => mount.image = Some(value.parse()?),
        ("source" | "src", MountKind::Tmpfs) => {
            return refused_by_daemon("a tmpfs has no source".to_owned());
        }
        ("volume-nocopy", MountKind::Volume) => mount.no_copy = parse_bool(key, value)?,
        ("tmpfs-size", MountKind::Tmpfs) => tmpfs.push(format!("size={}", tmpfs_size(value)?)),
        ("tmpfs-mode", MountKind::Tmpfs) => tmpfs.push(format!("mode={:o}", tmpfs_mode(value)?)),
        ("noidmap", MountKind::Bind) => mount.unmapped = parse_bool(key, value)?,
        ("bind-propagation", MountKind::Bind) => {
            match parse_propagation(&value.to_ascii_lowercase()) {
                Some(propagation) => mount.access.propagation = propagation,
                None => {
                    return refused_by_daemon(format!(
                        "unknown propagation '{value}'; known: rprivate rslave rshared"
                    ));
                }
            }
        }
        ("bind-recursive", MountKind::Bind) => {
            mount.access.recursion = match value {
                "enabled" | "readonly" => Recursion::Enabled,
                "disabled" => Recursion::Disabled,
                "writable" => Recursion::Writable,
                _ => fail!("unknown '{key}={value}'; known: enabled disabled writable readonly"),
            }
        }
        ("bind-nonrecursive", MountKind::Bind) => {
            if parse_bool(key, value)? {
                mount.access.recursion = Recursion::Disabled;
            }
        }
        ("bind-create-src", MountKind::Bind) => mount.make_source = parse_bool(key, value)?,
        ("volume-subpath", MountKind::Volume) | ("image-subpath", MountKind::Image) => {
            if value.is_empty() || value.starts_with('/') {
                fail!("'{key}' should be a path inside, without a first slash, such as logs/web");
            }
            let path = clean(value).trim_start_matches('/').to_owned();
            mount.access.subpath = Some(path).filter(|path| !path.is_empty());
        }
        ("volume-label", MountKind::Volume) => {
            let (label, text) = parse_label(value)?;
            mount.labels.retain(|(known, _)| *known != label);
            mount.labels.push((label, text));
        }
        ("volume-driver", MountKind::Volume) if value == "local" => {}
        ("volume-driver", MountKind::Volume) => {
            return refused_by_daemon(format!(
                "there is no volume driver '{value}': mydocker has no plugins; write local"
            ));
        }
        ("volume-opt", MountKind::Volume) => {
            let Some((option, text)) = value.split_once('=') else {
                return refused_by_daemon(format!(
                    "'volume-opt={value}' needs a value, as in volume-opt=type=tmpfs"
                ));
            };
            mount.volume_options.push((option.to_owned(), text.to_owned()));
        }
        // Docker's consistency hint for macOS needs no action on Linux.
        ("consistency", _) => {}
        (_, _) if KEYS.contains(&key) => fail!("'{key}' does not go with this type"),
        _ => fail!("unknown key '{key}'; known: type source target readonly {}", KEYS.join(" ")),
    }
    Ok(())
}

/// Splits one record of comma-separated values (RFC 4180). A field may be in double quotes, and a
/// quote inside is doubled. Fails if a quote is not closed.
pub fn split_csv(text: &str) -> Result<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let at = fields.len() - 1;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                fields[at].push('"');
            }
            '"' if quoted || fields[at].is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields[at].push(c),
        }
    }
    if quoted {
        fail!("a quote is not closed; add a '\"'");
    }
    Ok(fields)
}

/// Parses `--volumes-from NAME[:MODE]`. MODE is a list of ro, rw, z and Z, separated by commas.
/// Fails on a bad name, on any other word in MODE, and if MODE has both ro and rw.
pub fn parse_volumes_from(text: &str) -> Result<VolumesFrom> {
    let (name, mode) = text.split_once(':').unwrap_or((text, ""));
    let container = parse_container_name(name)?.to_owned();
    let (mut read_only, mut writable) = (false, false);
    for word in mode.split(',').filter(|_| !mode.is_empty()) {
        match word {
            "ro" => read_only = true,
            "rw" => writable = true,
            // Docker's labels for SELinux, as in `-v`.
            "z" | "Z" => {}
            _ => fail!("bad mode '{mode}': write ro or rw"),
        }
    }
    if read_only && writable {
        fail!("bad mode '{mode}': both ro and rw");
    }
    Ok(VolumesFrom { container, read_only, given: text.to_owned() })
}

/// Fails if two mounts have the same target.
pub fn check_distinct(mounts: &[MountOption]) -> Result<()> {
    let mut targets: Vec<&str> = mounts.iter().map(|mount| mount.target.as_str()).collect();
    order::sort(&mut targets);
    match targets.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => refused_by_daemon(format!("two mounts on '{}'", pair[0])),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_binds_and_anonymous_ones() {
        let bind = parse_volume("/a/../b:/c/./d/:ro,z").unwrap();
        assert_eq!(
            (bind.kind, bind.source.as_deref().unwrap(), bind.target.as_str()),
            (MountKind::Bind, "/b", "/c/d")
        );
        assert!(bind.read_only && bind.make_source);
        let here = std::env::current_dir().unwrap();
        assert_eq!(parse_volume("./x:/y").unwrap().source, Some(format!("{}/x", here.display())));
        assert_eq!(parse_volume(".:/y").unwrap().source.as_deref(), here.to_str());
        let volume = parse_volume("data:/var/../srv:nocopy").unwrap();
        assert_eq!(
            (volume.kind, volume.source.as_deref().unwrap(), volume.target.as_str()),
            (MountKind::Volume, "data", "/srv")
        );
        assert!(volume.no_copy && !volume.make_source);
        let anonymous = parse_volume("/data").unwrap();
        assert_eq!((anonymous.kind, anonymous.source), (MountKind::Volume, None));
    }

    #[test]
    fn bad_volumes() {
        for (text, part) in [
            ("", "absolute"),
            ("data", "absolute"),
            ("data:rel", "absolute"),
            ("data:/", "on / itself"),
            ("data:/a/..", "on / itself"),
            (":/x", "source is empty"),
            ("a/b:/x", "write /a/b or ./a/b"),
            ("_d:/x", "volume name"),
            ("/a:/b:rx", "unknown option 'rx'"),
            ("/a:/b:ro,rw", "both ro and rw"),
            ("data:/b:rshared", "rshared is for host paths"),
            ("/a:/b:ro:x", "write [SOURCE:]TARGET"),
            ("/a:ro", "absolute"),
            ("/a:/b:nocopy", "nocopy is for volumes"),
        ] {
            let error = parse_volume(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn tmpfs_with_and_without_options() {
        assert_eq!(parse_tmpfs("/x").unwrap().tmpfs_options, "");
        let tmpfs = parse_tmpfs("/x:size=64m,mode=0755,noexec,ro").unwrap();
        assert_eq!(tmpfs.tmpfs_options, "size=67108864,mode=755,noexec");
        assert!(tmpfs.read_only);
        assert_eq!(parse_tmpfs("/x:size=50%").unwrap().tmpfs_options, "size=50%");
        for bad in ["x", "/", "/x:size=x", "/x:mode=9", "/x:foo", "/x:size=0%", "/x:uid=a"] {
            assert!(parse_tmpfs(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mounts_by_key() {
        let bind = parse_mount("type=bind,src=/a,dst=/b,readonly").unwrap();
        assert!(bind.kind == MountKind::Bind && bind.read_only && !bind.make_source);
        assert!(!parse_mount("type=bind,source=/a,target=/b,ro=false").unwrap().read_only);
        let volume = parse_mount("source=data,destination=/b,volume-nocopy=true").unwrap();
        assert!(
            volume.kind == MountKind::Volume
                && volume.no_copy
                && volume.source.as_deref() == Some("data")
        );
        let tmpfs = parse_mount("dst=/t,tmpfs-size=1m,tmpfs-mode=1777,type=tmpfs").unwrap();
        assert_eq!(tmpfs.tmpfs_options, "size=1048576,mode=1777");
        assert_eq!(
            parse_mount("type=bind,\"src=/a,b\",dst=/c").unwrap().source.as_deref(),
            Some("/a,b")
        );
    }

    #[test]
    fn bad_mounts() {
        for (text, part) in [
            ("", "'' needs a value"),
            ("type=bind,dst=/b", "source=PATH is missing"),
            ("type=bind,src=/a", "target=PATH is missing"),
            ("type=bind,src=a,dst=/b", "absolute"),
            ("type=npipe,src=a,dst=/b", "unknown type 'npipe'"),
            ("type=volume,dst=/b,speed=9", "unknown key 'speed'"),
            ("type=volume,dst=/b,tmpfs-size=1m", "does not go with this type"),
            ("type=bind,src=/a,dst=/b,bind-propagation=loud", "unknown propagation"),
            ("type=bind,src=/a,dst=/b,bind-recursive=maybe", "known: enabled"),
            ("type=volume,dst=/b,volume-subpath=/x", "without a first slash"),
            ("type=image,dst=/b", "source=IMAGE is missing"),
            ("type=volume,dst=/b,volume-opt=type", "needs a value"),
            ("type=volume,dst=/b,volume-driver=nfs", "no volume driver"),
            ("type=tmpfs,src=/a,dst=/b", "no source"),
            ("type=tmpfs,dst=/b,ro=maybe", "neither true nor false"),
            ("type=tmpfs,\"dst=/b", "quote"),
        ] {
            let error = parse_mount(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn two_mounts_cannot_have_one_target() {
        let mounts = [parse_volume("/a:/x").unwrap(), parse_tmpfs("/x/").unwrap()];
        assert_eq!(check_distinct(&mounts).unwrap_err().to_string(), "two mounts on '/x'");
        assert!(check_distinct(&mounts[..1]).is_ok());
    }
}
