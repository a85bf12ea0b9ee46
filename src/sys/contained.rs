//! Runs a decoder of untrusted data on its own thread, so that a panic of the decoder is an error
//! for the caller and does not end the process.
//!
//! The binary is compiled with `panic = "abort"`, so a panic normally aborts. If a decoder panics,
//! the panic hook runs on the decoder's thread, reports the message to the caller, and then sleeps
//! forever. The caller fails as for other bad input, and removes its unfinished files. The memory
//! of a thread that panicked stays allocated until the process ends.

use std::cell::RefCell;
use std::io;
use std::panic::PanicHookInfo;
use std::sync::Once;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

type Report = Box<dyn FnOnce(&str)>;

thread_local! {
    /// The function that the panic hook calls with the message if this thread panics.
    static REPORT: RefCell<Option<Report>> = const { RefCell::new(None) };
}

/// Joins the thread on drop, unless the thread panicked.
struct Thread {
    handle: Option<JoinHandle<()>>,
    panicked: Receiver<()>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        // `recv` fails if the thread has dropped the sender, which the thread does at its end.
        if self.panicked.recv().is_err()
            && let Some(handle) = self.handle.take()
        {
            // `join` returns an error only for a thread that panicked, and this thread did not.
            let _ = handle.join();
        }
    }
}

/// Runs `work` on a new thread named `name` while the caller's thread runs `foreground`. Returns
/// the result of `foreground` after `work` has ended or panicked. If `work` panics, `report` gets
/// the panic's message, on the thread that panicked. Fails if the thread cannot be created
/// (pthread_create(3)).
pub fn run<T>(
    name: &str,
    work: impl FnOnce() + Send,
    report: impl FnOnce(&str) + Send + 'static,
    foreground: impl FnOnce() -> T,
) -> io::Result<T> {
    install_hook();
    let (panicked_sender, panicked) = sync_channel(1);
    let body = move || {
        keep(panicked_sender, report);
        work();
        // Drop the sender, which shows the caller that the thread has ended.
        REPORT.take();
    };
    // SAFETY: `body` borrows from the caller. `Thread` joins the thread before this function
    // returns. A thread that panicked is not joined, but runs no further code.
    let spawned = unsafe { Builder::new().name(name.to_owned()).spawn_unchecked(body) };
    let _joined = Thread { handle: Some(spawned?), panicked };
    Ok(foreground())
}

fn keep(panicked: SyncSender<()>, report: impl FnOnce(&str) + 'static) {
    REPORT.set(Some(Box::new(move |words| {
        report(words);
        // Fails only if the receiver is dropped, and then no caller waits for this thread.
        let _ = panicked.send(());
    })));
}

fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            let Some(report) = REPORT.take() else { return usual(info) };
            report(info.payload_as_str().unwrap_or("panic"));
            // If the hook returned, the process would abort. As long as this thread sleeps in the
            // hook, a thread that sets another hook waits forever.
            loop {
                std::thread::park();
            }
        }));
    });
}

// In these tests no `work` panics: its thread would sleep in the hook, and the test harness, which
// also changes the hook, would wait forever. The integration test `tests/memory.rs` imports an
// archive that makes a decoder panic.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_ends_is_joined() {
        let mut filled = Vec::new();
        let result = run("decoder", || filled.push(7), |_| {}, || 5);
        assert_eq!((result.unwrap(), filled), (5, vec![7]));
    }
}
