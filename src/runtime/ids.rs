//! The mapping between the user and group IDs of a container and those of the host, for a container
//! with a user namespace (user_namespaces(7)). It is one range each: container IDs 0 to `size` - 1
//! are `uid` and `gid` upwards on the host. The range is chosen in `container::id_range`; the
//! namespace is made in `user_namespace`.

use miniserde::{Deserialize, Serialize};

/// The host's user and group IDs that are 0 to `size` - 1 in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// The host's user ID for the container's 0.
    pub uid: u32,
    pub gid: u32,
    pub size: u32,
}

impl IdMap {
    /// The host's ID of the container's user `uid`; `None` if it is outside the range.
    pub fn host_uid(&self, uid: u32) -> Option<u32> {
        (uid < self.size).then(|| self.uid + uid)
    }

    /// As `host_uid`, for a group.
    pub fn host_gid(&self, gid: u32) -> Option<u32> {
        (gid < self.size).then(|| self.gid + gid)
    }

    /// The container's ID of the host's user `uid`; `None` if it is outside the range.
    pub fn container_uid(&self, uid: u32) -> Option<u32> {
        uid.checked_sub(self.uid).filter(|uid| *uid < self.size)
    }

    /// As `container_uid`, for a group.
    pub fn container_gid(&self, gid: u32) -> Option<u32> {
        gid.checked_sub(self.gid).filter(|gid| *gid < self.size)
    }
}
