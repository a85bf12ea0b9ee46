//! Assigns ranges of host user and group IDs to containers with `--userns auto`. Each assigned
//! range has a lease: a symbolic link `ids/<first UID>` to the first digits of the container's ID.
//!
//! Creating the lease is the assignment: symlink(2) fails if the range already has a lease. The
//! lease is removed with the container. A killed command may leave a stale lease. `system check
//! --repair` removes stale leases, and [`lease`] does so when no range is free.
//!
//! The ranges come from an entry of the user `mydocker` in each of /etc/subuid and /etc/subgid
//! (subuid(5)). If one of the two entries is missing or too small, the ranges come from IDs that
//! neither useradd(8) nor systemd assigns by default. A range that overlaps an entry of another
//! user in these files is skipped. The search starts at a random range, so engines with different
//! state directories rarely collide.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::record::{Record, all_ids};
use crate::container_id::ContainerId;
use crate::error::{Context, Result, fail};
use crate::hex::random_bytes;
use crate::runtime::spec::IdMap;
use crate::store::{self, Roots};

/// The number of IDs in a range. The images of distributions use IDs up to 65534 (`nobody`).
const SIZE: u32 = 1 << 16;
/// The number of digits of the container's ID in a link. ext4 stores a target of less than 60 bytes
/// in the inode, so the link takes no disk block of its own.
const KEPT_DIGITS: usize = 32;
/// The user whose entries in /etc/subuid and /etc/subgid are for mydocker.
const USER: &str = "mydocker";
/// The default IDs: 0x7000_0000 to 0x7ffc_ffff, which are 4,093 ranges.
const DEFAULT: Range = Range { first: 0x7000_0000, count: 4093 * SIZE };

/// A range of consecutive IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u32,
    count: u32,
}

impl Range {
    fn overlaps(&self, other: &Range) -> bool {
        let end = |range: &Range| u64::from(range.first) + u64::from(range.count);
        u64::from(self.first) < end(other) && u64::from(other.first) < end(self)
    }
}

/// The IDs from which ranges are assigned.
struct Pool {
    uids: Range,
    gids: Range,
    /// The ranges of other users in /etc/subuid. `others_gids` has those in /etc/subgid.
    others_uids: Vec<Range>,
    others_gids: Vec<Range>,
}

impl Pool {
    fn read() -> Pool {
        let subuid = entries(Path::new("/etc/subuid"));
        let subgid = entries(Path::new("/etc/subgid"));
        Pool::new(&subuid, &subgid)
    }

    fn new(subuid: &[(String, Range)], subgid: &[(String, Range)]) -> Pool {
        let ours = |entries: &[(String, Range)]| {
            let found = entries.iter().find(|(user, range)| user == USER && range.count >= SIZE);
            found.map(|(_, range)| *range)
        };
        let others = |entries: &[(String, Range)]| {
            entries.iter().filter(|(user, _)| user != USER).map(|(_, range)| *range).collect()
        };
        let (uids, gids) = match (ours(subuid), ours(subgid)) {
            (Some(uids), Some(gids)) => (uids, gids),
            _ => (DEFAULT, DEFAULT),
        };
        Pool { uids, gids, others_uids: others(subuid), others_gids: others(subgid) }
    }

    fn len(&self) -> u32 {
        self.uids.count.min(self.gids.count) / SIZE
    }

    /// The range with this number; `None` if the range overlaps a range of another user.
    fn nth(&self, number: u32) -> Option<IdMap> {
        let (uid, gid) = (self.uids.first + number * SIZE, self.gids.first + number * SIZE);
        let is_others = |first, others: &[Range]| {
            others.iter().any(|other| other.overlaps(&Range { first, count: SIZE }))
        };
        let is_taken = is_others(uid, &self.others_uids) || is_others(gid, &self.others_gids);
        (!is_taken).then_some(IdMap { uid, gid, size: SIZE })
    }
}

/// The lines `user:first:count` of a file. Skips other lines. Returns no line if the file cannot be
/// read.
fn entries(path: &Path) -> Vec<(String, Range)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let entry = |line: &str| {
        let [user, first, count] = line.split(':').collect::<Vec<_>>()[..] else { return None };
        let range = Range { first: first.parse().ok()?, count: count.trim().parse().ok()? };
        range.first.checked_add(range.count)?;
        Some((user.to_owned(), range))
    };
    text.lines().filter_map(entry).collect()
}

