//! Maps user and group IDs of a container to those of the host, for a container with a user
//! namespace (user_namespaces(7)).
//!
//! A container of the engine has one range (`IdMap`), which the user or `container::id_range`
//! chooses. The runtime accepts any number of ranges (`IdMaps`), which an OCI bundle can have.
//! `user_namespace` creates the namespace.

use miniserde::{Deserialize, Serialize};

/// One range of IDs: the container's IDs 0 to `size` - 1 are the host's user IDs from `uid` and
/// group IDs from `gid` upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// The host's user ID for the container's user ID 0.
    pub uid: u32,
    /// The host's group ID for the container's group ID 0.
    pub gid: u32,
    pub size: u32,
}

impl IdMap {
    /// The host's user ID for the container's `uid`; `None` if `uid` is outside the range.
    pub fn host_uid(&self, uid: u32) -> Option<u32> {
        (uid < self.size).then(|| self.uid + uid)
    }

    /// As `host_uid`, for a group.
    pub fn host_gid(&self, gid: u32) -> Option<u32> {
        (gid < self.size).then(|| self.gid + gid)
    }

    /// The container's user ID for the host's `uid`; `None` if `uid` is outside the range.
    pub fn container_uid(&self, uid: u32) -> Option<u32> {
        uid.checked_sub(self.uid).filter(|uid| *uid < self.size)
    }

    /// As `container_uid`, for a group.
    pub fn container_gid(&self, gid: u32) -> Option<u32> {
        gid.checked_sub(self.gid).filter(|gid| *gid < self.size)
    }
}

/// One range of `size` IDs: `inside` is its first ID in the container, `outside` its first ID on
/// the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    pub inside: u32,
    pub outside: u32,
    pub size: u32,
}

/// All ranges of a user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMaps {
    pub uids: Vec<IdRange>,
    pub gids: Vec<IdRange>,
}

impl IdMaps {
    /// The host's user ID for the container's `uid`; `None` if no range contains `uid`, or if the
    /// host's ID would exceed 32 bits.
    pub fn host_uid(&self, uid: u32) -> Option<u32> {
        find(&self.uids, uid)
    }

    /// As `host_uid`, for a group.
    pub fn host_gid(&self, gid: u32) -> Option<u32> {
        find(&self.gids, gid)
    }
}

fn find(ranges: &[IdRange], id: u32) -> Option<u32> {
    let range = ranges.iter().find(|range| id >= range.inside && id - range.inside < range.size)?;
    range.outside.checked_add(id - range.inside)
}

impl From<IdMap> for IdMaps {
    fn from(IdMap { uid, gid, size }: IdMap) -> IdMaps {
        let range = |outside| vec![IdRange { inside: 0, outside, size }];
        IdMaps { uids: range(uid), gids: range(gid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_any_range() {
        let range = |inside, outside, size| IdRange { inside, outside, size };
        let uids = vec![range(0, 1000, 1), range(1, 100_000, 10), range(50, u32::MAX - 1, 5)];
        let maps = IdMaps { uids, gids: Vec::new() };
        assert_eq!((maps.host_uid(0), maps.host_uid(10)), (Some(1000), Some(100_009)));
        assert_eq!((maps.host_uid(11), maps.host_uid(52), maps.host_gid(0)), (None, None, None));
    }
}
