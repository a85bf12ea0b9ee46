//! Whose files and processes of a container are whose on the host, if they differ
//! (user_namespaces(7)).

use miniserde::{Deserialize, Serialize};

/// The range of the host's user and group IDs that a container in a user namespace has as its own
/// 0 to `size` - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// The host's for the container's 0.
    pub uid: u32,
    pub gid: u32,
    pub size: u32,
}

impl IdMap {
    /// What the container's user is to the host; `None`: the container can have no such user.
    pub fn host_uid(&self, uid: u32) -> Option<u32> {
        (uid < self.size).then(|| self.uid + uid)
    }

    pub fn host_gid(&self, gid: u32) -> Option<u32> {
        (gid < self.size).then(|| self.gid + gid)
    }

    /// What the host's user is to the container.
    pub fn container_uid(&self, uid: u32) -> Option<u32> {
        uid.checked_sub(self.uid).filter(|uid| *uid < self.size)
    }

    pub fn container_gid(&self, gid: u32) -> Option<u32> {
        gid.checked_sub(self.gid).filter(|gid| *gid < self.size)
    }
}
