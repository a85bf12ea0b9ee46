//! Looks up a user and groups (`--user`, `COPY --chown`) in the /etc/passwd and /etc/group of a
//! container or an image.
//!
//! Both files are untrusted. The files are opened inside the root and read line by line, up to a
//! largest size. A device in place of a file counts as an empty file (CVE-2026-47262). A number
//! above the largest ID is never truncated (CVE-2024-40635): such a number is an error, or the line
//! with the number is skipped.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::Errno;

use crate::error::{Context, Result, fail};
use crate::sys::beneath;

/// The largest part of a passwd or group file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;
/// The longest line that is read, in bytes with its newline. A longer line is skipped.
const MAX_LINE: usize = 64 << 10;
/// The largest number of groups of a user before those of `--group-add` are added. The kernel
/// allows 65,536 (NGROUPS_MAX).
const MAX_GROUPS: usize = 1024;
/// The largest UID or GID, as in runc and Docker. The kernel reads the ID -1 as "unchanged".
const MAX_ID: u32 = i32::MAX as u32;

/// The user of a process, as numbers.
#[derive(Debug, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// The supplementary groups. `look_up` puts `gid` first: a set-group-ID program replaces the
    /// process's GID, but the process must still be in the group `gid`, whose permissions on a file
    /// may be less than those of others (CVE-2022-36109).
    pub groups: Vec<u32>,
    /// The home directory, for HOME.
    pub home: String,
}

/// Looks up `user[:group]` and the additional groups `further` below `root`. Users and groups are
/// names or numbers; an empty user is root. Fails if a name is not found, if an ID is out of range,
/// or if a file that is needed cannot be read.
pub fn look_up(root: BorrowedFd<'_>, text: &str, further: &[String]) -> Result<User> {
    let (name, group) = match text.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (text, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let number = parse_id(name)?;
    // A number is never looked up as a name. An image may have a user named "1000" with UID 0
    // (CVE-2016-3697).
    let entry = find(root, "etc/passwd", |fields| {
        fields.len() >= 4
            && match number {
                Some(uid) => fields[2].parse() == Ok(uid),
                None => fields[0] == name,
            }
    });
    let entry = match (number, group) {
        // With a number and a group, the file adds only the home directory. If a container makes
        // the file unreadable, for example by a lease, `exec` with numbers must still work.
        (Some(_), Some(_)) => entry.unwrap_or_default(),
        _ => entry?,
    };
    let (uid, mut gid, user_name, home) = match (&entry, number) {
        (Some(fields), _) => {
            let (uid, gid) = (fields[2].parse::<u32>(), fields[3].parse::<u32>());
            let (Ok(uid @ ..=MAX_ID), Ok(gid @ ..=MAX_ID)) = (uid, gid) else {
                fail!("the container's /etc/passwd has no valid UID and GID for user '{name}'")
            };
            (uid, gid, Some(fields[0].as_str()), fields.get(5).map_or("/", String::as_str))
        }
        (None, Some(uid)) => (uid, 0, None, "/"),
        (None, None) => fail!("no user '{name}' in the container's /etc/passwd"),
    };
    if let Some(group) = group {
        gid = group_id(root, group)?;
    }
    let mut groups = vec![gid];
    // As in Docker, a user with a given group gets no groups from the group file.
    if let (Some(user_name), None) = (user_name, group) {
        add_memberships(root, user_name, &mut groups)?;
    }
    for group in further {
        let gid = group_id(root, group)?;
        if !groups.contains(&gid) {
            groups.push(gid);
        }
    }
    let home = if home.is_empty() { "/".to_owned() } else { home.to_owned() };
    Ok(User { uid, gid, groups, home })
}

/// The home directory of the user `uid`; `/` if the container's /etc/passwd lists none or cannot be
/// read.
pub fn home(root: BorrowedFd<'_>, uid: u32) -> String {
    let entry = find(root, "etc/passwd", |fields| {
        fields.len() >= 6 && fields[2].parse() == Ok(uid) && !fields[5].is_empty()
    });
    entry.ok().flatten().map_or("/".to_owned(), |mut fields| fields.swap_remove(5))
}

/// Parses a UID or GID; `None` if the text is not a number. Fails if the number is out of range.
fn parse_id(text: &str) -> Result<Option<u32>> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse() {
        Ok(id @ ..=MAX_ID) => Ok(Some(id)),
        _ => fail!("user or group number {text} is out of range (0 to {MAX_ID})"),
    }
}