/// Assigns a free range to the container `id`, whose directory must exist. Fails if no range is
/// free.
pub fn lease(roots: &Roots, id: &ContainerId) -> Result<IdMap> {
    let pool = Pool::read();
    store::make_dir(&roots.ids())?;
    if let Some(ids) = take_free(roots, &pool, id)? {
        return Ok(ids);
    }
    for lease in stale_leases(roots)? {
        store::remove_file(&lease)?;
    }
    match take_free(roots, &pool, id)? {
        Some(ids) => Ok(ids),
        None => fail!(
            "no range of {SIZE} user IDs is free for --userns auto: remove containers that have one, \
             or give more to the user {USER} in /etc/subuid and /etc/subgid"
        ),
    }
}

fn take_free(roots: &Roots, pool: &Pool, id: &ContainerId) -> Result<Option<IdMap>> {
    let given: HashSet<String> = store::list(&roots.ids())?.into_iter().collect();
    let start = u32::from_ne_bytes(random_bytes()?) % pool.len();
    for number in (start..pool.len()).chain(0..start) {
        let Some(ids) = pool.nth(number) else { continue };
        if !given.contains(&ids.uid.to_string()) && take(roots, &ids, id)? {
            return Ok(Some(ids));
        }
    }
    Ok(None)
}

/// Creates the lease of the range `ids` for the container `id`. Returns false if the range already
/// has a lease.
pub fn take(roots: &Roots, ids: &IdMap, id: &ContainerId) -> Result<bool> {
    let path = path(roots, ids);
    match std::os::unix::fs::symlink(kept(id), &path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        made => made.map(|()| true).context(|| format!("make {}", path.display())),
    }
}

/// Removes the lease of the range, if the lease belongs to the container `id`.
pub fn release(roots: &Roots, ids: &IdMap, id: &ContainerId) -> Result<()> {
    if is_leased(roots, ids, id) { store::remove_file(&path(roots, ids)) } else { Ok(()) }
}

/// Removes the lease of a container with `--userns auto`. Does nothing for any other container.
pub fn release_assigned(roots: &Roots, record: &Record) -> Result<()> {
    match &record.user_namespace {
        Some(namespace) if namespace.auto => release(roots, &namespace.ids, &record.id),
        _ => Ok(()),
    }
}

/// Whether the container `id` has the lease of this range.
pub fn is_leased(roots: &Roots, ids: &IdMap, id: &ContainerId) -> bool {
    owner(&path(roots, ids)).is_some_and(|owner| owner == kept(id))
}

/// The paths of all leases of containers that no longer exist.
pub fn stale_leases(roots: &Roots) -> Result<Vec<PathBuf>> {
    // Read the containers after the leases. A container's directory exists before its lease, so a
    // new lease is never taken for a stale one.
    let leases: Vec<PathBuf> =
        store::list(&roots.ids())?.into_iter().map(|name| roots.ids().join(name)).collect();
    let containers: HashSet<String> =
        all_ids(roots)?.iter().map(|id| kept(id).to_owned()).collect();
    let is_stale = |path: &PathBuf| owner(path).is_none_or(|id| !containers.contains(&id));
    Ok(leases.into_iter().filter(is_stale).collect())
}

/// Checks a range that the user chose. Fails if the range is empty, goes beyond the ID
/// `u32::MAX - 1`, starts at ID 0 (the host's root), or overlaps the IDs from which `lease` assigns
/// ranges.
pub fn check_given(ids: &IdMap) -> Result<()> {
    let IdMap { uid, gid, size } = *ids;
    let text = format!("--userns {uid}:{gid}:{size}");
    if uid == 0 || gid == 0 {
        fail!(
            "{text}: ID 0 is the host's root, which a container must not have; choose a range that \
             starts at 1 or above"
        );
    }
    // The range must not contain u32::MAX: chown(2) reads this number as -1, which means
    // "unchanged".
    if size == 0 || [uid, gid].iter().any(|first| first.checked_add(size).is_none()) {
        fail!("{text}: IDs go from 1 to {}, and SIZE is at least 1", u32::MAX - 1);
    }
    let pool = Pool::read();
    let range = |first| Range { first, count: size };
    if pool.uids.overlaps(&range(uid)) || pool.gids.overlaps(&range(gid)) {
        fail!(
            "{text} overlaps the IDs {} to {}, which --userns auto assigns; choose another range",
            pool.uids.first,
            pool.uids.first + (pool.uids.count - 1)
        );
    }
    Ok(())
}

