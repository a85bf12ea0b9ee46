//! Counts the bytes that a command moves, for its line of progress.
//!
//! The bytes pass deep below a command: a layer's stream, an archive's output, the pipe of a copy. So
//! the count belongs to the process and is no parameter of every function in between. Without a
//! watcher, as in every command whose stderr is no terminal, counting costs one atomic load for each
//! piece of 128 KiB.

use std::io::{self, Read};
use std::sync::OnceLock;

type Watch = Box<dyn Fn(Moved) + Send + Sync>;

static WATCH: OnceLock<Watch> = OnceLock::new();

/// A report about moved bytes.
#[derive(Clone, Copy)]
pub enum Moved {
    /// This many more bytes were moved.
    Bytes(u64),
    /// A second pass moves the bytes again: count from zero.
    Again,
}

/// Calls `watch` with every report from now on, from any thread. Later calls have no effect.
pub fn watch(watch: Watch) {
    let _ = WATCH.set(watch);
}

/// Reports that `bytes` more bytes were moved.
pub fn moved(bytes: usize) {
    if let Some(watch) = WATCH.get() {
        watch(Moved::Bytes(bytes as u64));
    }
}

/// Reports that the bytes are moved once more, by a second pass over the same data.
pub fn again() {
    if let Some(watch) = WATCH.get() {
        watch(Moved::Again);
    }
}

/// A reader whose bytes are counted.
pub struct Metered<R>(pub R);

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).inspect(|&count| moved(count))
    }
}
