//! The events of a pull or push, for the caller that shows the progress. A transfer calls its
//! `Watch` from several threads. `cli::progress` prints the text and the bars. These types exist
//! without the feature `pull` too.

use crate::digest::Digest;
use crate::reference::Reference;

/// The progress of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The download has not started, or another process downloads the layer.
    Waiting,
    /// A pull found the layer in the local store, or a push found it in the registry.
    Exists,
    /// `bytes` were transferred so far. In a pull, `of` is the size of the blob. In a push, `bytes`
    /// counts compressed bytes, but `of` is the size of the uncompressed tar.
    Moved {
        bytes: u64,
        of: u64,
    },
    Pulled,
    Pushed,
    /// The registry has the layer in another repository, so no bytes were sent (cross-repository
    /// mount).
    Mounted,
}

/// One event of a pull or push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A layer made progress.
    Layer(Digest, Step),
    /// The pull of one reference starts.
    Pulling(Reference),
    /// The pull of one reference ended. `digest` is that of the manifest or index under the name.
    /// `is_newer` is false if the name stood for the same image before the pull.
    PulledImage {
        digest: Digest,
        is_newer: bool,
        reference: Reference,
    },
    /// A push to the repository starts.
    Pushing(Reference),
    /// The push of one tag ended. `digest` and `size` (in bytes) are those of its manifest.
    PushedImage {
        reference: Reference,
        digest: Digest,
        size: u64,
    },
    Warning(String),
}

/// Called with each event, from any thread.
pub type Watch<'a> = &'a (dyn Fn(Event) + Sync);