fn kept(id: &ContainerId) -> &str {
    id.get(..KEPT_DIGITS).unwrap_or(id)
}

fn path(roots: &Roots, ids: &IdMap) -> PathBuf {
    roots.ids().join(ids.uid.to_string())
}

fn owner(path: &Path) -> Option<String> {
    fs::read_link(path).ok()?.into_os_string().into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::files::Files;

    fn entry(user: &str, first: u32, count: u32) -> (String, Range) {
        (user.to_owned(), Range { first, count })
    }

    #[test]
    fn ranges_come_from_the_entries_of_mydocker_and_skip_other_users() {
        let alice = entry("alice", DEFAULT.first + SIZE / 2, SIZE);
        let pool = Pool::new(std::slice::from_ref(&alice), &[]);
        assert_eq!(pool.uids, DEFAULT);
        assert_eq!((pool.nth(0), pool.nth(1)), (None, None), "alice's");
        let third = DEFAULT.first + 2 * SIZE;
        assert_eq!(pool.nth(2), Some(IdMap { uid: third, gid: third, size: SIZE }));

        let ours = entry(USER, 200_000, 2 * SIZE);
        let pool = Pool::new(&[alice.clone(), ours.clone()], &[entry(USER, 900_000, 9 * SIZE)]);
        assert_eq!(pool.len(), 2);
        let second = IdMap { uid: 200_000 + SIZE, gid: 900_000 + SIZE, size: SIZE };
        assert_eq!(pool.nth(1), Some(second));
        assert_eq!(Pool::new(&[ours], &[]).uids, DEFAULT, "both files or none");
    }

    #[test]
    fn the_default_ranges_stay_below_two_to_the_31() {
        let pool = Pool::new(&[], &[]);
        let last = pool.nth(pool.len() - 1).unwrap();
        assert_eq!(last.uid + last.size - 1, 0x7ffc_ffff);
    }

    #[test]
    fn a_given_range_must_not_overlap_others() {
        let check = |uid, gid, size| check_given(&IdMap { uid, gid, size });
        assert!(check(100_000, 100_000, 65_536).is_ok());
        for (uid, gid, size) in [
            (0, 1, 1),
            (1, 0, 1),
            (1, 1, 0),
            (u32::MAX, 1, 1),
            (100_000, u32::MAX - 5, 10),
            (DEFAULT.first - 1, 100_000, 2),
            (100_000, DEFAULT.first, 1),
        ] {
            assert!(check(uid, gid, size).is_err(), "{uid}:{gid}:{size}");
        }
    }

    #[test]
    fn a_range_is_leased_once_and_released_only_by_its_owner() {
        let dir = std::env::temp_dir().join(format!("ids-{}", std::process::id()));
        let roots = Roots::new(Some(dir.join("state")), Some(dir.join("run"))).unwrap();
        let [a, b] = ["a", "b"].map(|digit| ContainerId::parse(&digit.repeat(64)).unwrap());
        fs::create_dir_all(Files::new(&roots, &a).dir).unwrap();
        let first = lease(&roots, &a).unwrap();
        assert!(!take(&roots, &first, &b).unwrap());
        let second = lease(&roots, &b).unwrap();
        assert_ne!(first.uid, second.uid);
        release(&roots, &first, &b).unwrap();
        assert!(is_leased(&roots, &first, &a));
        assert_eq!(stale_leases(&roots).unwrap(), [path(&roots, &second)], "b has no directory");
        release(&roots, &first, &a).unwrap();
        assert!(!is_leased(&roots, &first, &a));
        fs::remove_dir_all(dir).unwrap();
    }
}
