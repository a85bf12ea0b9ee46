//! What a user should know although the command goes on. The engine passes these on as facts to the
//! function that it was given; the sentences are made in `cli::warning`. What ends a command is an
//! `Error` instead.

use std::net::IpAddr;

use crate::error::Error;
use crate::image::platform::Platform;

/// A warning. The container is made or started all the same.
pub enum Warning {
    /// `-p` on a network without a bridge, which publishes nothing.
    PublishedWithoutBridge,
    /// No cgroups could be mounted: the error says why.
    WithoutLimits(Error),
    /// Files end at this many bytes: the caller's limit can't be lifted.
    ShortFiles(u64),
    /// The host has no name server that containers can reach; they use these.
    PublicNameServers([IpAddr; 2]),
    /// With these capabilities a program can become root of the host.
    GivesHostAway(Vec<&'static str>),
    /// The image is for another machine than this one.
    OtherPlatform { image: Platform, native: Platform },
    /// What `store` says of the file system of the state root.
    StateRoot(String),
}
