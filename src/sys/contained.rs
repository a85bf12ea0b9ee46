//! A thread beside the caller whose panic is an error for the caller, not the end of the process.
//!
//! It is for decoders of untrusted data that panic on unexpected input. A panic of this program
//! aborts, because nothing is compiled to unwind. So the panic hook runs on the thread that
//! panicked, reports the message to the caller, and sleeps forever. The caller then
//! fails as it does for any bad input and removes what is half made. The thread's memory is lost
//! until the process ends, which is soon: the command has failed.

use std::cell::RefCell;
use std::io;
use std::panic::PanicHookInfo;
use std::sync::Once;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

type Report = Box<dyn FnOnce(&str)>;

thread_local! {
    /// What to do about a panic of this thread.
    static REPORT: RefCell<Option<Report>> = const { RefCell::new(None) };
}

/// Joins the thread on drop, unless it panicked.
struct Thread {
    handle: Option<JoinHandle<()>>,
    panicked: Receiver<()>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        // An error: the sender is gone, so the thread has come to its end.
        if self.panicked.recv().is_err()
            && let Some(handle) = self.handle.take()
        {
            // A panic never gets here.
            let _ = handle.join();
        }
    }
}

/// Runs `work` in a thread called `name` while the caller runs `meet`. If `work` panics, `report`
/// gets the message of the panic, on the thread that panicked.
pub fn beside<T>(
    name: &str,
    work: impl FnOnce() + Send,
    report: impl FnOnce(&str) + Send + 'static,
    meet: impl FnOnce() -> T,
) -> io::Result<T> {
    install_hook();
    let (panicked_sender, panicked) = sync_channel(1);
    let body = move || {
        keep(panicked_sender, report);
        work();
        // The sender is dropped, so the caller sees the end.
        REPORT.take();
    };
    // SAFETY: `body` borrows from the caller. The guard joins the thread before this function
    // returns. A thread that panicked isn't joined, but it never runs anything again.
    let spawned = unsafe { Builder::new().name(name.to_owned()).spawn_unchecked(body) };
    let _joined = Thread { handle: Some(spawned?), panicked };
    Ok(meet())
}

fn keep(panicked: SyncSender<()>, report: impl FnOnce(&str) + 'static) {
    REPORT.set(Some(Box::new(move |words| {
        report(words);
        // Fails only if the caller is gone, and then the report is not needed.
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
            // A return would abort the process. No other hook may be set from here on.
            loop {
                std::thread::park();
            }
        }));
    });
}

// No panic here: the thread sleeps inside the hook, which the test harness replaces at its end and
// would wait for. A hostile archive in the integration tests has one.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_ends_is_joined() {
        let mut filled = Vec::new();
        let met = beside("decoder", || filled.push(7), |_| {}, || 5);
        assert_eq!((met.unwrap(), filled), (5, vec![7]));
    }
}
