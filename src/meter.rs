//! Reports the bytes that a command moves, for its progress line.
//!
//! The bytes pass far below the command, for example where a layer is unpacked, or in the pipe of a
//! copy. So the callback belongs to the process, and is not a parameter of every function in
//! between. If no callback is set, for example because stderr is not a terminal, a report costs one
//! atomic load.

use std::io::{self, Read};
use std::sync::OnceLock;

type Watch = Box<dyn Fn(Moved) + Send + Sync>;

static WATCH: OnceLock<Watch> = OnceLock::new();

/// A report to the callback.
#[derive(Clone, Copy)]
pub enum Moved {
    /// The number of bytes that one step moved, such as one read.
    Bytes(u64),
    /// A second pass over the same data starts, so count from zero.
    Again,
}

/// Sets the callback that receives all reports, from any thread. Later calls have no effect.
pub fn watch(watch: Watch) {
    let _ = WATCH.set(watch);
}

/// Reports that `bytes` bytes were moved.
pub fn moved(bytes: usize) {
    if let Some(watch) = WATCH.get() {
        watch(Moved::Bytes(bytes as u64));
    }
}

/// Reports that a second pass starts over the same data.
pub fn again() {
    if let Some(watch) = WATCH.get() {
        watch(Moved::Again);
    }
}

/// A reader that reports its bytes.
pub struct Metered<R>(pub R);

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).inspect(|&count| moved(count))
    }
}
