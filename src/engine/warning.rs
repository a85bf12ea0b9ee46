//! Warnings: messages for the user that do not stop the command.
//!
//! The engine passes each `Warning` to a function of the command line. `cli::warning` turns the
//! warning into a sentence. A problem that stops a command is an `Error` instead.

use std::net::IpAddr;

use crate::error::Error;
use crate::image::platform::Platform;

/// A warning: the command continues.
pub enum Warning {
    /// `-p` on a network without a bridge, where no port is published.
    PublishedWithoutBridge,
    /// `-p` with the host's network, where each port is the host's already.
    PublishedOnHost,
    /// A flag about networks that has no effect with the network mode `mode`, such as `host`.
    WithoutNetwork { flag: &'static str, mode: String },
    /// The host has no cgroups, and mounting them failed with this error.
    WithoutLimits(Error),
    /// Files cannot be larger than this number of bytes, because the caller's limit cannot be
    /// raised.
    ShortFiles(u64),
    /// The host has no name server that containers can reach, so they use these public ones.
    PublicNameServers([IpAddr; 2]),
    /// A program with these capabilities can become root of the host.
    GivesHostAway(Vec<&'static str>),
    /// The image is for another platform than this machine's.
    OtherPlatform { image: Platform, native: Platform },
    /// A volume or network was not removed because of this error.
    NotPruned(Error),
    /// The note of `store` about the file system of the state root.
    StateRoot(String),
}