fn group_id(root: BorrowedFd<'_>, group: &str) -> Result<u32> {
    if group.is_empty() {
        fail!("the group after ':' is missing; give a name or a number");
    }
    if let Some(gid) = parse_id(group)? {
        return Ok(gid);
    }
    match find(root, "etc/group", |fields| fields[0] == group && fields.len() >= 3)? {
        Some(fields) => match fields[2].parse::<u32>() {
            Ok(gid @ ..=MAX_ID) => Ok(gid),
            _ => fail!("the container's /etc/group has no valid GID for group '{group}'"),
        },
        None => fail!("no group '{group}' in the container's /etc/group"),
    }
}

/// Adds the groups of which `user` is a member, until `groups` has `MAX_GROUPS` entries.
fn add_memberships(root: BorrowedFd<'_>, user: &str, groups: &mut Vec<u32>) -> Result<()> {
    for_each_line(root, "etc/group", |fields| {
        if let [_, _, gid, members, ..] = fields
            && members.split(',').any(|member| member == user)
            && let Ok(gid @ ..=MAX_ID) = gid.parse::<u32>()
            && groups.len() < MAX_GROUPS
            && !groups.contains(&gid)
        {
            groups.push(gid);
        }
        true
    })
}

fn find(
    root: BorrowedFd<'_>,
    path: &str,
    mut wanted: impl FnMut(&[&str]) -> bool,
) -> Result<Option<Vec<String>>> {
    let mut found = None;
    for_each_line(root, path, |fields| {
        if wanted(fields) {
            found = Some(fields.iter().map(|field| (*field).to_owned()).collect());
        }
        found.is_none()
    })?;
    Ok(found)
}

/// Whether the file at `path` is a device. A device is never read and lists no user.
fn is_device(root: BorrowedFd<'_>, path: &str) -> bool {
    let handle = beneath::open(root, Path::new(path), OFlags::PATH, Mode::empty());
    handle.and_then(|handle| fstat(&handle)).is_ok_and(|stat| {
        let kind = FileType::from_raw_mode(stat.st_mode);
        matches!(kind, FileType::CharacterDevice | FileType::BlockDevice)
    })
}

