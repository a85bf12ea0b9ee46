//! The events of a pull or push, for the caller that shows the progress. A transfer calls its
//! `Watch` from several threads. Words and bars are made in `cli::progress`; this file only has the
//! types, so that a build without registries has them too.

use super::digest::Digest;

/// The progress of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Not started, or another process downloads it.
    Waiting,
    /// It was there before.
    Exists,
    /// The number of its bytes that have arrived.
    Moved {
        bytes: u64,
        of: u64,
    },
    Pulled,
    Pushed,
    /// The registry has it in another repository.
    Mounted,
}

/// One event of a pull or push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The layer, and its progress.
    Layer(Digest, Step),
    /// The pull of one reference starts: its tag or digest, and its repository's path.
    Pulling {
        what: String,
        path: String,
    },
    /// The pull ended: the manifest's digest, and whether the local image is a newer one than
    /// before.
    PulledImage {
        digest: Digest,
        is_newer: bool,
        name: String,
    },
    /// A push to the repository starts.
    Pushing {
        repository: String,
    },
    /// The push of one tag ended: its manifest's digest and size in bytes.
    PushedImage {
        tag: String,
        digest: Digest,
        size: u64,
    },
    Warning(String),
}

/// The function that is called with each event, from any thread.
pub type Watch<'a> = &'a (dyn Fn(Event) + Sync);
