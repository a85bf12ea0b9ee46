//! What whoever watches a pull or push is told.

use super::digest::Digest;

/// What happens to a layer on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Not begun, or another process downloads it.
    Waiting,
    /// It was there before.
    Exists,
    /// So many of its bytes have arrived.
    Moved {
        bytes: u64,
        of: u64,
    },
    Pulled,
    Pushed,
    /// The registry has it in another repository.
    Mounted,
}

/// What whoever watches a pull or push hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Which layer, and what of it.
    Layer(Digest, Step),
    /// To be told as it is.
    Line(String),
    Warning(String),
}

pub type Watch<'a> = &'a (dyn Fn(Event) + Sync);