/// Calls `each` with the fields of each line until `each` returns false. Skips lines that are too
/// long or not UTF-8. A missing file and a device have no lines.
fn for_each_line(
    root: BorrowedFd<'_>,
    path: &str,
    mut each: impl FnMut(&[&str]) -> bool,
) -> Result<()> {
    // Open without blocking, because the file may be a FIFO.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match beneath::open(root, Path::new(path), flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        // A device on a nodev mount cannot be opened. The user may have hidden the file by
        // `-v /dev/null:/etc/passwd`.
        Err(Errno::ACCESS) if is_device(root, path) => return Ok(()),
        Err(error) => {
            let named: Result<()> = Err(beneath::open_error(error));
            return named.context(|| format!("open the container's /{path}"));
        }
    };
    let stat = fstat(&file).context(|| format!("stat the container's /{path}"))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
        return Ok(());
    }
    if kind != FileType::RegularFile {
        fail!("the container's /{path} is not a regular file");
    }
    let mut reader = BufReader::new(std::fs::File::from(file).take(MAX_FILE));
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = MAX_LINE as u64;
        let read = reader.by_ref().take(limit).read_until(b'\n', &mut line);
        if read.context(|| format!("read the container's /{path}"))? == 0 {
            return Ok(());
        }
        if line.len() == MAX_LINE && line.last() != Some(&b'\n') {
            let skipped = reader.skip_until(b'\n');
            skipped.context(|| format!("read the container's /{path}"))?;
            continue;
        }
        let Ok(text) = std::str::from_utf8(&line) else { continue };
        let fields: Vec<&str> = text.trim_end_matches('\n').split(':').collect();
        if !each(&fields) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, OwnedFd};

    fn root(name: &str, passwd: &str, group: &str) -> (std::path::PathBuf, OwnedFd) {
        let dir = std::env::temp_dir().join(format!("user-{name}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("etc")).unwrap();
        std::fs::write(dir.join("etc/passwd"), passwd).unwrap();
        std::fs::write(dir.join("etc/group"), group).unwrap();
        let fd = rustix::fs::open(&dir, OFlags::PATH, Mode::empty()).unwrap();
        (dir, fd)
    }

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        let (dir, fd) = root(
            "names",
            "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/var/www:\n1000:x:7:8::/odd:\n",
            "root:x:0:\nweb:x:33:\nlog:x:44:web,x\nadm:x:4:web\n",
        );
        let user = |text| look_up(fd.as_fd(), text, &[]);
        let web = user("web").unwrap();
        assert_eq!((web.uid, web.gid, web.home.as_str()), (33, 33, "/var/www"));
        assert_eq!(web.groups, [33, 44, 4]);
        assert_eq!(user("33").unwrap(), web);
        let log = user("web:log").unwrap();
        assert_eq!((log.gid, log.groups), (44, vec![44]));
        assert_eq!(user("1000").unwrap().uid, 1000, "a number is never a name");
        assert_eq!(user("web:33").unwrap().gid, 33);
        assert_eq!(user("1").unwrap().uid, 1);
        let unknown = user("4711:9").unwrap();
        assert_eq!((unknown.gid, unknown.groups), (9, vec![9]));
        assert_eq!(user("").unwrap().home, "/root");
        for bad in
            ["nobody", "2147483648", "4294967296", "-1", "web:nogroup", "web:", "0:4294967296"]
        {
            assert!(user(bad).is_err(), "{bad}");
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped() {
        let giant = "x".repeat(MAX_LINE * 3) + "\nweb:x:33:33::/:\n";
        let (dir, fd) = root("giant", &giant, "");
        assert_eq!(look_up(fd.as_fd(), "web", &[]).unwrap().uid, 33);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn ids_out_of_range_in_the_files_are_refused() {
        let passwd = "high:x:2147483648:5::/:\nminus:x:4294967295:5::/:\nlast:x:2147483647:5::/:\n\
                      group:x:5:2147483648::/:\n";
        let group = "high:x:2147483648:last\nminus:x:4294967295:last\n";
        let (dir, fd) = root("range", passwd, group);
        for bad in ["high", "minus", "group", "last:high", "last:minus"] {
            assert!(look_up(fd.as_fd(), bad, &[]).is_err(), "{bad}");
        }
        let last = look_up(fd.as_fd(), "last", &[]).unwrap();
        assert_eq!((last.uid, last.groups), (MAX_ID, vec![5]));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn groups_are_bounded() {
        let group: String =
            (1..=2 * MAX_GROUPS).map(|gid| format!("g{gid}:x:{gid}:web\n")).collect();
        let (dir, fd) = root("groups", "web:x:33:0::/:\n", &group);
        assert_eq!(look_up(fd.as_fd(), "web", &[]).unwrap().groups.len(), MAX_GROUPS);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_files_are_looked_for_inside_the_root() {
        let (dir, fd) = root("inside", "host:x:33:33::/:\n", "");
        for (link, target) in [("/etc/passwd", "absolute"), ("../../etc/passwd", "up")] {
            let inner = dir.join(target);
            std::fs::create_dir_all(inner.join("etc")).unwrap();
            let target = match link.strip_prefix('/') {
                Some(link) => dir.join(link),
                None => link.into(),
            };
            std::os::unix::fs::symlink(target, inner.join("etc/passwd")).unwrap();
            let inner = rustix::fs::open(&inner, OFlags::PATH, Mode::empty()).unwrap();
            assert!(look_up(inner.as_fd(), "host", &[]).is_err(), "{link}");
        }
        drop(fd);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_device_in_place_of_a_file_lists_no_user() {
        let (dir, fd) = root("device", "", "");
        for file in ["etc/passwd", "etc/group"] {
            std::fs::remove_file(dir.join(file)).unwrap();
            let zero = rustix::fs::makedev(1, 5);
            let kind = FileType::CharacterDevice;
            let mode = Mode::from_raw_mode(0o666);
            rustix::fs::mknodat(rustix::fs::CWD, dir.join(file), kind, mode, zero).unwrap();
        }
        assert_eq!(look_up(fd.as_fd(), "33", &[]).unwrap().uid, 33);
        assert!(look_up(fd.as_fd(), "web", &[]).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
